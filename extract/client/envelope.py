"""The error object in whatever a server wraps it: JSON of many forms, JSON as text, an event stream, a page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from extract.client.values import json_or_none, listed, objects_in, part_of
from extract.dialects import Envelope

MAX_BODY = 64 * 1024  # of an error answer kept; gateways send whole HTML pages
MAX_MESSAGE = 2000
_TITLE = re.compile(rb"<title[^>]{0,200}>(.{0,200}?)</title>", re.IGNORECASE | re.DOTALL)
_SAID = ("message", "msg", "detail", "error_message", "error_msg", "error_description", "title", "reason")
_STATUSES = ("code", "status_code", "statusCode", "error_code", "status", "type")
_NAMES = ("code", "type", "status", "error_code")
# names that say no more than an HTTP status does; the status of the answer, where it is an error, says it better
_STATUS_OF = {
    "aborted": 409,
    "badrequesterror": 400,
    "cancelled": 499,
    "deadline_exceeded": 504,
    "internal": 500,
    "internalservererror": 500,
    "invalid_request_error": 400,
    "not_found": 404,
    "not_found_error": 404,
    "notfounderror": 404,
    "resource_exhausted": 429,
    "unavailable": 503,
}


def has_error(document: Any) -> bool:
    """Whether the JSON body of an HTTP 200 is an error, as {"error": …}, {"code": 401}, {"detail": …}."""
    if isinstance(document, list):
        return any(isinstance(item, dict) and has_error(item) for item in document)
    if not isinstance(document, dict):
        return False
    if document.get("error") or document.get("success") is False or _number_of(document, ("code", "status_code"), 1000):
        return True
    choices = document.get("choices")
    if not choices:
        marked = "error" in (document.get("object"), document.get("type"), document.get("status"))
        return marked or bool(document.get("detail") or document.get("errors"))
    return any(isinstance(choice, dict) and _holds_error(choice) for choice in listed(choices))


def _holds_error(choice: Mapping[str, Any]) -> bool:
    message = choice.get("message")
    return bool(choice.get("error") or (isinstance(message, dict) and message.get("error")))


def detail_of(body: bytes, own: Sequence[Envelope] = ()) -> dict[str, Any]:
    """The error object in one of a dialect's `own` envelopes, else in whatever it comes in.

    {"error": {…}}, [{"error": …}], {"error": "text"}, {"code", "msg"}. A message that is itself such an envelope, as
    text, is opened too.
    """
    document = _document(body)
    detail = _own(document, own) or _envelope(document)
    for key in ("message", "msg"):
        inner = detail.get(key)
        if isinstance(inner, str) and inner.lstrip().startswith(("{", "[")):
            return detail | _envelope(json_or_none(inner))
    return detail


def message_of(detail: Mapping[str, Any], body: bytes) -> str:
    """What the server says; gateways keep the cause in `metadata.raw`."""
    said = next((detail[name] for name in _SAID if detail.get(name)), None)
    text = _sentence(said) if said else _page_title(body) or "no message"
    raw = part_of(detail, "metadata").get("raw")
    return _plain(f"{text}: {_sentence(raw)}" if raw else text)[:MAX_MESSAGE]


def status_of(detail: Mapping[str, Any], status: int) -> int:
    """The status that counts: the one in the body where it is an error, else that of the answer."""
    found = _number_of(detail, _STATUSES)
    if found or status >= 400:
        return found or status
    return next((_STATUS_OF[name] for name in _names(detail) if name in _STATUS_OF), status)


def codes_of(detail: Mapping[str, Any]) -> set[str]:
    """All that names the error, in lower case: codes, types, Google's reasons, and what only the shape tells."""
    codes = set(_names(detail))
    codes |= {_plain(item["reason"]).lower() for item in details_of(detail) if item.get("reason")}
    metadata = part_of(detail, "metadata")
    if metadata.get("limit_source"):
        codes.add(_plain(metadata["limit_source"]).lower())
    if metadata.get("flagged_input"):
        codes.add("flagged_input")
    if any("PerDay" in str(item.get("violations")) for item in details_of(detail)):
        codes.add("quota_per_day")
    return {"channel" if code.startswith("channel:") else code for code in codes}


def code_of(detail: Mapping[str, Any]) -> str | None:
    """The server's own code, as it wrote it."""
    code = detail.get("code") or detail.get("type")
    return None if code is None else _plain(code)[:200]


def details_of(detail: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Google's `details`: reasons, quotas, how long to wait; also those of an error that a gateway keeps as text."""
    raw = part_of(detail, "metadata").get("raw")
    inner = _envelope(json_or_none(raw)) if isinstance(raw, str) and raw.lstrip().startswith(("{", "[")) else {}
    return [item for holder in (detail, inner) for item in objects_in(holder.get("details"))]


def headers_in(detail: Mapping[str, Any]) -> dict[str, str]:
    """Headers of the upstream answer that a gateway gives in the body, and waits that it names there."""
    metadata = part_of(detail, "metadata")
    found = {name: text for name, text in part_of(metadata, "headers").items() if isinstance(text, str)}
    for holder in (detail, metadata):
        for name in ("retry_after", "retry_after_seconds"):
            if isinstance(holder.get(name), int | float | str):
                found["retry-after"] = _plain(holder[name])
    return found


def _names(detail: Mapping[str, Any]) -> list[str]:
    return [_plain(detail[key]).lower() for key in _NAMES if isinstance(detail.get(key), str | int)]


def _number_of(document: Mapping[str, Any], keys: tuple[str, ...], end: int = 600) -> int | None:
    """The first value that is the status of an error; a longer number is a code of the server's own."""
    for key in keys:
        value = document.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        text = _plain(value) if isinstance(value, int | str) else ""
        if len(text) == 3 and text.isascii() and text.isdecimal() and 400 <= int(text) < end:
            return int(text)
    return None


def _own(document: Any, envelopes: Sequence[Envelope]) -> dict[str, Any] | None:
    """The error as the dialect writes it; what stands beside it (a trace, the upstream's own error) is no cause."""
    for envelope in envelopes:
        found = envelope.error_in(document)
        if found is not None and (envelope.holder or _number_of(found, ("code",), 1000)):
            return found
    return None


def _envelope(document: Any) -> dict[str, Any]:
    document = _failed(document) if isinstance(document, list) else document
    if not isinstance(document, dict):
        return {} if document is None else {"message": document}
    for error in (document.get("error"), document.get("detail"), _failed(listed(document.get("errors")))):
        if isinstance(error, dict) and error:
            return error
        if isinstance(error, str) and error:
            return _named(document, error)
    choice = _failed(listed(document.get("choices")))
    if isinstance(choice, dict) and _holds_error(choice):
        return _envelope(choice if choice.get("error") else choice["message"])
    return document


def _named(document: dict[str, Any], error: str) -> dict[str, Any]:
    """Of {"error": "text"}: the text is the message, or beside one the error's name."""
    if document.get("message") and not document.get("code"):
        return document | {"code": error}
    return document | {"message": document.get("message") or error}


def _failed(documents: list[Any]) -> Any:
    """The one of several that holds an error, else the first."""
    return next((item for item in documents if has_error(item)), documents[0] if documents else None)


def _document(body: bytes) -> Any:
    """The JSON of a body, or of the events of a stream the one that is an error."""
    if body.lstrip().startswith((b"data:", b"event:", b":", b"id:", b"retry:")):
        return next((event for event in _events(body) if has_error(event)), None)
    return json_or_none(body)


def _events(body: bytes) -> Iterator[Any]:
    """The JSON of each event's data; of an event that is named an error, as the error that it is."""
    name = b""
    for line in body.splitlines():
        field, _, value = line.partition(b":")
        if field == b"data" and value.strip():
            event = json_or_none(value)
            named = name == b"error" and not has_error(event)
            yield {"error": value.strip().decode("utf-8", "replace") if event is None else event} if named else event
        name = value.strip() if field == b"event" else name * bool(line)


def _sentence(said: Any) -> str:
    """What is said, as text; of FastAPI's list of findings each place and message, not the input that it repeats."""
    if isinstance(said, list) and said and all(isinstance(item, dict) for item in said):
        return "; ".join(f"{_place(item)}{_plain(item.get('msg') or item.get('message'))}" for item in said[:20])
    return _plain(said)


def _place(finding: Mapping[str, Any]) -> str:
    loc = finding.get("loc")
    return ".".join(map(_plain, loc)) + ": " if isinstance(loc, list) and loc else ""


def _page_title(body: bytes) -> str | None:
    found = _TITLE.search(body[:MAX_BODY])
    said = found.group(1) if found else body[:200]
    return said.decode("utf-8", "replace").strip() or None


def _plain(value: Any) -> str:
    """As text that any file can hold; a number of 5,000 digits has none in Python."""
    try:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except (ValueError, RecursionError):
        return "…"
