"""Runs the app: in a background thread for notebooks and tests (`LocalServer`), or in the foreground (`serve`)."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from extract.config import is_loopback
from extract.errors import ConfigError
from extract.server.app import KEEP_ALIVE, MAX_BODY, MAX_WAITING, create_app
from extract.server.assistant import Assistant
from extract.server.engine import Engine
from extract.server.llama import CONTEXT, SLOTS, LlamaModel
from extract.server.media import MAX_FILE, Media
from extract.server.search import Corpus
from extract.server.upstream import Upstream
from extract.server.weights import find_weights

START_TIMEOUT = 30.0  # seconds
STOP_TIMEOUT = 5  # seconds that running requests get
LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
DEFAULT_PORT = 8080

logger = logging.getLogger("extract.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What a server is run with.

    api_key: every /v1 request must carry it. ledger: a JSON line per chat request goes there.
    search_corpus: the folder that googleSearch searches. upstream, upstream_key: the endpoint (…/v1) that answers
    instead of a model. max_body: bytes of a request. max_file: bytes of a file in one. max_waiting: requests that may
    wait beside those that are worked on. keep_alive: seconds without a token after which a stream gets a comment.
    slots, context: answers at a time, and tokens for each, of the model. faults, seed: a profile of faults to show
    (toapis, kie, newapi, chaos or the name of one; empty: only those that a request asks for with X-Fault).
    """

    api_key: str | None = field(default=None, repr=False)
    ledger: Path | None = None
    search_corpus: Path | None = None
    upstream: str | None = None
    upstream_key: str | None = field(default=None, repr=False)
    max_body: int = MAX_BODY
    max_file: int = MAX_FILE
    max_waiting: int = MAX_WAITING
    keep_alive: float = KEEP_ALIVE
    slots: int = SLOTS
    context: int = CONTEXT
    faults: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.api_key == "":
            raise ConfigError("the key is empty", hint="unset EXTRACT_SERVE_KEY to ask for none")
        for name in ("max_body", "max_file", "keep_alive", "slots", "context"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be more than 0")
        if self.max_waiting < 0:
            raise ConfigError("max_waiting must not be less than 0")
        if self.upstream is not None and self.search_corpus is not None:
            raise ConfigError("--search-corpus is for a local model: an upstream searches by itself")


class LocalServer:
    """The local API on a free loopback port, in a thread of this process; a context manager.

    `model` is a GGUF file (None: the packaged weights). `engine` replaces the model. `options` are the fields of
    ServeOptions.
    """

    def __init__(self, model: str | None = None, *, engine: Engine | None = None, **options: Any) -> None:
        self._model, self._engine, self._options = model, engine, ServeOptions(**options)
        self._llama: LlamaModel | None = None
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
        engine = self._engine or self._made()
        server = _uvicorn(engine, self._options)  # before the model is loaded: it may refuse its options
        if self._llama is not None:
            self._llama.load()
        listener = _bind(LOOPBACK, 0)
        self._port = listener.getsockname()[1]
        self._uvicorn = server
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

    def _made(self) -> Engine:
        engine, self._llama = make_engine(self._model, self._options, corpus=_corpus_of(self._options))
        return engine


def make_engine(
    model: str | None, options: ServeOptions, *, fetch: bool = True, corpus: Corpus | None = None
) -> tuple[Engine, LlamaModel | None]:
    """The engine that the options ask for, and its model, to be loaded and closed. Raises ConfigError.

    `fetch`: whether URLs of this machine in a request are fetched. `corpus`: what googleSearch searches.
    """
    if options.upstream is not None:
        return Upstream(options.upstream, options.upstream_key), None
    weights = find_weights(model)
    llama = LlamaModel(weights, slots=options.slots, context=options.context)
    return Assistant(llama, corpus=corpus, media=Media(max_file=options.max_file, fetch=fetch)), llama


def _corpus_of(options: ServeOptions) -> Corpus | None:
    return None if options.search_corpus is None else Corpus(options.search_corpus)


def serve(host: str = LOOPBACK, port: int = DEFAULT_PORT, model: str | None = None, **options: Any) -> None:
    """Serve until interrupted; `options` are the fields of ServeOptions.

    Raises ConfigError: no weights, port in use, a public address without a key.
    """
    settings = ServeOptions(**options)
    local = is_loopback(host)
    if settings.api_key is None and not local:
        raise ConfigError(f"will not serve on {host} without a key", hint="set EXTRACT_SERVE_KEY, or bind 127.0.0.1")
    # Who calls from elsewhere must not reach through this server what only this machine may.
    corpus = _corpus_of(settings)
    engine, llama = make_engine(model, settings, fetch=local, corpus=corpus)
    try:
        server = _uvicorn(engine, settings, LOOPBACK_NAMES if local else ())
        listener = _bind(host, port)
        with closing(listener):
            if llama is not None:
                llama.load()
            for line in _announced(engine, corpus, settings, _url(host, listener.getsockname()[1])):
                logger.info("%s", line)
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
    finally:
        if llama is not None:
            llama.close()


def _announced(engine: Engine, corpus: Corpus | None, options: ServeOptions, url: str) -> list[str]:
    """What is served, and what is otherwise than with a model alone."""
    lines = [f"serving {options.upstream or engine.model} on {url}"]
    if options.upstream is not None:
        lines.append(f"upstream: {options.upstream}, {'with' if options.upstream_key else 'without'} a key")
    if corpus is not None:
        lines.append(f"search: {corpus.size:,} passages of {options.search_corpus}")
    if options.faults is not None:
        by_name = options.faults in ("", "none")
        what = "only for requests with the header X-Fault" if by_name else options.faults
        lines.append(f"faults: {what}, seed {options.seed}")
    return lines


def _uvicorn(engine: Engine, options: ServeOptions, hosts: Sequence[str] = LOOPBACK_NAMES) -> uvicorn.Server:
    app = create_app(
        engine,
        api_key=options.api_key,
        ledger=options.ledger,
        hosts=hosts,
        max_body=options.max_body,
        max_waiting=options.max_waiting,
        keep_alive=options.keep_alive,
        faults=options.faults,
        seed=options.seed,
    )
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
