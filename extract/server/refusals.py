"""What the server says no with: a status and the body of the documented error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


class WireError(Exception):
    """A refusal: the HTTP status, the body of the error that goes with it, and headers beside it."""

    def __init__(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(_message(body))
        self.status, self.body, self.headers = status, body, dict(headers or {})


def bad_request(
    message: str, param: str | None = None, *, code: str = "invalid_request_error", status: int = 400
) -> WireError:
    """A request that cannot be served as it is; `param` names the field at fault."""
    named = {} if param is None else {"param": param}
    return WireError(status, _error(code, message, "invalid_request_error", **named))


def unauthorized() -> WireError:
    """The key is missing or wrong."""
    body = _error("unauthorized", "Invalid API key", "authentication_error")
    return WireError(401, body, {"WWW-Authenticate": "Bearer"})


def too_many(in_work: int, *, retry_after: int = 1) -> WireError:
    """More requests are in work than this server takes; `retry_after` in seconds."""
    message = f"This server works on {in_work} requests and takes no more for now."
    body = _error("rate_limit_exceeded", message, "rate_limit_error")
    return WireError(429, body, {"Retry-After": str(retry_after)})


def server_error(message: str, *, status: int = 500, code: str = "server_error") -> WireError:
    """The request may be fine, the server could not answer it."""
    return WireError(status, _error(code, message, "server_error"))


def shutting_down() -> WireError:
    """The server was stopped before the answer was complete."""
    return server_error("The server is shutting down.", status=503, code="shutting_down")


def _error(code: str, message: str, kind: str, **more: str) -> Json:
    return {"error": {"code": code, "message": message, **more, "type": kind}}


def _message(body: Json) -> str:
    error = body.get("error")
    return str(error.get("message")) if isinstance(error, dict) else str(error)
