"""The local API: a small real model behind the chat-completions protocol, for trials and tests without a key."""

from extract.server.app import create_app
from extract.server.assistant import Assistant
from extract.server.engine import ChatCall, Delta, End, Engine
from extract.server.local import LocalServer, ServeOptions, serve
from extract.server.search import Corpus
from extract.server.upstream import Upstream

__all__ = [
    "Assistant",
    "ChatCall",
    "Corpus",
    "Delta",
    "End",
    "Engine",
    "LocalServer",
    "ServeOptions",
    "Upstream",
    "create_app",
    "serve",
]
