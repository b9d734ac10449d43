"""Runs the app: in a background thread for notebooks and tests (`LocalServer`), or in the foreground (`serve`)."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from extract.config import is_loopback
from extract.errors import ConfigError
from extract.server.app import create_app
from extract.server.llama import LlamaEngine
from extract.server.weights import find_weights
from extract.server.wire import Engine

START_TIMEOUT = 30.0  # seconds
STOP_TIMEOUT = 5  # seconds that running requests get
LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
DEFAULT_PORT = 8080

logger = logging.getLogger("extract.server")


class LocalServer:
    """The local API on a free loopback port, in a thread of this process; a context manager.

    `model` is a GGUF file (None: the packaged weights). `engine` replaces the model; it is then not closed here.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        api_key: str | None = None,
        ledger: Path | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._model, self._api_key, self._ledger, self._engine = model, api_key, ledger, engine
        self._llama: LlamaEngine | None = None
        self._uvicorn: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def base_url(self) -> str:
        """Where a client finds it, e.g. `http://127.0.0.1:40123/v1`; known after `start`."""
        if self._thread is None:
            raise ConfigError("the local server is not running", hint="call start() or use it as a context manager")
        return _url(LOOPBACK, self._port)

    def start(self) -> Self:
        """Load the model and serve; returns when /health answers. Raises ConfigError."""
        if self._thread is not None:
            return self
        engine = self._engine or self._load()
        listener = _bind(LOOPBACK, 0)
        self._port = listener.getsockname()[1]
        self._uvicorn = _uvicorn(engine, self._api_key, self._ledger)
        self._thread = threading.Thread(
            target=self._uvicorn.run, kwargs={"sockets": [listener]}, name="extract-server", daemon=True
        )
        self._thread.start()
        _wait_healthy(self._port, time.monotonic() + START_TIMEOUT)
        return self

    def stop(self) -> None:
        """Stop serving and free the model; does nothing if it is not running."""
        if self._uvicorn is None or self._thread is None:
            return
        self._uvicorn.should_exit = True
        if self._llama is not None:
            self._llama.close()
        self._thread.join()
        self._uvicorn = self._thread = self._llama = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _load(self) -> LlamaEngine:
        self._llama = LlamaEngine(find_weights(self._model))
        self._llama.load()
        return self._llama


def serve(
    host: str = LOOPBACK,
    port: int = DEFAULT_PORT,
    model: str | None = None,
    api_key: str | None = None,
    ledger: Path | None = None,
) -> None:
    """Serve until interrupted. Raises ConfigError: no weights, port in use, or a public address without a key."""
    if api_key is None and not is_loopback(host):
        raise ConfigError(f"will not serve on {host} without a key", hint="set EXTRACT_SERVE_KEY, or bind 127.0.0.1")
    engine = LlamaEngine(find_weights(model))
    listener = _bind(host, port)
    try:
        engine.load()
        logger.info("serving %s on %s", engine.model, _url(host, listener.getsockname()[1]))
        with suppress(KeyboardInterrupt):
            names = LOOPBACK_NAMES if is_loopback(host) else ()
        _uvicorn(engine, api_key, ledger, names).run(sockets=[listener])
    finally:
        listener.close()
        engine.close()


def _uvicorn(
    engine: Engine, api_key: str | None, ledger: Path | None, hosts: Sequence[str] = LOOPBACK_NAMES
) -> uvicorn.Server:
    app = create_app(engine, api_key=api_key, ledger=ledger, hosts=hosts)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_TIMEOUT,
        )
    )


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Listen at once: two servers may bind one port with SO_REUSEADDR, but not listen on it.
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot serve on {host}:{port}: {error.strerror}", hint="choose another port") from error
    return listener


def _wait_healthy(port: int, deadline: float) -> None:
    # The socket listens already, so the first request waits in its backlog until the app answers.
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=max(0.1, deadline - time.monotonic()))
    try:
        connection.request("GET", "/health")
        connection.getresponse()
    except OSError as error:
        raise ConfigError("the local server did not start") from error
    finally:
        connection.close()


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
