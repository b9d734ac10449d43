"""The chat-completions request, checked and reduced to what an engine needs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from extract.server.engine import AUTO, NONE, CallRules, ChatCall, Json, Link, Tool, Turn
from extract.server.refusals import WireError, bad_request

DEFAULT_MAX_TOKENS = 1024
PENALTIES = ("frequency_penalty", "presence_penalty", "repeat_penalty")
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "seed", "stop", *PENALTIES)
MOST = 1_000_000  # for any count in a request
MAX_COUNT = 10_000  # items or letters that a schema may ask for
MAX_DEPTH = 100
MAX_TOOLS = 128
COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
SEARCH = "googleSearch"
FORMS = 'a bare schema with "type": "object", or "type": "json_schema", "json_object" or "text"'


class _Loose(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Url(_Loose):
    url: str


class _File(_Loose):
    file_data: str | None = None


class _Part(_Loose):
    type: str
    text: str | None = None
    image_url: _Url | str | None = None
    file: _File | None = None


class _Called(_Loose):
    name: str
    arguments: str


class _ToolCall(_Loose):
    id: str
    type: Literal["function"] = "function"
    function: _Called


class _Message(_Loose):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _Function(_Loose):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
    description: str | None = None
    parameters: Json | None = None


class _Tool(_Loose):
    type: Literal["function"] = "function"
    function: _Function


class _Name(_Loose):
    name: str


class _Chosen(_Loose):
    type: Literal["function"] = "function"
    function: _Name


class _StreamOptions(_Loose):
    include_usage: bool | None = None


class _Body(_Loose):
    messages: Annotated[list[_Message], Field(min_length=1)]
    model: str = ""
    max_tokens: Annotated[int, Field(ge=1, le=MOST)] = DEFAULT_MAX_TOKENS
    max_completion_tokens: Annotated[int, Field(ge=1, le=MOST)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: Annotated[list[_Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | _Chosen | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    include_thoughts: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
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
        turns=_turns(fields.messages),
        max_tokens=fields.max_completion_tokens or fields.max_tokens,
        sampling={name: value for name in SAMPLING if (value := getattr(fields, name)) is not None},
        schema=_bounded(read_schema(fields.response_format), "response_format"),
        calls=_call_rules(fields),
        search=SEARCH in _tool_names(fields),
        thoughts=bool(fields.include_thoughts),
        effort=fields.reasoning_effort or "high",
        stream=bool(fields.stream),
        include_usage=bool(fields.stream_options and fields.stream_options.include_usage),
        body=body,
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


def require_text(text: str, param: str) -> str:
    """The text itself. Raises WireError (400) if it has half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise bad_request("Half of a surrogate pair is no text.", param) from None
    return text


def _bounded(schema: Json | None, param: str) -> Json | None:
    """Refuse what would keep a slot or the memory busy for ever: huge counts, endless nesting, text that is none."""
    nodes: list[tuple[object, int]] = [(schema, 0)]
    while nodes:
        node, depth = nodes.pop()
        if depth > MAX_DEPTH:
            raise bad_request(f"The schema is nested more than {MAX_DEPTH} deep.", param)
        if isinstance(node, str):
            require_text(node, param)
        if isinstance(node, dict):
            for name in COUNTS & node.keys():
                if isinstance(node[name], int) and node[name] > MAX_COUNT:
                    raise bad_request(f"'{name}' is at most {MAX_COUNT:,} here.", param)
            nodes += [(child, depth + 1) for child in (*node.keys(), *node.values())]
        if isinstance(node, list):
            nodes += [(child, depth + 1) for child in node]
    return schema


def _complaint(error: ValidationError) -> WireError:
    first, *others = error.errors(include_url=False)
    param = str(first["loc"][0])
    # Of a field that may be two things the last complaint is about the richer one, a list.
    first = [first, *(other for other in others if other["loc"][0] == param)][-1]
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return bad_request(f"The '{param}' field is required.", param)
    where = ".".join(str(step) for step in first["loc"])
    return bad_request(f"The '{param}' field is invalid: {where}: {first['msg']}.", param)


def _tool_names(fields: _Body) -> list[str]:
    return [tool.function.name for tool in fields.tools or []]


def _refuse_unsupported(fields: _Body) -> None:
    names = _tool_names(fields)
    if SEARCH in names and set(names) != {SEARCH}:
        raise bad_request("googleSearch and function calling are mutually exclusive.", "tools")
    if names and SEARCH not in names and fields.response_format is not None:
        raise bad_request("Function calling and response_format are mutually exclusive.", "tools")
    if len(names) != len(set(names)):
        raise bad_request("Two functions have one name.", "tools")
    if fields.functions:
        raise bad_request("'functions' is no longer served: declare functions in 'tools'.", "functions")
    if fields.n is not None and fields.n > 1:
        raise bad_request("This server gives one answer for a request: leave 'n' out, or send 1.", "n")
    if fields.logprobs:
        raise bad_request("This server does not give logprobs.", "logprobs")
    if fields.stream_options is not None and not fields.stream:
        raise bad_request("'stream_options' goes with \"stream\": true only.", "stream_options")


def _call_rules(fields: _Body) -> CallRules | None:
    choice = fields.tool_choice
    if not fields.tools:
        if choice in (None, NONE):
            return None
        raise bad_request("'tool_choice' is only allowed with 'tools'.", "tool_choice")
    functions = tuple(_declared(tool.function) for tool in fields.tools if tool.function.name != SEARCH)
    if not functions or choice == NONE:
        return None
    if isinstance(choice, _Chosen):
        functions = tuple(tool for tool in functions if tool.name == choice.function.name)
        if not functions:
            raise bad_request(f"'tools' has no function '{choice.function.name}'.", "tool_choice")
    many = bool(fields.parallel_tool_calls) and not isinstance(choice, _Chosen)
    return CallRules(functions, must=choice not in (None, AUTO), many=many)


def _declared(function: _Function) -> Tool:
    parameters = {"type": "object", "properties": {}} if function.parameters is None else function.parameters
    if parameters.get("type", "object") != "object":
        raise bad_request(f"The parameters of '{function.name}' must be an object.", "tools")
    _bounded(parameters, "tools")
    description = require_text(function.description or "", "tools")
    return Tool(function.name, description, {"type": "object", **parameters})


def _turns(messages: list[_Message]) -> tuple[Turn, ...]:
    called: set[str] = set()
    turns = []
    for index, message in enumerate(messages):
        turns.append(_turn(message, index, called))
        called |= {call.id for call in message.tool_calls or []}
    return tuple(turns)


def _turn(message: _Message, index: int, called: set[str]) -> Turn:
    calls = tuple(call.model_dump() for call in message.tool_calls or [])
    if calls and message.role != "assistant":
        raise bad_request(f"messages.{index}: only the assistant calls functions.", "messages")
    if message.content is None and not calls:
        raise bad_request(f"The 'messages' field is invalid: messages.{index}.content: Field required.", "messages")
    if message.role == "tool" and message.tool_call_id not in called:
        raise bad_request(f"messages.{index}: 'tool_call_id' must be the id of a call before it.", "messages")
    for call in calls:
        require_text(call["function"]["name"] + call["function"]["arguments"], "messages")
    role = "system" if message.role == "developer" else message.role
    return Turn(role, _parts(message.content, index), calls, message.tool_call_id)


def _parts(content: str | list[_Part] | None, index: int) -> tuple[str | Link, ...]:
    if isinstance(content, str):
        return (require_text(content, "messages"),)
    return tuple(_part(part, index) for part in content or [])


def _part(part: _Part, index: int) -> str | Link:
    match part.type:
        case "text" if part.text is not None:
            return require_text(part.text, "messages")
        case "text":
            raise bad_request(f"messages.{index}: a text part must have a 'text'.", "messages")
        case "image_url" if part.image_url is not None:
            return Link(part.image_url if isinstance(part.image_url, str) else part.image_url.url)
        case "image_url":
            raise bad_request(f"messages.{index}: an image_url part must have an 'image_url'.", "messages")
        case "file" if part.file is not None and part.file.file_data is not None:
            return Link(part.file.file_data)
    return Link(None, part.type)
