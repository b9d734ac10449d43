"""Record → the exact request: messages, and the schema with the record's own candidates. Pure."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property, partial, reduce
from operator import ge, gt, le, lt
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from extract.config import Model
from extract.dialects import DialectRules, body_fields
from extract.errors import PromptError
from extract.media import Attachments, MediaError, Part, parted
from extract.prompts import Example, Prompt, message_json
from extract.records import ChatRequest, Issue, Record, path_to
from extract.redaction import Masks, Redactor, with_room
from extract.schema import RUNGS, CompiledSchema, JsonSchema, Shape, node_at, places
from extract.schema.losses import BIG_ENUM
from extract.schema.nodes import with_null_types
from extract.untrusted import Finding, Untrusted, in_cells, in_text
from extract.verbatim import SlowPattern, Target, Verbatim, candidates, offers, reading
from extract.verdict import Verdict

MEDIA_TOKENS = 1000  # for one file: an image has some hundreds, a long PDF or film many thousands
_BOUNDS = {"minimum": ge, "exclusiveMinimum": gt, "maximum": le, "exclusiveMaximum": lt}


_NO_MESSAGES = b'"messages":[]'
_Frame = tuple[bytes, bytes]

_AT_ONCE = 2000  # bytes: for more, hashlib lets other threads in, and the loop then waits for its turn


class Unaskable(Exception):  # noqa: N818  # it says what the record is
    """A record for which no request can be made; carries the issue for the quarantine."""

    def __init__(self, issue: Issue) -> None:
        super().__init__(issue.message)
        self.issue = issue


@dataclass(frozen=True)
class RequestBuilder:
    """Builds the requests of one run; `model_name` goes into the body or the path, as the dialect has it."""

    prompt: Prompt
    schema: CompiledSchema
    model: Model
    model_name: str
    dialect: DialectRules
    text_columns: Sequence[str]
    share_answers: bool = True  # identical records share one request
    attachments: Attachments | None = None  # makes the parts of media columns
    toolbox: str = ""  # names the tools that go before, and what they do
    sample: int = 0  # of several answers to the same question, from 0
    unrelaxed: JsonSchema | None = None  # the wire schema before it was relaxed; None: it is not
    columns: Sequence[str] = ()  # of the source
    untrusted: Untrusted | None = None  # how texts and PDFs are looked through
    redactor: Redactor | None = None  # masks what is not to be sent

    def __call__(self, record: Record, more: Sequence[dict[str, Any]] = ()) -> ChatRequest:
        """The request of one record; `more` are messages after its own. Raises Unaskable."""
        if record.problem:
            raise Unaskable(record.problem)
        if self.prompt.says_nothing(record, self.text_columns):
            raise Unaskable(Issue("prompt", "prompt.empty", "$", _nothing_said(record)))
        masks = self.redactor.of(record) if self.redactor else None
        schema = self._schema_for(record, masks)
        try:
            parts = self.attachments.parts_for(record) if self.attachments else {}
            noticed = self._noticed(record, parts) if self.untrusted else ()
            if masks:
                parts = _covered_parts(parts, masks)
            messages, examples = self.prompt.fitted(masks.record if masks else record, parts)
            if masks:
                messages = [_covered(message, partial(masks.covered, is_made=True)) for message in messages]
                more = [_covered(message, masks.covered_reply) for message in more]
            messages += more
            schema = self._narrowed(schema, examples)
            written = b",".join([message_json(message) for message in messages])
            sent, named = self._frames(schema)
            body = sent[0] + written + sent[1]
        except MediaError as error:
            raise Unaskable(error.issue) from error
        except PromptError as error:
            raise Unaskable(Issue("prompt", "prompt.render", "$", error.message)) from error
        except PydanticSerializationError as error:
            raise Unaskable(Issue("prompt", "prompt.text", "$", f"the text cannot be sent: {error}")) from error
        media = [part for column in parts.values() for part in column]
        flags = dict.fromkeys([*(flag for part in media for flag in part.flags), *noticed])
        scope = self._scope(record)
        name = _name_of(named[0], written, named[1] + scope.encode("utf-8", "surrogatepass"))
        shown = masks.pairs if masks else ()
        return ChatRequest(body, name, media=media, flags=tuple(flags), scope=scope, masks=shown)

    def _noticed(self, record: Record, parts: Mapping[str, Sequence[Part]]) -> tuple[str, ...]:
        """Flags for what looks like an attempt to steer the model. Raises Unaskable where that is not to be sent."""
        policy = self.untrusted
        assert policy is not None  # noqa: S101  # only then is anything looked at
        flags: dict[str, None] = {}
        for finding in self._findings(record, parts):
            done = policy.of(finding.kind)
            if done == "quarantine":
                message = f"{finding.where}: {finding.message}"
                raise Unaskable(Issue("prompt", finding.code, "$", message, finding.excerpt))
            if done == "flag":
                flags[finding.code] = None
        return tuple(flags)

    def _findings(self, record: Record, parts: Mapping[str, Sequence[Part]]) -> Iterator[Finding]:
        yield from in_cells(record, self.prompt.shown_columns(self.columns or tuple(record)))
        for column, own in parts.items():
            for part in own:
                if part.hidden:
                    yield Finding("hidden_text", column, "the PDF holds text that its pages do not show", part.hidden)
                if part.text is not None:
                    yield from in_text(parted(part.text)[0], column)

    def with_wire_examples(self) -> RequestBuilder:
        """A builder whose examples answer in the form of the wire: a bound value becomes the span that reads as it.

        Raises PromptError for an example that the schema refuses, that invents, or that two spans would fit.
        """
        examples = [
            Example(example.record, self._wire_answer(number, example))
            for number, example in enumerate(self.prompt.loaded_examples, 1)
        ]
        for name in self.prompt.narrow:
            if "enum" not in self.schema.wire_schema["properties"].get(name, {}):
                raise PromptError(f"narrow names {name!r}, which is no enum field of the schema")
        fitted = replace(self, prompt=replace(self.prompt, examples=tuple(examples)))
        fitted.check_examples()
        return fitted

    def check_examples(self) -> None:
        """Refuse examples that the wire schema would not allow, or that invent. Raises PromptError."""
        for number, example in enumerate(self.prompt.loaded_examples, 1):
            record = Record(key=number, position=number - 1, cells=example.record)
            try:
                schema = self._schema_for(record)
            except Unaskable as error:
                raise PromptError(f"example {number}: {error.issue.message}") from error
            for found in Verdict(with_null_types(schema)).issues(example.answer, 1):
                raise PromptError(f"example {number} breaks the schema at {found.path}: {found.message[:300]}")

    def _wire_answer(self, number: int, example: Example) -> JsonSchema:
        answer = self._in_answer_form(copy.deepcopy(dict(example.answer)))
        if self.schema.profile == "function":  # also what was written in the form of the wire, with its nulls
            answer = _without_nulls(answer, self.schema.shape)
        record = Record(key=number, position=number - 1, cells=example.record)
        for path, shape in self.schema.bindings:
            for holder, step, place in places(answer, path):
                if holder[step] is not None:
                    holder[step] = self._span_of(shape, record, holder[step], f"example {number}, {place}")
        return answer

    def _in_answer_form(self, answer: JsonSchema) -> JsonSchema:
        """The example's answer, which is written as the model takes it, as the endpoint would give it."""
        if self.schema.form.plain or self.schema.reading is None:
            return answer if self.schema.form.plain else self.schema.answer_form(answer)
        try:
            return self.schema.answer_form(self.schema.reading.validate(answer))
        except ValueError:  # in that form already, or wrong, which the schema tells
            return answer

    def _span_of(self, shape: Shape, record: Record, value: Any, place: str) -> str:
        """The one candidate that is the value, or reads as it."""
        mark = shape.verbatim
        assert mark is not None  # noqa: S101  # that is what a binding is
        found = candidates(mark, record, self.text_columns)
        if value in found:
            return str(value)
        wanted = reading(mark, str(value), shape.target)
        fitting = [span for span in found if reading(mark, span, shape.target) == wanted]
        if wanted is None or not fitting:
            raise PromptError(f"{place}: {value!r} does not stand in the example's record")
        if len(fitting) > 1:
            raise PromptError(f"{place}: {value!r} stands there more than once", hint=f"write one of {fitting}")
        return fitting[0]

    def _frames(self, schema: JsonSchema) -> tuple[_Frame, _Frame]:
        """What stands around the messages, on the wire and for the name."""
        return self._own_frames if schema is self.schema.wire_schema else self._frames_for(schema)

    @cached_property
    def _own_frames(self) -> tuple[_Frame, _Frame]:
        return self._frames_for(self.schema.wire_schema)

    def _frames_for(self, schema: JsonSchema) -> tuple[_Frame, _Frame]:
        """Streamed or not, a request has one name: it is the same question, and the same answer."""
        form = self._response_format(schema)
        sent = _frame({**self._head, "messages": [], **self._tail, **form})
        return sent, _frame({**self._head, "messages": [], **self._unstreamed, **form}) if self.model.stream else sent

    @cached_property
    def _head(self) -> dict[str, Any]:
        return {"model": self.model_name} if self.dialect.model_in_body else {}

    @cached_property
    def _tail(self) -> dict[str, Any]:
        return body_fields(self.dialect, self.model)

    @cached_property
    def _unstreamed(self) -> dict[str, Any]:
        return body_fields(self.dialect, self.model.replaced({"stream": False}))

    def _response_format(self, schema: JsonSchema) -> dict[str, Any]:
        schema = with_room(schema) if self.redactor else schema
        if self.model.mode == "tool":
            return _record_call(self.schema.name, schema)
        tools = {"tools": [self.dialect.search_tool]} if self.model.search_with_schema else {}
        return {"response_format": self.schema.response_format_as(self.dialect.form, schema), **tools}

    def _scope(self, record: Record) -> str:
        """What names a request besides its body: the model where it is in the path, the tools, the record's key."""
        model = "" if self.dialect.model_in_body else self.model_name
        sample = f"sample {self.sample}" if self.sample else ""
        return model + self.toolbox + ("" if self.share_answers else repr(record.key)) + sample

    def _schema_for(self, record: Record, masks: Masks | None = None) -> JsonSchema:
        """The wire schema with an enum of the record's own spans in each field marked `Verbatim`."""
        if not self.schema.bindings:
            return self.schema.wire_schema
        schema = copy.deepcopy(self.schema.wire_schema)
        for path, shape in self.schema.bindings:
            self._offer(record, schema, path, shape, masks)
        return schema

    def _narrowed(self, schema: JsonSchema, examples: Sequence[Example]) -> JsonSchema:
        """The schema with the enums that the prompt narrows cut to what the examples answer, in the enum's order."""
        if not self.prompt.narrow:
            return schema
        schema = copy.deepcopy(schema)
        full = self.unrelaxed or self.schema.wire_schema
        for name in self.prompt.narrow:
            node = full["properties"][name]
            answers = [example.answer.get(name) for example in examples]
            kept = [value for value in node["enum"] if value in answers]
            if len(kept) <= BIG_ENUM or "enum" in schema["properties"][name]:  # small again, whatever the list was
                schema["properties"][name] = node | {"enum": kept}
        return schema

    def _most(self, mark: Verbatim) -> int:
        """How many spans a field is offered; on the last rung no big enum."""
        return min(mark.limit, BIG_ENUM) if self.schema.options.relax >= len(RUNGS) else mark.limit

    def _offer(
        self, record: Record, schema: JsonSchema, path: tuple[str, ...], shape: Shape, masks: Masks | None
    ) -> None:
        mark = shape.verbatim
        assert mark is not None  # noqa: S101  # that is what a binding is
        try:
            spans = candidates(mark, record, self.text_columns)
        except SlowPattern as error:
            raise Unaskable(Issue("prompt", "verbatim.slow_pattern", reduce(path_to, path, "$"), str(error))) from None
        bounds = shape.schema
        found = [
            span for span in spans if offers(mark, span, shape.target) and _within(bounds, mark, span, shape.target)
        ]
        if masks:
            found = list(dict.fromkeys(shown for span in found if (shown := masks.candidate(span)) is not None))
        if not found and not _may_be_absent(schema, path):
            message = f"the record holds nothing that {'.'.join(path)} could be"
            raise Unaskable(Issue("prompt", "verbatim.no_candidate", reduce(path_to, path, "$"), message))
        if len(found) <= self._most(mark):
            node = node_at(schema, path)
            node |= _enum_of(found, "null" in node["type"])
        # above the limit the field goes plain, and the judge refuses what the record does not hold


def _covered_parts(parts: Mapping[str, Sequence[Part]], masks: Masks) -> dict[str, tuple[Part, ...]]:
    """The parts with their texts masked; a redactor goes with texts alone."""
    return {column: tuple(part.with_text(masks.covered) for part in own) for column, own in parts.items()}


def _covered(message: dict[str, Any], cover: Callable[[str], str]) -> dict[str, Any]:
    """The message with its text changed; examples, which are messages of a kind of their own, are masked already."""
    content = message["content"]
    return {**message, "content": cover(content)} if type(message) is dict and isinstance(content, str) else message


def _frame(body: dict[str, Any]) -> _Frame:
    """A body cut in two where its messages go."""
    before, mark, after = to_json(body).partition(_NO_MESSAGES)  # a text within JSON has no bare quotation marks
    return before + mark[:-1], mark[-1:] + after


def _without_nulls(answer: Any, shape: Shape) -> Any:
    """The answer as a call's arguments: a field that is null is left out, where that says the same."""
    if isinstance(answer, list) and shape.item:
        return [_without_nulls(item, shape.item) for item in answer]
    if not isinstance(answer, dict) or shape.kind != "object":
        return answer
    fields = {item.wire: item for item in shape.fields}
    nodes = shape.schema.get("properties", {})
    left_out = {
        name for name, item in fields.items() if item.required or nodes.get(name, {}).get("default", "") is None
    }
    return {
        name: _without_nulls(value, fields[name].shape) if name in fields else value
        for name, value in answer.items()
        if value is not None or name not in left_out or not fields[name].shape.nullable
    }


def _nothing_said(record: Record) -> str:
    """That there is nothing to ask, and what may be meant: a file of a folder that has no text."""
    said = "every column that the prompt uses is empty"
    of_folder = record.get("media_type") and record.get("file")
    return f"{said}; files go with Prompt(media=['file'])" if of_folder else said


def _name_of(*texts: bytes) -> str:
    """A digest of the texts one after the other."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        for start in range(0, len(text), _AT_ONCE):
            digest.update(text[start : start + _AT_ONCE])
    return digest.hexdigest()


def _record_call(name: str, schema: JsonSchema) -> dict[str, Any]:
    """A function whose arguments are the record, which the model must call."""
    about = {"name": name, "description": "Give the record.", "parameters": schema}
    chosen = {"type": "function", "function": {"name": name}}
    return {"tools": [{"type": "function", "function": about}], "tool_choice": chosen}


def _within(bounds: JsonSchema, mark: Verbatim, span: str, target: Target) -> bool:
    """Whether the field's own bounds leave this span a choice: -5.00 is no total that is at least 0."""
    limits = [(name, Decimal(str(bounds[name]))) for name in _BOUNDS if name in bounds]
    if not limits or target not in ("int", "float", "decimal"):
        return True
    value = reading(mark, span, target)
    return all(_BOUNDS[name](value, limit) for name, limit in limits)


def _may_be_absent(schema: JsonSchema, path: tuple[str, ...]) -> bool:
    """Whether an answer may do without this field: a list may be empty, and it or an object around it may be null."""
    above = [node_at(schema, path[: depth + 1]) for depth in range(len(path))]
    return "*" in path or any("null" in node["type"] or node.get("nullable") for node in above)


def _enum_of(found: list[str], nullable: bool) -> JsonSchema:
    if not nullable:
        return {"enum": found} if found else {}
    return {"enum": [*found, None]} if found else {"type": "null"}


def estimated_tokens(request: ChatRequest) -> int:
    """Input tokens, very roughly: four bytes of body each, and a flat number for each file."""
    return len(request.body) // 4 + MEDIA_TOKENS * len(request.media)
