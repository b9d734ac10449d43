"""Faults in front of an ASGI app, as `extract serve --faults` gives them, under uvicorn."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from extract.faults import FAULTS, Fault, UnknownFault
from extract.testing import completion
from tests.test_faults import GOOD, SHOWN, good, of_stream, request_body
from tests.wire_client import Seen, ask

pytest.importorskip("uvicorn", reason="needs the local extra")

WEAKER = {
    "Q13.eof": lambda seen: (200, "eof") == (seen.status, seen.end) and b"stop" not in seen.body,
    "Q13.reset": lambda seen: (200, "eof") == (seen.status, seen.end) and b"stop" not in seen.body,
    "Q61": lambda seen: (200, "eof", b"") == (seen.status, seen.end, seen.body),
    "Q69": lambda seen: seen.end == "eof" and _whole(seen),
}
"""What an app cannot do, and what it does instead."""


def _whole(seen: Seen) -> bool:
    return json.dumps(GOOD) == seen.content


class App:
    """Answers every request in full, streams when asked to, refuses who has no key; counts."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        message = await receive()
        headers = dict(scope["headers"])
        assert len(message["body"]) == int(headers[b"content-length"])
        body = json.loads(message["body"])
        self.bodies.append(body)
        status, answer = (401, {"error": {}}) if headers.get(b"authorization") == b"no" else (200, completion(GOOD))
        raw = b"data: own stream\n\n" if body.get("stream") else json.dumps(answer).encode()
        pairs = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": raw})


@pytest.fixture(scope="module")
def app() -> App:
    return App()


@pytest.fixture(scope="module")
def port(app: App) -> Iterator[int]:
    import uvicorn

    from extract.server.faults import with_faults

    logging.getLogger("uvicorn.error").disabled = True  # an answer that breaks off is an error to it
    listener = socket.create_server(("127.0.0.1", 0))
    faulty: Any = with_faults(app, stall=3)
    server = uvicorn.Server(uvicorn.Config(faulty, lifespan="off", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()
    logging.getLogger("uvicorn.error").disabled = False


FORMS = [
    pytest.param(fault, stream, id=f"{fault.name}-{'stream' if stream else 'plain'}")
    for fault in FAULTS.values()
    for stream in (False, True)
    if fault.applies({"stream": stream}) and (stream or fault.on == "plain" or fault.name in WEAKER)
]


@pytest.mark.parametrize(("fault", "stream"), FORMS)
def test_the_bytes_have_the_quirk_behind_uvicorn_too(port: int, fault: Fault, stream: bool) -> None:
    """Weaker only where an app cannot do it."""
    silent = fault.name in ("Q13.stall", "Q62")
    seen = ask(port, request_body(stream=stream), {"X-Fault": fault.name}, wait=0.3 if silent else 5)
    shown = WEAKER.get(fault.name, SHOWN[fault.name])
    assert shown(seen), (seen.status, seen.headers, seen.body[:600], seen.end)
    assert fault.name == seen.headers["x-fault"]


def test_the_app_is_asked_for_a_whole_answer_and_only_if_one_is_made(port: int, app: App) -> None:
    app.bodies.clear()
    seen = ask(port, request_body(stream=True), {"X-Fault": "Q11"})
    assert (True, True) == (good(seen), of_stream(seen))
    assert [{"messages": request_body()["messages"], "stream": False}] == app.bodies
    ask(port, request_body(stream=True), {"X-Fault": "Q56"})
    assert 1 == len(app.bodies)


def test_without_a_fault_the_app_answers_by_itself(port: int) -> None:
    assert "data: own stream\n\n" == ask(port, request_body(stream=True)).text
    assert "x-fault" not in ask(port, request_body()).headers


def test_a_refusal_of_the_app_is_passed_on(port: int) -> None:
    seen = ask(port, request_body(), {"X-Fault": "Q2", "Authorization": "no"})
    assert (401, {"error": {}}) == (seen.status, seen.document)


@pytest.mark.parametrize("name", ["Q999", "nonsense", "Q6"])
def test_a_name_that_is_none_is_a_bad_request(port: int, name: str) -> None:
    """So is a quirk of streams for a plain answer."""
    seen = ask(port, request_body(), {"X-Fault": name})
    assert (400, "X-Fault") == (seen.status, seen.document["error"]["param"])


def test_a_profile_that_is_none_is_refused(app: App) -> None:
    from extract.server.faults import with_faults

    with pytest.raises(UnknownFault):
        with_faults(app, "nobody")
