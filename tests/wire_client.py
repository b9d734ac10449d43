"""A chat client on a bare socket: keeps every byte, how the response ended, and reads it as simply as can be."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """One response as it came."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    pieces: list[bytes] = field(default_factory=list)  # HTTP chunks
    end: str = "whole"  # or eof, reset, stall
    after: str = "open"  # what becomes of the connection: open, closed, reset

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> list[str]:
        """The data of all events, [DONE] included; lines end in any way."""
        blocks = re.split(r"\n\n", re.sub(r"\r\n|\r|\n", "\n", self.text.removeprefix("\ufeff")))
        found = []
        for block in blocks:
            lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
            found += ["\n".join(lines)] if any(lines) else []
        return found

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data in self.data if data != "[DONE]"]

    @property
    def choices(self) -> list[dict[str, Any]]:
        """Of the document, or of all chunks."""
        if self.body[:1] == b"{":
            return list(self.document.get("choices") or [])
        return [choice for chunk in self.chunks for choice in chunk.get("choices") or []]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [choice.get("message") or choice.get("delta") or {} for choice in self.choices]

    def field(self, name: str) -> Any:
        """A message's field; text put together."""
        found = [message[name] for message in self.messages if message.get(name) is not None]
        return "".join(found) if found and all(isinstance(value, str) for value in found) else (found or [None])[-1]

    @property
    def content(self) -> Any:
        return self.field("content")

    @property
    def reasons(self) -> list[Any]:
        return [choice["finish_reason"] for choice in self.choices if choice.get("finish_reason") is not None]

    @property
    def usage(self) -> Any:
        found = [
            chunk["usage"]
            for chunk in ([self.document] if self.body[:1] == b"{" else self.chunks)
            if chunk.get("usage")
        ]
        return found[-1] if found else None


def ask(port: int, body: dict[str, Any], headers: dict[str, str] | None = None, *, wait: float = 0.3) -> Seen:
    """One request over a new connection; a silence of `wait` seconds is a stall."""
    raw = json.dumps(body).encode()
    lines = {"Host": "x", "Content-Type": "application/json", "Content-Length": str(len(raw)), **(headers or {})}
    head = "POST /v1/chat/completions HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    seen = Seen()
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(head.encode() + b"\r\n" + raw)
        reader = connection.makefile("rb")
        try:
            _read(reader, seen)
        except TimeoutError:
            seen.end = "stall"
        except ConnectionResetError:
            seen.end = seen.after = "reset"
        except EOFError:
            seen.end = seen.after = "eof"
        if seen.end == "whole":
            seen.after = _after(connection)
    return seen


def _read(reader: Any, seen: Seen) -> None:
    line = reader.readline()
    if not line:
        raise EOFError
    seen.status = int(line.split()[1])
    while (raw := reader.readline().strip()) != b"":
        name, _, value = raw.decode("latin-1").partition(":")
        seen.headers[name.lower()] = value.strip()
    if "content-length" in seen.headers:
        seen.body = reader.read(int(seen.headers["content-length"]))
    elif seen.headers.get("transfer-encoding") == "chunked":
        while size := int(reader.readline() or _eof(), 16):
            piece = reader.read(size)
            seen.pieces.append(piece)
            seen.body += piece
            reader.readline()
        reader.readline()
    else:
        seen.body = reader.read()


def _eof() -> bytes:
    raise EOFError


def _after(connection: socket.socket) -> str:
    connection.settimeout(0.05)
    try:
        return "closed" if connection.recv(1) == b"" else "open"
    except TimeoutError:
        return "open"
    except ConnectionResetError:
        return "reset"
