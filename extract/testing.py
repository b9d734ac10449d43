"""Chat-completions servers on loopback for tests of pipelines: real HTTP, answers that you decide, faults on purpose.

with ScriptedServer(lambda call: {"name": call.prompt}) as server:
    run(pipeline, "rows.csv", endpoint=server.endpoint())

with FaultServer(script, "toapis", seed=7) as server:  # the same answers, and what that gateway does to them
    run(pipeline, "rows.csv", endpoint=server.endpoint())
assert [given.fault for given in server.ledger if given.fault]
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self

from extract.config import Endpoint
from extract.faults import Dealer, End, Profile, Turn, UnknownFault, Wire, play, profile_of
from extract.faults.wire import JSON_TYPE, SSE_TYPE, Framing, Step, encode

STALL = 30.0  # seconds that a silent connection is kept


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server sends: status, headers, body (JSON data, text or bytes) after `delay` seconds.

    A good completion as the body goes out as a stream when the request asks for one, unless `headers` name a
    content-type. `chunks`: the body in pieces, each an HTTP chunk by itself, and numbers: seconds to wait. With the
    header `content-length`, or `connection: close`, the pieces are sent as they are.
    `drop`, `reset`: the connection is closed, or reset, after `chunks`, or instead of an answer where there are none.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False
    chunks: Sequence[bytes | float] | None = None
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the server saw it."""

    number: int  # from 1
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    raw: bytes = field(default=b"", repr=False)  # the body as it came

    @property
    def is_stream(self) -> bool:
        """Whether the answer is to come as a stream."""
        return self.body.get("stream") is True

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
    """Answers each call with what `script(call)` returns: a `Reply`, a whole `completion(…)`, or the content of one.

    A context manager; what the script raises is raised again at its end.
    `calls` is the ledger of all requests, `most_in_flight` the highest number at one time, `errors` what the script
    raised.
    """

    stall = STALL

    def __init__(self, script: Script) -> None:
        self._script = script
        self.calls: list[Call] = []
        self.errors: list[Exception] = []  # that the script raised; the first is raised again at the end
        self.in_flight = 0
        self.most_in_flight = 0
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        return self._port

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def endpoint(self, **settings: Any) -> Endpoint:
        """An endpoint at this server."""
        return Endpoint(base_url=self.base_url, **settings)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._socket.close()
        if self.errors and error[0] is None:
            raise self.errors[0]

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
                if not await self._answer(call, reader, writer):
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
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        call = Call(len(self.calls) + 1, line.split()[1].decode(), headers, json.loads(raw) if raw else {}, raw)
        self.calls.append(call)
        return call

    def _reply(self, call: Call) -> Reply:
        try:
            found = self._script(call)
        except Exception as error:  # the test's own: kept, and shown when the server ends
            self.errors.append(error)
            return Reply({"error": {"message": f"the script raised {error!r}"}}, 500)
        if isinstance(found, Reply):
            return found
        is_whole = isinstance(found, dict) and found.get("object") == "chat.completion"
        return Reply(found if is_whole else completion(found))

    async def _wire(self, call: Call) -> Wire:
        """What is sent for a call."""
        reply = self._reply(call)
        await asyncio.sleep(reply.delay)
        return _wire_of(reply, call)

    async def _answer(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await play(await self._wire(call), reader, writer, stall=self.stall)
        finally:
            self.in_flight -= 1


@dataclass(frozen=True, slots=True)
class Given:
    """One line of a fault server's ledger: what a chat request got."""

    number: int  # of the call, from 1
    request: str  # hash of its body
    attempt: int  # how often this body had come, from 1
    fault: str | None  # name in `extract.faults.FAULTS`; None: the good answer
    billed: bool  # whether a model would have answered, so that it costs
    content: str | None  # of the good answer, before the fault


class FaultServer(ScriptedServer):
    """A scripted server whose good completions come with the faults of real ones.

    `profile` is "toapis", "kie", "newapi" or "chaos" (everything); a `Profile` with rates of your own; the name of a
    quirk or fault (`Q14`, `Q19.kie`: see `extract.faults.FAULTS`), which then every request gets once, at first; a
    function that names the fault of a call, or none; or None. A request with the header `X-Fault: Q14` gets that one in
    any case. Answers with a fault carry its name in the header `x-fault`.

    Which fault an attempt gets depends on the seed, the request's bytes and the number of the attempt alone: the order
    of calls and their concurrency change nothing. In all profiles the fourth attempt of a request gets its good answer.
    Faults that cost nothing, such as a 429, do not call the script. What the script itself refuses gets no fault.

    `ledger` says what every chat request got; `stall` is how many seconds a fault keeps a silent connection.
    """

    def __init__(
        self,
        script: Script,
        profile: str | Profile | Callable[[Call], str | None] | None = None,
        *,
        seed: int = 0,
        stall: float = STALL,
    ) -> None:
        super().__init__(script)
        self.stall = stall
        self.ledger: list[Given] = []
        self._chosen = profile if callable(profile) else lambda call: None
        self._dealer = Dealer(None if callable(profile) or not profile else profile_of(profile), seed)

    async def _wire(self, call: Call) -> Wire:
        if "messages" not in call.body:
            return await super()._wire(call)
        try:
            wanted = call.headers.get("x-fault") or self._chosen(call)
            deal = self._dealer.deal(call.raw, call.body, wanted)
        except UnknownFault as error:
            return _wire_of(Reply({"error": {"message": str(error), "param": "X-Fault"}}, 400), call)
        fault, answer, reply = deal.fault, None, None
        if fault is None or fault.billed:
            reply = self._reply(call)
            await asyncio.sleep(reply.delay)
            answer = _good(reply)
            fault = fault if answer else None
        content = answer["choices"][0]["message"].get("content") if answer else None
        given = Given(
            call.number, deal.request, deal.attempt, fault.name if fault else None, answer is not None, content
        )
        self.ledger.append(given)
        if fault is None:
            return _wire_of(reply or Reply(), call)
        wire = fault.make(Turn(answer or completion(""), call.body, deal.seed, time.time()))
        return replace(wire, headers={**wire.headers, "x-fault": fault.name})


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


def _good(reply: Reply) -> dict[str, Any] | None:
    """The completion that a reply is, if it is one and nothing else was scripted."""
    body = reply.body
    scripted = reply.status != 200 or reply.drop or reply.reset or reply.chunks is not None
    if scripted or not isinstance(body, dict) or body.get("object") != "chat.completion":
        return None
    choices = body.get("choices")
    whole = isinstance(choices, list) and choices and all(isinstance(choice.get("message"), dict) for choice in choices)
    return body if whole else None


def _wire_of(reply: Reply, call: Call) -> Wire:
    named = any(name.lower() == "content-type" for name in reply.headers)
    document = _good(reply)
    if document is not None and call.is_stream and not named:
        wire = Turn(document, call.body).reply()
        return replace(wire, headers={**wire.headers, **reply.headers})
    steps: tuple[Step, ...] = tuple(reply.chunks or ())
    silent = (reply.drop or reply.reset) and reply.chunks is None
    steps += (End.RESET,) if reply.reset else (End.DROP,) if reply.drop else ()
    if reply.chunks is None:
        body = reply.body if isinstance(reply.body, bytes) else encode(reply.body)
        return Wire(reply.status, {**JSON_TYPE, **reply.headers}, steps if silent else (body,), "length", silent)
    kind = SSE_TYPE if call.is_stream else JSON_TYPE
    own = {name.lower(): value.lower() for name, value in reply.headers.items()}
    framing: Framing = (
        "length" if "content-length" in own else "close" if own.get("connection") == "close" else "chunked"
    )
    return Wire(
        reply.status, {**kind, **{name.lower(): value for name, value in reply.headers.items()}}, steps, framing
    )
