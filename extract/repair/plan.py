"""Failed answer → the request that mends it, and the reply put into the answer. Pure.

What is asked depends on what is wrong. Fields that break the schema, or that a check wants repaired, are asked for
alone: the request carries the answer and what is wrong with it, and a schema of these fields. An answer that was cut
off, or that is all thoughts, is asked for with more room. What is no answer at all is asked for as a whole, with the
reason. A refusal, and what a check rejects, is not asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from extract.config import Model, Repair
from extract.parts import Part
from extract.records import ChatRequest, Completion, Issue, Outcome, Record, field_of
from extract.requests import RequestBuilder, Unaskable
from extract.salvage import Answer
from extract.schema.nodes import json_text
from extract.validate import Judge, answer_of, root_of

Kind = Literal["room", "fields", "whole"]

MAX_NAMED = 20  # issues that a request names
MAX_BUILDERS = 256  # kept, one for each set of fields that failed together
_NO_ROOM = ("output.truncated", "output.empty")
_BROKEN = ("output.loop", "output.error")
_OF_FIELDS = ("schema", "model")
_WRONG = ("Your answer is wrong in these places:", "Give only {}, corrected.")
_DOUBTED = (  # what other records say is no proof that this one was misread
    "Your answer does not go with those to other records, and may be wrong in these places:",
    "Read the record again, and give only {}; what it really says stays as it is.",
)
NEVER = ("policy.", "check.", "internal.")  # codes of which no answer would be better, of whatever model


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that may mend an answer."""

    request: ChatRequest
    kind: Kind
    part: Part | None = None  # the fields that it asks for; None: all
    label: str = ""  # for the row's flag

    def unasked(self, agreement: Mapping[str, float] | None) -> dict[str, float] | None:
        """How far several answers agree about the fields that are not asked for."""
        if agreement is None or self.part is None:
            return None
        return {name: share for name, share in agreement.items() if name not in self.part.names}


@dataclass
class Planner:
    """Makes the requests that mend answers of one builder; kept for a run."""

    build: RequestBuilder
    judge: Judge
    settings: Repair
    _builders: dict[tuple[str, ...], tuple[Part, RequestBuilder]] = field(default_factory=dict)

    def plan(self, record: Record, outcome: Outcome, grown: int) -> Plan | None:
        """What to ask for; None where asking again is no use. `grown`: how often this record got more room."""
        completion = outcome.completion
        if outcome.ok or completion is None or not all(is_mendable(issue) for issue in outcome.issues):
            return None
        try:
            if outcome.issues[0].code in _NO_ROOM:
                return self._with_room(record, completion, grown)
            base = self._answer(completion)
            wires = self._failed(outcome.issues, base) if base is not None else ()
            if base is None or not wires:
                return self._whole(record, completion, outcome.issues)
            return self._of_fields(record, base, outcome.issues, wires)
        except Unaskable:  # a file is gone since
            return None

    def second_look(self, record: Record, outcome: Outcome, issues: Sequence[Issue]) -> Plan | None:
        """What to ask of an answer that passed, for what is said against fields of it; None where it names none."""
        base = self._answer(outcome.completion) if outcome.completion else None
        if base is None:
            return None
        issues = [issue for issue in issues if self._field(issue, base) is not None]
        try:
            return self._of_fields(record, base, issues, self._failed(issues, base), _DOUBTED) if issues else None
        except Unaskable:  # a file is gone since
            return None

    def merged(self, record: Record, outcome: Outcome, plan: Plan, reply: Completion) -> Outcome:
        """The record judged with the reply in its place; the outcome as it was when the reply is no answer."""
        before = outcome.completion
        assert before is not None  # noqa: S101  # else there was no plan
        if plan.part is None:
            return self.judge(record, replace(reply, flags=(*reply.flags, plan.label)))
        found, base = plan.part.answer(reply), self._answer(before)
        if isinstance(found, Issue) or base is None:
            return outcome
        given = {name: found.value[name] for name in plan.part.wires if name in found.value}
        content = json_text({**base, **given})
        flags = dict.fromkeys((*before.flags, *reply.flags, *found.flags, plan.label))
        return self.judge(record, replace(before, content=content, finish_reason="stop", flags=tuple(flags)))

    def _answer(self, completion: Completion) -> dict[str, Any] | None:
        """The record as it was answered, in the form of the wire."""
        found = answer_of(completion, self.judge.root, mend_json=self.judge.mend_json)
        return found.value if isinstance(found, Answer) and isinstance(found.value, dict) else None

    def _with_room(self, record: Record, completion: Completion, grown: int) -> Plan | None:
        """The same question with more tokens to answer it; once for an answer that was nothing but thoughts."""
        is_bare = not (completion.content or "").strip()
        if is_bare and (grown or not _thought(completion)):
            return None
        tokens = _room_of(self.build.model) * 2 ** (grown + 1)
        if tokens > self.settings.longest_answer:
            return None
        build = replace(self.build, model=_with_tokens(self.build.model, tokens))
        return Plan(aside(build(record)), "room", label=f"repaired:max_tokens={tokens}")

    def _whole(self, record: Record, completion: Completion, issues: Sequence[Issue]) -> Plan:
        said = f"Your answer cannot be used:\n{_named(issues)}\nAnswer again, with the whole record and nothing else."
        messages = _said(completion.content, said)
        return Plan(aside(self.build(record, messages)), "whole", label="repaired:$")

    def _of_fields(
        self,
        record: Record,
        base: Mapping[str, Any],
        issues: Sequence[Issue],
        wires: tuple[str, ...],
        words: tuple[str, str] = _WRONG,
    ) -> Plan:
        part, build = self._builder(wires)
        before, after = words
        said = f"{before}\n{_named(issues)}\n{after.format(', '.join(part.wires))}"
        request = build(record, _said(json_text(base), said))
        return Plan(aside(request), "fields", part, f"repaired:{','.join(part.names)}")

    def _builder(self, wires: tuple[str, ...]) -> tuple[Part, RequestBuilder]:
        found = self._builders.get(wires)
        if found is None:
            names = tuple(name for name, wire in self._wires.items() if wire in wires)
            part = Part(names, wires)
            root = root_of(part.schema_of(self.build.schema))
            part = replace(part, root=root, mend_json=self.judge.mend_json)
            found = part, _without_examples(part.builder_of(self.build))
            if len(self._builders) < MAX_BUILDERS:
                self._builders[wires] = found
        return found

    @cached_property
    def _wires(self) -> dict[str, str]:
        """Field names in Python, and on the wire."""
        shape = self.build.schema.shape
        return {} if self.build.schema.wrapped else {item.name: item.wire for item in shape.asked}

    def _failed(self, issues: Sequence[Issue], base: Mapping[str, Any]) -> tuple[str, ...]:
        """The fields to ask for, in the schema's order; none where the answer as a whole is at fault."""
        found: set[str] = set()
        for issue in issues:
            name = self._field(issue, base)
            if name is None:
                return ()
            found.add(name)
        return tuple(wire for wire in self._wires.values() if wire in found)

    def _field(self, issue: Issue, base: Mapping[str, Any]) -> str | None:
        name = field_of(issue)
        if name is None:
            return None
        if name in self._wires.values() and (issue.stage == "schema" or name not in self._wires):
            return name
        return self._wires.get(name)


def _without_examples(build: RequestBuilder) -> RequestBuilder:
    """The answer that is shown has the form already: examples would cost more than all the rest, and with them goes the
    narrowing of labels to theirs, which may be what was wrong."""
    return replace(build, prompt=replace(build.prompt, examples=(), nearest=None, narrow=()))


def is_mendable(issue: Issue) -> bool:
    """Whether asking again may mend it."""
    if issue.code.startswith((*NEVER, "table.")):  # what a table cannot hold another model may say otherwise
        return False
    if issue.stage == "semantic":
        return issue.severity == "repair"
    return issue.stage in _OF_FIELDS or issue.code in (*_NO_ROOM, *_BROKEN) or issue.code.startswith("parse.")


def _thought(completion: Completion) -> bool:
    """Whether what was paid for went into thoughts."""
    return bool(completion.reasoning) or completion.finish_reason == "length" or completion.usage.thinking_tokens > 0


def _room_of(model: Model) -> int:
    own = (model.extra_body or {}).get("max_completion_tokens")
    return own if isinstance(own, int) else model.max_tokens


def _with_tokens(model: Model, tokens: int) -> Model:
    extra = model.extra_body or {}
    if "max_completion_tokens" in extra:
        return model.replaced({"extra_body": {**extra, "max_completion_tokens": tokens}})
    return model.replaced({"max_tokens": tokens})


def _named(issues: Sequence[Issue]) -> str:
    lines = [f"- {issue.path}: {issue.message[:500]}" for issue in issues[:MAX_NAMED]]
    more = len(issues) - MAX_NAMED
    return "\n".join([*lines, *([f"- and {more} more"] if more > 0 else [])])


def _said(answer: str | None, said: str) -> list[dict[str, Any]]:
    """What stands behind the record's own messages: the answer, where there is one, and what is wrong with it."""
    before = [{"role": "assistant", "content": answer}] if answer and answer.strip() else []
    return [*before, {"role": "user", "content": said}]


def aside(request: ChatRequest) -> ChatRequest:
    """A request that goes its own way: without research before it, and without a say in how schemas are relaxed."""
    return replace(request, is_repair=True)
