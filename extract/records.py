"""The frozen values that cross stages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from extract.media import Part

Key = str | int
Severity = Literal["reject", "repair", "warn"]

HUMAN = "human"  # flag of a row that a person filled in, and its model
ESTIMATED = "usage_estimated"  # flag of an answer whose tokens nobody counted
_LONGEST = 500  # characters of an offending value
_PLAIN_STEP = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_REQUIRED = re.compile(r"'((?:[^'\\]|\\.)*)' is a required property")
_STEP = re.compile(r"\.([^\W\d]\w*)|\['((?:[^'\\]|\\.)*)'\]|\[(\d{1,9})\]")


@dataclass(frozen=True, slots=True)
class Issue:
    """What is wrong with one answer or one input row.

    `stage` is source, media, prompt, request, parse, schema, model or semantic; `code` is stable (`schema.enum`);
    `path` is a JSON path such as `$.lines[2].amount`; `value` is the offending value. `severity` says what a semantic
    check wants done: quarantine the record, ask again for what is at fault, or only flag the row.
    """

    stage: str
    code: str
    path: str
    message: str
    value: Any = None
    severity: Severity = "reject"


def path_to(parent: str, step: str | int) -> str:
    """The JSON path one step below `parent`, written as jsonschema writes it: $.lines[2].amount, $['Total due']."""
    if isinstance(step, int):
        return f"{parent}[{step}]"
    if _PLAIN_STEP.fullmatch(step):
        return f"{parent}.{step}"
    escaped = step.replace("\\", "\\\\").replace("'", "\\'")
    return f"{parent}['{escaped}']"


def steps_of(path: str) -> list[str | int] | None:
    """The steps that `path_to` has made `$.lines[2]['Total due']` of; none of `$`. None for what is no such path."""
    if not path.startswith("$"):
        return None
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            return None
        name, quoted, number = match.groups()
        steps.append(int(number) if number else name or _unquoted(quoted))
        at = match.end()
    return steps


def field_of(issue: Issue) -> str | None:
    """The field that an issue is about, one that is missing too; None where it is about the record as a whole."""
    if issue.code == "schema.required" and issue.path == "$" and (missing := _REQUIRED.match(issue.message)):
        return _unquoted(missing.group(1))
    step = _STEP.match(issue.path, 1) if issue.path.startswith("$") else None
    if step is None or step.group(3):
        return None
    return step.group(1) or _unquoted(step.group(2))


def _unquoted(name: str) -> str:
    """A name that stands between quotes, without its backslashes."""
    return re.sub(r"\\(.)", r"\1", name)


def short(value: Any) -> Any:
    """The offending value, whole if small: the raw answer is kept beside it anyway."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return value if len(text) <= _LONGEST else text[:_LONGEST] + "…"


@dataclass(frozen=True, slots=True)
class Record(Mapping[str, Any]):
    """One row of the source: its columns as a mapping, its key and where it stands."""

    key: Key
    position: int  # from 0, in input order
    cells: Mapping[str, Any]
    line: int | None = None  # of the file, from 1
    problem: Issue | None = None  # the row could not be read as it should

    def __getitem__(self, column: str) -> Any:
        return self.cells[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, or of several. Two are equal that count the same, whatever of it was cached or thought."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = field(default=0, compare=False)  # of the input, those that the server had read before
    thinking_tokens: int = field(default=0, compare=False)  # of the output, those that were thoughts

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.thinking_tokens + other.thinking_tokens,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            self.cached_tokens - other.cached_tokens,
            self.thinking_tokens - other.thinking_tokens,
        )


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called; `arguments` is the text as it came, which should be JSON.

    `extra_content` is the gateway's own, such as the signature of a thought, and is to be sent back as it came.
    """

    id: str
    name: str
    arguments: str
    extra_content: Any = None


@dataclass(frozen=True, slots=True)
class WebSource:
    """A page that an answer with search rests on; `start` and `end` are characters of the content, where told."""

    url: str
    title: str | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Research:
    """What a model did before it was asked for the record: calls, their tokens, the pages found, flags for the row."""

    calls: int = 0
    usage: Usage = Usage()
    sources: tuple[WebSource, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(slots=True)
class Spent:
    """What the calls for one record have cost so far, in US dollars."""

    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request as it goes on the wire; `hash` names its exact content and is the journal's key."""

    body: bytes
    hash: str
    part: int = 0  # which of the record's requests, where its fields are asked for in several
    rung: int = 0  # how far its schema is relaxed
    media: Sequence[Part] = ()  # what `body` only names, and is put in when it is sent
    flags: tuple[str, ...] = ()  # for the row: what was noticed in making it
    scope: str = ""  # what names it besides the body, and the requests that are made for it
    attempt: int = 1  # of its calls, this is the number of the next
    owner: str | None = None  # hash of the request that this is a round of research for
    research: Research | None = None  # that went before
    is_repair: bool = False  # of an answer that failed: it goes without research, and on no ladder
    tier: str = ""  # the model on the wire, where it is not the run's first
    spent: Spent | None = field(default=None, compare=False)  # its record's account, where a record has a cap
    masks: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # what stands in it, and for which values


@dataclass(frozen=True, slots=True)
class Effort:
    """One answer on a record's way: asked at first, to repair, or of the next model; and whether the record passed."""

    what: str  # ask, repair, escalate, table: a second look for a check of the table
    model: str
    passed: bool
    usage: Usage
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of the endpoint, read but not judged.

    `flags` name what was salvaged in reading it; they go to the row.
    """

    content: str | None
    finish_reason: str | None
    model: str | None
    usage: Usage
    raw: bytes
    refusal: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    sources: tuple[WebSource, ...] = ()
    flags: tuple[str, ...] = ()
    status: int = 200
    request_id: str | None = None
    attempts: int = 1
    research: Research = Research()  # that went before
    masks: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # of its request; `content` is as it came
    asked: str | None = None  # the model that was asked, where it is not the run's own

    @property
    def is_unmetered(self) -> bool:
        """Whether it does not say how many tokens it used; what is counted then is an estimate, or nothing."""
        return not self.usage.total or ESTIMATED in self.flags


@dataclass(frozen=True, slots=True)
class Found:
    """Where the source supports a value of a row, or what in it is most like the value; a row of the evidence table."""

    path: str
    quote: str
    start: int  # characters of the column's text
    end: int
    score: float
    how: str  # exact, normalised, parts, ocr, near
    column: str
    page: int | None = None  # from 1
    supported: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record: `issues` is empty for a row of the table, else the quarantine's reasons."""

    record: Record
    issues: tuple[Issue, ...] = ()
    row: Mapping[str, Any] | None = None  # field name → typed value
    completion: Completion | None = None
    request: str | None = None  # hash
    attempts: int = 0
    flags: tuple[str, ...] = ()
    cost_usd: float | None = None
    raw: str | None = field(default=None, repr=False)  # the answer as it came, for the quarantine
    unanswered: bool = False  # every attempt failed; a later run asks again
    evidence: tuple[Found, ...] = ()
    confidence: Mapping[str, float] | None = None  # share of several answers that agree, by field
    efforts: tuple[Effort, ...] = ()  # where failed answers are asked for again

    @property
    def ok(self) -> bool:
        return not self.issues

    @property
    def is_human(self) -> bool:
        """Whether it is the word of a person."""
        return HUMAN in self.flags


def texts_in(value: Any, *, numbers: bool = False) -> Iterator[str]:
    """The texts of a cell, within lists and objects too, keys of objects included; `numbers`: whole numbers as well."""
    if isinstance(value, str):
        yield value
    elif numbers and isinstance(value, int) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from texts_in(name, numbers=numbers)
            yield from texts_in(item, numbers=numbers)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from texts_in(item, numbers=numbers)


class Sender(Protocol):
    """What sends a request: the client, and everything wrapped around it."""

    async def __call__(self, request: ChatRequest) -> Completion: ...
