"""A scripted chat-completions server on loopback, for tests of pipelines: real HTTP, answers that you decide."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from extract.config import Endpoint


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server sends: status, headers, body (JSON data, text or bytes) after `delay` seconds.

    `drop`: close the connection instead, after reading the request.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the server saw it."""

    number: int  # from 1
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        return str(self.body["messages"][-1]["content"])


Script = Callable[[Call], Reply | Any]


def completion(
    content: Any, *, finish_reason: str | None = "stop", tokens: tuple[int, int] = (10, 5), **more: Any
) -> dict[str, Any]:
    """The body of a chat completion; `content` that is no text is sent as its JSON."""
    text = content if isinstance(content, str) or content is None else json.dumps(content, ensure_ascii=False)
    message = {"role": "assistant", "content": text, **more}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [choice],
        "usage": usage,
    }


class ScriptedServer:
    """Answers each call with what `script(call)` returns: a `Reply`, or the content of a completion.

    A context manager; what the script raises is raised again at its end.
    `calls` is the ledger of all requests, `most_in_flight` the highest number at one time.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self.calls: list[Call] = []
        self.faults: list[Exception] = []  # that the script raised; the first is raised again at the end
        self.in_flight = 0
        self.most_in_flight = 0
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._port = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def endpoint(self, **settings: Any) -> Endpoint:
        """An endpoint at this server."""
        return Endpoint(base_url=self.base_url, **settings)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._socket.close()
        if self.faults and error[0] is None:
            raise self.faults[0]

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connection, sock=self._socket))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(_end_all_tasks(self._writers))
        self._loop.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while (call := await self._read(reader)) is not None:
                if not await self._answer(call, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away
        finally:
            self._writers.discard(writer)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> Call | None:
        line = await reader.readline()
        if not line:
            return None
        headers: dict[str, str] = {}
        while (raw := (await reader.readline()).strip()) != b"":
            name, _, value = raw.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        call = Call(len(self.calls) + 1, line.split()[1].decode(), headers, json.loads(body) if body else {})
        self.calls.append(call)
        return call

    def _reply(self, call: Call) -> Reply:
        try:
            found = self._script(call)
        except Exception as fault:  # the test's own: kept, and shown when the server ends
            self.faults.append(fault)
            return Reply({"error": {"message": f"the script raised {fault!r}"}}, 500)
        return found if isinstance(found, Reply) else Reply(completion(found))

    async def _answer(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            reply = self._reply(call)
            await asyncio.sleep(reply.delay)
            if reply.drop:
                return False
            writer.write(_bytes(reply))
            await writer.drain()
            return True
        finally:
            self.in_flight -= 1


async def _end_all_tasks(writers: set[asyncio.StreamWriter]) -> None:
    """Connections that are just being accepted get their task first; all are cut, and get their last callback."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for writer in writers:
        writer.transport.abort()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _bytes(reply: Reply) -> bytes:
    body = reply.body if isinstance(reply.body, bytes) else _text(reply.body).encode()
    headers = {"content-type": "application/json", **reply.headers, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} Scripted\r\n{head}\r\n".encode("latin-1") + body


def _text(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
