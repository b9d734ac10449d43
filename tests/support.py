"""What several tests share: a small schema, a pipeline over it, and the bytes of a run directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from extract import Limits, Pipeline, Retry
from extract.errors import APIError, ErrorClass
from extract.records import ChatRequest, Completion, Usage

SHARED = Path(__file__).parents[1] / ".." / "shared"
KEY = "sk-secret-0123456789"


class Item(BaseModel):
    """A thing and its number."""

    name: str
    number: int


NO_WAIT = Retry(max_attempts=3, initial_wait=0, max_wait=0)


def pipeline(**changes: Any) -> Pipeline:
    """A pipeline over a column `text`, without waits between attempts."""
    settings: dict[str, Any] = {"name": "items", "schema": Item, "prompt": "{{ text }}", "key": "id"}
    settings |= {"retry": NO_WAIT, "limits": Limits(concurrency=8, timeout=20)}
    return Pipeline(**(settings | changes))


def rows_csv(path: Path, count: int, text: Callable[[int], str] = "item {}".format) -> Path:
    """A CSV file with `id` k1… and `text`."""
    lines = ["id,text", *(f"k{number},{text(number)}" for number in range(1, count + 1))]
    path.write_text("\n".join(lines) + "\n")
    return path


def item(call: Any) -> dict[str, Any]:
    """The answer to `item 7`: its name and its number."""
    return {"name": call.prompt, "number": int(call.prompt.split()[-1])}


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder: its time of change and its bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def parts(folder: Path) -> dict[str, bytes]:
    """The part files of both tables and their bytes."""
    return {name: found[1] for name, found in files(folder).items() if "part-" in name}


def request(name: str = "a") -> ChatRequest:
    return ChatRequest(b"{}", name)


def answer(content: str = "{}", tokens: tuple[int, int] = (10, 5)) -> Completion:
    raw = b'{"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]}'
    return Completion(content, "stop", "m", Usage(*tokens), raw)


def failure(kind: ErrorClass = ErrorClass.TRANSIENT, **more: Any) -> APIError:
    return APIError("it failed", kind=kind, **more)
