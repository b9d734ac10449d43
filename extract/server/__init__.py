"""The local API: a small real model behind the chat-completions protocol, for trials and tests without a key."""

from extract.server.app import create_app
from extract.server.local import LocalServer, serve

__all__ = ["LocalServer", "create_app", "serve"]
