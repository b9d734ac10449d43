"""A record asked for in several requests, each for some fields: what each asks, and how the answers are one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from extract.errors import ConfigError
from extract.nearest import did_you_mean
from extract.prompts import Example, Prompt
from extract.records import Completion, Issue, Outcome, Record, Research, Usage, path_to, short
from extract.requests import RequestBuilder
from extract.salvage import Answer, Root
from extract.schema import CompiledSchema
from extract.schema.nodes import json_text
from extract.schema.size import size_of
from extract.validate import answer_of, root_of

SplitFields = Sequence[Sequence[str]] | int


@dataclass(frozen=True, slots=True)
class Part:
    """Some fields of a schema: their names in Python, and the properties that they are on the wire."""

    names: tuple[str, ...]
    wires: tuple[str, ...]
    root: Root = field(default=Root(frozenset(), frozenset()), repr=False, compare=False)  # of its answer
    mend_json: bool = False

    @property
    def path(self) -> str:
        """The JSON path that selects them: $.total, $['name','number']."""
        if len(self.wires) == 1:
            return path_to("$", self.wires[0])
        quoted = ("'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'" for name in self.wires)
        return f"$[{','.join(quoted)}]"

    def locate(self, issue: Issue) -> Issue:
        """The issue of this part's own request, so that it says which one."""
        path = self.path if issue.path == "$" else issue.path
        return replace(issue, path=path, message=f"{issue.message} (asked for {', '.join(self.names)})")

    def schema_of(self, whole: CompiledSchema) -> CompiledSchema:
        """What asks for this part alone."""
        return whole.part(self.names, self.wires)

    def answer(self, completion: Completion) -> Answer | Issue:
        """What was answered for this part, and what was salvaged; or why it is no answer."""
        found = answer_of(completion, self.root, mend_json=self.mend_json)
        if isinstance(found, Answer) and not isinstance(found.value, dict):
            value = short(found.value)
            return Issue("schema", "schema.type", "$", f"{value} is not of type 'object'", value)
        return found

    def builder_of(self, whole: RequestBuilder) -> RequestBuilder:
        """What builds its requests: the same messages, with the examples cut to its fields."""
        return replace(whole, schema=self.schema_of(whole.schema), prompt=self._prompt_of(whole.prompt))

    def _prompt_of(self, prompt: Prompt) -> Prompt:
        examples = [
            Example(example.record, {name: example.answer[name] for name in example.answer if name in self.wires})
            for example in prompt.loaded_examples
        ]
        return replace(prompt, examples=examples, narrow=[name for name in prompt.narrow if name in self.wires])


@dataclass(frozen=True, slots=True)
class Piece:
    """What one request came to: a completion, or the issue why there is none."""

    request: str  # hash
    attempts: int
    completion: Completion | None = None
    issue: Issue | None = None
    raw: str | None = None  # what came instead of a completion
    unanswered: bool = False  # every attempt failed; a later run asks again
    relaxed: tuple[str, ...] = ()  # what its schema had given up
    flags: tuple[str, ...] = ()  # of the request
    research: Research = Research()  # that went before
    replayed: bool = False  # the answer was there already
    stated_cost: tuple[float | None, ...] = ()  # USD; of an answer that another model gave, at its price


Judge = Callable[[Record, Completion], Outcome]


def parts_of(schema: CompiledSchema, split: SplitFields, *, mend_json: bool = False) -> tuple[Part, ...]:
    """The parts that `split` names, or so many of about equal size in the order of the fields; () for the whole.

    Raises ConfigError when a field is in none or in two, or is none of the schema's.
    """
    fields = {item.name: item.wire for item in schema.shape.asked}
    given = _even(schema, list(fields), split) if isinstance(split, int) else _named(list(fields), split)
    if len(given) < 2:
        return ()
    loose = [name for name in schema.wire_schema["properties"] if name not in fields.values()]  # undeclared properties
    wires = [tuple(fields[name] for name in fields if name in names) for names in given]
    wires[-1] = (*wires[-1], *loose)
    return tuple(
        Part(names, own, root_of(schema.part(names, own)), mend_json) for names, own in zip(given, wires, strict=True)
    )


def _named(fields: Sequence[str], split: Any) -> list[tuple[str, ...]]:
    hint = 'lists of field names such as [["name", "date"], ["lines"]], or how many parts'
    if isinstance(split, str) or not isinstance(split, Sequence):
        raise ConfigError(f"split_fields is {split!r}", hint=hint)
    for part in split:
        if isinstance(part, str) or not isinstance(part, Sequence) or not all(isinstance(name, str) for name in part):
            raise ConfigError(f"split_fields holds {part!r}", hint=hint)
        if not part:
            raise ConfigError("split_fields has a part without fields", hint=hint)
    named = [name for part in split for name in part]
    for name in named:
        if name not in fields:
            suggestion = did_you_mean(name, fields)
            raise ConfigError(f"split_fields names {name!r}, which is no field that is asked for", hint=suggestion)
    twice = [name for name in dict.fromkeys(named) if named.count(name) > 1]
    missing = [name for name in fields if split and name not in named]
    for wrong, what in ((twice, "names {} more than once"), (missing, "leaves out {}")):
        if wrong:
            said = what.format(", ".join(map(repr, wrong)))
            raise ConfigError(f"split_fields {said}", hint="each field stands in exactly one part")
    return [tuple(part) for part in split]


def _even(schema: CompiledSchema, fields: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """So many runs of fields, each with some, of about the same number of states."""
    if isinstance(count, bool) or not 1 <= count <= len(fields):
        raise ConfigError(f"split_fields is {count!r}", hint=f"1 to {len(fields)} parts, or lists of field names")
    nodes = schema.wire_schema["properties"]
    sizes = [size_of(nodes[item.wire]).states + len(item.wire) for item in schema.shape.asked]
    found: list[tuple[str, ...]] = []
    start = 0
    for left in range(count, 0, -1):
        share, end, taken = sum(sizes[start:]) / left, start + 1, sizes[start]
        while len(fields) - end >= left and (left == 1 or taken + sizes[end] / 2 <= share):
            end, taken = end + 1, taken + sizes[end]
        found.append(tuple(fields[start:end]))
        start = end
    return found


def outcome_of(record: Record, parts: Sequence[Part], pieces: Sequence[Piece], judge: Judge) -> Outcome:
    """What becomes of a record by all that was answered; without parts there is one piece.

    When a part has no whole answer, the record's reason is that part's own; one that is final comes before one that
    another run may mend.
    """
    if not parts:
        return _outcome(record, pieces[0], judge)
    answers = [
        part.answer(piece.completion) if piece.completion else None for part, piece in zip(parts, pieces, strict=True)
    ]
    faults = list(_faults(record, parts, pieces, answers, judge))
    found = next((fault for fault in faults if not fault.unanswered), faults[0] if faults else None)
    completions = [piece.completion for piece in pieces if piece.completion]
    if found is None:
        whole = [answer for answer in answers if isinstance(answer, Answer)]
        content = json_text({key: value for answer in whole for key, value in answer.value.items()})
        flags = [flag for each in completions for flag in each.flags] + [flag for each in whole for flag in each.flags]
        found = judge(record, replace(completions[0], content=content, flags=tuple(dict.fromkeys(flags))))
    if completions:
        summed = _summed(found.completion or completions[0], completions)
        found = replace(found, completion=replace(summed, reasoning=_thoughts(parts, pieces)))
    return found


def _thoughts(parts: Sequence[Part], pieces: Sequence[Piece]) -> str | None:
    """What was thought for all parts, each below the names of its fields; None for nothing."""
    thoughts = [
        (part, piece.completion and piece.completion.reasoning) for part, piece in zip(parts, pieces, strict=True)
    ]
    return "\n\n".join(f"[{', '.join(part.names)}]\n{thought}" for part, thought in thoughts if thought) or None


def _outcome(record: Record, piece: Piece, judge: Judge) -> Outcome:
    if piece.completion is not None:
        return judge(record, piece.completion)
    assert piece.issue is not None  # noqa: S101  # one of the two is there
    return Outcome(record, issues=(piece.issue,), raw=piece.raw, unanswered=piece.unanswered)


def _faults(
    record: Record,
    parts: Sequence[Part],
    pieces: Sequence[Piece],
    answers: Sequence[Answer | Issue | None],
    judge: Judge,
) -> Iterator[Outcome]:
    """An outcome for each part that gives the whole nothing; what is wrong with an answer by itself, the judge says."""
    owners = {name: part for part in parts for name in part.wires}
    seen: dict[str, Any] = {}  # undeclared properties, where the schema is open
    for part, piece, found in zip(parts, pieces, answers, strict=True):
        if piece.completion is None or found is None:
            yield _located(part, _outcome(record, piece, judge))
            continue
        if isinstance(found, Issue):
            raw = piece.completion.content
            yield _located(part, Outcome(record, issues=(found,), completion=piece.completion, raw=raw))
            continue
        answer = found.value
        foreign = [
            name
            for name, value in answer.items()
            if owners.get(name, part) is not part or (name not in owners and seen.setdefault(name, value) != value)
        ]
        if foreign:
            message = "the answer holds what another part has answered"
            issue = Issue("schema", "schema.additionalProperties", "$", message, short(foreign))
            raw = piece.completion.content
            yield Outcome(record, issues=(part.locate(issue),), completion=piece.completion, raw=raw)


def _located(part: Part, outcome: Outcome) -> Outcome:
    return replace(outcome, issues=tuple(part.locate(issue) for issue in outcome.issues))


def _summed(one: Completion, all_of_them: Sequence[Completion]) -> Completion:
    """A completion that cost what all of them did."""
    usage = sum((each.usage for each in all_of_them), Usage())
    models = dict.fromkeys(each.model for each in all_of_them if each.model)
    sources = dict.fromkeys(source for each in all_of_them for source in each.sources)
    return replace(one, usage=usage, model=", ".join(models) or None, sources=tuple(sources))


def lasting_flags(pieces: Sequence[Piece]) -> list[str]:
    """What the requests say of a row, whatever the answer is."""
    relaxed = max((piece.relaxed for piece in pieces), key=len)
    flags = list(dict.fromkeys(flag for piece in pieces for flag in piece.flags))
    return [*flags, f"schema_relaxed:{', '.join(relaxed)}"] if relaxed else flags


def stated_cost(pieces: Sequence[Piece]) -> float | None:
    """What answers of other models cost, at their own price; None when one of them has none."""
    costs = [cost for piece in pieces for cost in piece.stated_cost]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def with_research(outcome: Outcome, research: Research) -> Outcome:
    """The outcome with what the research before it cost, found and noticed."""
    completion = outcome.completion
    if not research.calls and not (completion and completion.sources):
        return outcome
    if completion is not None:
        sources = tuple(dict.fromkeys((*research.sources, *completion.sources)))
        completion = replace(completion, usage=completion.usage + research.usage, sources=sources)
    return replace(outcome, completion=completion, flags=(*research.flags, *outcome.flags))
