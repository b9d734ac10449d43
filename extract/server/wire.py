"""The chat-completions request, checked and reduced to what an engine needs, and the bodies of answers and errors."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Json = dict[str, Any]

DEFAULT_MAX_TOKENS = 1024
PENALTIES = ("frequency_penalty", "presence_penalty", "repeat_penalty")
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "seed", "stop", *PENALTIES)
MOST = 1_000_000  # for any count in a request
MAX_COUNT = 10_000  # items or letters that a schema may ask for
MAX_DEPTH = 100
COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
CONTROL = re.compile(r"<\|(?=\w{1,40}\|>)")
FORMS = 'a bare schema with "type": "object", or "type": "json_schema", "json_object" or "text"'


class WireError(Exception):
    """A refusal: the HTTP status, and the body of the error that goes with it."""

    def __init__(self, status: int, code: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"error": {"code": code, "message": message, **more}}


def bad_request(
    message: str, param: str | None = None, *, code: str = "invalid_request_error", status: int = 400
) -> WireError:
    """A request that cannot be served as it is; `param` names the field at fault."""
    named = {} if param is None else {"param": param}
    return WireError(status, code, message, **named, type="invalid_request_error")


def unauthorized() -> WireError:
    """The key is missing or wrong."""
    return WireError(401, "unauthorized", "Invalid API key", type="authentication_error")


def server_error(message: str, *, status: int = 500, code: str = "server_error") -> WireError:
    """The request may be fine, the server could not answer it."""
    return WireError(status, code, message, type="server_error")


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One checked request: plain messages, the schema to enforce (None: free text), the limit, the sampling fields."""

    messages: list[dict[str, str]]
    schema: Json | None
    max_tokens: int
    sampling: Json


@dataclass(frozen=True, slots=True)
class ChatResult:
    """What the model wrote, why it stopped (`stop` or `length`), and the tokens it took."""

    content: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class Engine(Protocol):
    """A model that answers checked requests; refuses with a WireError."""

    @property
    def model(self) -> str: ...

    async def complete(self, call: ChatCall) -> ChatResult: ...


class _Loose(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Part(_Loose):
    type: str
    text: str | None = None


class _Message(_Loose):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]


class _Body(_Loose):
    messages: Annotated[list[_Message], Field(min_length=1)]
    model: str = ""
    max_tokens: Annotated[int, Field(ge=1, le=MOST)] = DEFAULT_MAX_TOKENS
    max_completion_tokens: Annotated[int, Field(ge=1, le=MOST)] | None = None
    stream: bool | None = None
    tools: list[Json] | None = None
    response_format: Json | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=MOST)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=100)] | None = None


def read_call(body: object) -> ChatCall:
    """Check a decoded request body. Raises WireError (400) naming the field at fault."""
    if not isinstance(body, dict):
        raise bad_request("The request body must be a JSON object.")
    try:
        fields = _Body.model_validate(body)
    except ValidationError as error:
        raise _complaint(error) from None
    _refuse_unsupported(fields)
    return ChatCall(
        messages=[_plain(message, index) for index, message in enumerate(fields.messages)],
        schema=_bounded(read_schema(fields.response_format)),
        max_tokens=fields.max_completion_tokens or fields.max_tokens,
        sampling={name: value for name in SAMPLING if (value := getattr(fields, name)) is not None},
    )


def read_schema(response_format: Json | None) -> Json | None:
    """The JSON Schema that a response_format carries in any of its forms; None asks for free text."""
    if response_format is None or response_format.get("type") == "text":
        return None
    match response_format:
        case {"type": "object"}:
            return response_format
        case {"type": "json_object" | "json_schema", "schema": dict(schema)}:
            return dict(schema)
        case {"type": "json_object"}:
            return {"type": "object"}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return dict(schema)
        case {"type": "json_schema", "properties": dict()}:
            return {**response_format, "type": "object"}
        case {"type": "json_schema"}:
            raise bad_request(
                "'response_format' holds no schema: give json_schema.schema, or properties.", "response_format"
            )
    raise bad_request(f"The 'response_format' field is invalid: expected {FORMS}.", "response_format")


def _bounded(schema: Json | None) -> Json | None:
    """Refuse what would keep a slot or the memory busy for ever: huge counts, endless nesting, text that is none."""
    nodes: list[tuple[object, int]] = [(schema, 0)]
    while nodes:
        node, depth = nodes.pop()
        if depth > MAX_DEPTH:
            raise bad_request(f"The schema is nested more than {MAX_DEPTH} deep.", "response_format")
        if isinstance(node, str):
            _require_text(node, "response_format")
        if isinstance(node, dict):
            for name in COUNTS & node.keys():
                if isinstance(node[name], int) and node[name] > MAX_COUNT:
                    raise bad_request(f"'{name}' is at most {MAX_COUNT:,} here.", "response_format")
            nodes += [(child, depth + 1) for child in (*node.keys(), *node.values())]
        if isinstance(node, list):
            nodes += [(child, depth + 1) for child in node]
    return schema


def _require_text(text: str, param: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise bad_request("Half of a surrogate pair is no text.", param) from None
    return text


def answer_body(model: str, result: ChatResult) -> Json:
    """The body of a 200."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": result.content},
                "finish_reason": result.finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": result.prompt_tokens,
            "completion_tokens": result.completion_tokens,
            "total_tokens": result.prompt_tokens + result.completion_tokens,
        },
    }


def _complaint(error: ValidationError) -> WireError:
    first, *others = error.errors(include_url=False)
    param = str(first["loc"][0])
    # Of a field that may be two things the last complaint is about the richer one, a list.
    first = [first, *(other for other in others if other["loc"][0] == param)][-1]
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return bad_request(f"The '{param}' field is required.", param)
    where = ".".join(str(step) for step in first["loc"])
    return bad_request(f"The '{param}' field is invalid: {where}: {first['msg']}.", param)


def _refuse_unsupported(fields: _Body) -> None:
    names = {(tool.get("function") or {}).get("name") for tool in fields.tools or []}
    if "googleSearch" in names and len(names) > 1:
        raise bad_request("googleSearch and function calling are mutually exclusive.", "tools")
    if names and fields.response_format is not None:
        raise bad_request("Function calling and response_format are mutually exclusive.", "tools")
    if names:
        raise bad_request("This server does not do tools yet.", "tools")
    if fields.stream:
        raise bad_request('This server does not stream yet: send "stream": false.', "stream")


def _plain(message: _Message, index: int) -> dict[str, str]:
    role = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return {"role": role, "content": _harmless(message.content)}
    return {"role": role, "content": _harmless("\n".join(_text(part, index) for part in message.content))}


def _harmless(text: str) -> str:
    """The text of a document may spell the marks between turns (<|im_end|>); broken up they are mere text."""
    return CONTROL.sub("< |", _require_text(text, "messages"))


def _text(part: _Part, index: int) -> str:
    if part.type == "image_url":
        raise bad_request(f"messages.{index}: this model has no eyes, it reads text only.", "messages")
    if part.type != "text" or part.text is None:
        raise bad_request(f"messages.{index}: a content part must be a text part with a 'text'.", "messages")
    return part.text
