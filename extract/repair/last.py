"""What becomes of a record that no repair has mended: faulty cells are emptied or flagged, where that is wanted. Pure.

Nothing is edited in the row itself: the answer is judged again with null in these places, by the schema, the model, the
checks and the evidence. So a cell that may not be null, or that another field needs, leaves the record in the
quarantine; and so does a row in which anything else comes out otherwise, as where a validator moves items, since places
in the row are then none in the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from extract.checks.base import thorough
from extract.checks.faults import Faults
from extract.config import Repair
from extract.errors import ConfigError
from extract.grounding import NULLED, UNSUPPORTED
from extract.parse import parse_json
from extract.records import Completion, Found, Issue, Outcome, Record, steps_of
from extract.schema import Reading, Shape
from extract.schema.shapes import TAG, extra_column
from extract.validate import Judge

EMPTIED = "nulled"  # flag: what was found in a cell that was emptied, as `nulled:semantic.between:$.total`
MAX_ROUNDS = 10  # in which emptied cells bring further ones to light


def refuse_failed(settings: Repair, shape: Shape) -> None:
    """Refuse to empty cells of a table in which none may be empty. Raises ConfigError."""
    if settings.failed == "null" and not _any_nullable(shape):
        raise ConfigError(
            "Repair(failed='null') can empty no cell: no field may be null",
            hint="make those that may be missing `… | None`, or say failed='flag'",
        )


def _any_nullable(shape: Shape) -> bool:
    return any(
        child.nullable or child.kind in ("json", "null") or _any_nullable(child) for _, child in shape.children()
    )


@dataclass(frozen=True)
class LastWord:
    """Says what becomes of outcomes that are still at fault."""

    judge: Judge
    settings: Repair

    def may_spare(self, outcome: Outcome) -> bool:
        """Whether a row may come of it: it was answered, and all that is wrong was to be repaired."""
        if self.settings.failed == "quarantine" or outcome.completion is None or not outcome.issues:
            return False
        return all(_is_mild(issue) for issue in outcome.issues)

    def __call__(self, record: Record, outcome: Outcome) -> Outcome:
        """The outcome with a row, where one may be; else as it was."""
        if outcome.unanswered or not self.may_spare(outcome):
            return outcome
        if self.settings.failed == "flag":
            return self._flagged(record, outcome)
        return self._emptied(record, outcome)

    def _flagged(self, record: Record, outcome: Outcome) -> Outcome:
        assert outcome.completion is not None  # noqa: S101  # the caller has looked
        checks = [thorough(check) for check in self.judge.checks]
        judge = replace(self.judge, checks=checks, mild=(*self.judge.mild, "repair"), faults=Faults())
        found = judge(record, outcome.completion)
        return _with_row(outcome, found, found.flags) if found.ok else outcome

    def _emptied(self, record: Record, outcome: Outcome) -> Outcome:
        """Cell after cell until nothing is wrong any more, or what is wrong cannot be emptied."""
        assert outcome.completion is not None  # noqa: S101  # the caller has looked
        given = {each.name: getattr(self.judge, each.name) for each in fields(Judge) if each.init}
        issues: list[Issue] = []
        like: list[Found] = []
        found = outcome
        for _ in range(MAX_ROUNDS):
            known = {issue.path for issue in issues}
            if not all(_is_mild(issue) and issue.path not in known for issue in found.issues):
                return outcome
            issues += found.issues
            like += [each for each in found.evidence if not each.supported]
            paths = tuple(dict.fromkeys(issue.path for issue in issues))
            told = frozenset((issue.code, issue.path) for issue in issues)
            checks = [thorough(check, told) for check in self.judge.checks]
            judge = _Emptying(**given | {"faults": Faults(), "checks": checks}, paths=paths, told=told)
            if not self._is_all_else_as_it_was(judge, record, outcome.completion):
                return outcome
            found = judge(record, outcome.completion)
            if found.ok:
                return _without(outcome, found, issues, like)
        return outcome

    def _is_all_else_as_it_was(self, judge: _Emptying, record: Record, completion: Completion) -> bool:
        """Whether the answer, as schema and model read it, has null in the emptied places, and else what it had.

        Asked in each round: what has moved would be found, and emptied, until nothing is left.
        """
        readers = [replace(each, checks=(), grounding=None, faults=Faults()) for each in (self.judge, judge)]
        was, now = (read(record, completion).row for read in readers)
        places = [steps_of(path) or [] for path in judge.paths]
        return was is not None and now is not None and differs_only_in(places, self.judge.schema.shape, was, now)


def _without(outcome: Outcome, found: Outcome, issues: Sequence[Issue], like: Sequence[Found]) -> Outcome:
    """The row with its cells emptied, and what was wrong told; `like`: what in the source is most like them."""
    paths = {issue.path for issue in issues}
    evidence = (*found.evidence, *(each for each in like if each.path in paths))
    done = _with_row(outcome, replace(found, evidence=evidence), [*found.flags, *map(_flag_of, issues)])
    if outcome.confidence is None:
        return done
    steps = [steps_of(path) for path in paths]
    return replace(done, confidence={name: share for name, share in outcome.confidence.items() if [name] not in steps})


def _with_row(outcome: Outcome, found: Outcome, flags: Sequence[str]) -> Outcome:
    """What it took stays, and so do the flags that it had."""
    kept = tuple(dict.fromkeys((*outcome.flags, *flags)))
    return replace(outcome, issues=(), row=found.row, evidence=found.evidence, flags=kept)


def _flag_of(issue: Issue) -> str:
    return f"{NULLED}:{issue.path}" if issue.code == UNSUPPORTED else f"{EMPTIED}:{issue.code}:{issue.path}"


def _is_mild(issue: Issue) -> bool:
    """Whether it is about a value that was to be repaired, and not about an answer that is none."""
    return issue.stage == "semantic" and issue.severity == "repair"


@dataclass(frozen=True)
class _Emptying(Judge):
    """Judges an answer with null in some places. A check that wants a value there has said so, and its flag tells."""

    paths: Sequence[str] = ()
    told: frozenset[tuple[str, str]] = frozenset()  # code and path of what the cells were emptied for

    @cached_property
    def is_plain(self) -> bool:
        """Never: its places are looked for in the answer as it was read back."""
        return False

    def _counting(self, found: Sequence[Issue]) -> tuple[list[Issue], list[str]]:
        return super()._counting([issue for issue in found if (issue.code, issue.path) not in self.told])

    def _read_back(self, record: Record, answer: Any) -> tuple[Any, list[Issue], Reading]:
        found, issues, reading = super()._read_back(record, answer)
        done: set[tuple[str | int, ...]] = set()
        for path in self.paths:
            steps = steps_of(path)
            if steps and any(tuple(steps[:depth]) in done for depth in range(1, len(steps) + 1)):
                continue
            if not steps or not empty(self.schema.shape, found, steps):
                issues.append(Issue("semantic", "internal.error", path, "there is no value to take away"))
            else:
                done.add(tuple(steps))
        return found, issues, reading


def empty(shape: Shape, answer: Any, steps: Sequence[str | int]) -> bool:
    """Put null in a place of an answer, which is changed; False when no value stands there."""
    step, rest = steps[0], steps[1:]
    if isinstance(step, int) and isinstance(answer, list):
        here: Any = step if step < len(answer) else None
    elif isinstance(step, str) and isinstance(answer, dict):
        here = next((name for name in _names(shape, step) if name in answer), None)
    else:
        return False
    if here is None or answer[here] is None:
        return False
    if rest:
        return any(empty(child, answer[here], rest) for child in _below(shape, step))
    answer[here] = None
    return True


def differs_only_in(places: Sequence[Sequence[str | int]], shape: Shape | None, was: Any, now: Any) -> bool:
    """Whether a cell is what it was, but for these places of it, which are null now. Without shape: of plain JSON."""
    if not places:
        return bool(was == now)
    if any(not place for place in places):
        return _is_null(shape, now)
    if was is None or now is None:
        return False
    if shape is not None and shape.kind == "union":
        branch = _branch(shape, was)
        return was[TAG] == now[TAG] and differs_only_in(places, branch, was[was[TAG]], now[now[TAG]])
    before, after = _parts(shape, was), _parts(shape, now)
    below: dict[str | int, list[Sequence[str | int]]] = {}
    for head, *rest in places:
        if (column := _column(shape, head)) is not None:
            below.setdefault(column, []).append(rest)
    return below.keys() <= before.keys() == after.keys() and all(
        differs_only_in(below.get(step, ()), inner, cell, after[step][1]) for step, (inner, cell) in before.items()
    )


def _is_null(shape: Shape | None, cell: Any) -> bool:
    if cell is None or shape is None:
        return cell is None
    if shape.kind == "union":
        return _is_null(_branch(shape, cell), cell[cell[TAG]])
    return shape.kind == "json" and cell == "null"


def _branch(shape: Shape, cell: Any) -> Shape:
    return next(branch.shape for branch in shape.branches if branch.label == cell[TAG])


def _column(shape: Shape | None, step: str | int) -> str | int | None:
    """The column of a field, by its own name or that on the wire; None for one that is not in the table."""
    fields = shape.fields if shape else ()
    item = next((each for each in fields if each.name == step), None)
    item = item or next((each for each in fields if each.wire == step), None)
    if item is None:
        return step
    return item.name if item.column and not item.cut else None


def _parts(shape: Shape | None, cell: Any) -> dict[str | int, tuple[Shape | None, Any]]:
    """What stands one step further; nothing where a step may name several."""
    if shape is None or shape.kind == "json":
        value = parse_json(cell) if shape else cell
        found = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
        return {step: (None, part) for step, part in found}
    pairs: list[tuple[str | int, tuple[Shape | None, Any]]] = []
    if shape.kind == "object":
        pairs = [(item.name, (item.shape, cell[item.name])) for item in shape.columns]
        pairs += [(name, (shape.extra, part)) for name, part in cell[extra_column(shape)]] if shape.extra else []
    elif shape.kind == "map":
        pairs = [(str(key), (shape.item, part)) for key, part in cell]
    elif shape.kind == "tuple":
        pairs = [(number, (part, cell[f"item_{number}"])) for number, part in enumerate(shape.items)]
    elif shape.kind == "list" and shape.python not in (set, frozenset):  # whose items have no order
        pairs = [(number, (shape.item, part)) for number, part in enumerate(cell)]
    parts = dict(pairs)
    return parts if len(parts) == len(pairs) else {}


def _names(shape: Shape, step: str) -> list[str]:
    """What a step may be called in an answer: a field by its own name, and what is no field by the step itself."""
    wires = [item.wire for each in _objects(shape) for item in each.fields if item.name == step]
    return [*wires, step]


def _below(shape: Shape, step: str | int) -> list[Shape]:
    """The shapes that may stand one step further."""
    found = [item.shape for each in _objects(shape) for item in each.fields if step in (item.name, item.wire)]
    for each in (shape, *(branch.shape for branch in shape.branches)):
        found += [child for child in (each.item, each.extra) if child]
        if isinstance(step, int) and step < len(each.items):
            found.append(each.items[step])
    return found or [shape]


def _objects(shape: Shape) -> list[Shape]:
    """The shape, and the branches of a union."""
    return [shape, *(each for branch in shape.branches for each in _objects(branch.shape))]
