"""Which cells of two sides are compared, and how: the tree of a record, and what is not compared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from extract.errors import ConfigError, InputError
from extract.evaluation.comparators import Comparator, comparator_for, default_for
from extract.evaluation.kinds import Kind, is_nested, is_plain, joint_kind, name_of, values_at
from extract.evaluation.sides import Side
from extract.evaluation.tree import Items, Leaf, Node, Tree, Whole, is_chain
from extract.nearest import did_you_mean

Compare = Mapping[str, str | Callable[[Any, Any], Any]]

CONFIDENCE = "confidence"  # of the record; of a field, after its name

_MISSPELT = 0.8  # how alike a gold column and a field without gold are when one of them is misspelt


@dataclass(frozen=True, slots=True)
class Column:
    """A path that is scored. `counted`: in the totals; whole items are not, since their parts are."""

    path: str
    comparator: str
    counted: bool = True
    is_enum: bool = False
    in_list: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The tree of what is compared; its leaves are numbered as `columns`."""

    tree: Node
    columns: Sequence[Column]
    notes: Sequence[str]


def make_plan(
    predicted: Side, gold: Side, compare: Compare | None = None, fields: Collection[str] = (), *, is_gold: bool = True
) -> Plan:
    """Compare what both sides have. Raises ConfigError and InputError for names and types that do not fit.

    is_gold: whether the second side is gold, whose columns may be misspelt, or another run.
    """
    if is_gold and not fields:
        _refuse_misspelt(predicted, gold)
    names = _common(predicted, gold, fields)
    builder = _Builder(predicted, gold, dict(compare or {}), fields)
    parts = {name: builder.build(name, predicted.columns[name], gold.columns[name], False) for name in names}
    tree = Node("", {name: part for name, part in parts.items() if part is not None})
    builder.refuse_unknown()
    if not builder.columns:
        raise ConfigError("every field is left out: there is nothing to compare")
    unused = [] if fields else [*_unused(predicted, gold, is_gold)]
    return Plan(tree, builder.columns, [*unused, *builder.notes])


def _common(predicted: Side, gold: Side, fields: Collection[str]) -> list[str]:
    wanted = {name.partition(".")[0] for name in fields} if fields else predicted.columns.keys() & gold.columns.keys()
    found = [name for name in predicted.columns if name in wanted and name in gold.columns]
    for name in sorted(wanted - set(found)):
        side = predicted if name not in predicted.columns else gold
        hint = did_you_mean(name, side.columns, "it has")
        raise InputError(f"there is no field {name!r}", file=side.label, hint=hint)
    if not found:
        raise InputError(
            f"no column is a field of {predicted.label}",
            file=gold.label,
            hint=f"the fields are: {', '.join(predicted.columns)}; gold has: {', '.join(gold.columns)}",
        )
    return found


def _refuse_misspelt(predicted: Side, gold: Side) -> None:
    """A gold column that is meant for a field and would silently not count."""
    free = [name for name in predicted.columns if name not in gold.columns]
    for name in gold.columns:
        if name in predicted.columns or name in predicted.passed:
            continue
        if gold.is_labels:
            known = did_you_mean(name, predicted.columns, "the fields are")
            raise InputError(f"{name!r} is no field of {predicted.label}", file=gold.label, column=name, hint=known)
        close = get_close_matches(name, free, n=1, cutoff=_MISSPELT)
        if close:
            raise InputError(
                f"{name!r} is no field of {predicted.label}",
                file=gold.label,
                column=name,
                hint=f"did you mean {close[0]!r}? If not, name the fields to compare: --fields",
            )


def _unused(predicted: Side, gold: Side, is_gold: bool) -> Iterator[str]:
    beside = [name for name in gold.columns if name not in predicted.columns]
    without = [name for name in predicted.columns if name not in gold.columns and not is_confidence(name)]
    if beside:
        what = "gold columns that are no fields" if is_gold else f"only in {gold.label}"
        yield f"{what}, not compared: {', '.join(beside)}"
    if without:
        what = "fields without gold" if is_gold else f"only in {predicted.label}"
        yield f"{what}, not compared: {', '.join(without)}"


def is_confidence(name: str) -> bool:
    return name == CONFIDENCE or name.endswith(f"_{CONFIDENCE}")


@dataclass
class _Builder:
    predicted: Side
    gold: Side
    compare: dict[str, str | Callable[[Any, Any], Any]]
    fields: Collection[str]
    columns: list[Column] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def build(self, path: str, predicted: Kind, gold: Kind, in_list: bool) -> Tree | None:
        self.seen.add(path)
        spec = self.compare.get(path)
        if spec == "ignore":
            return None
        if callable(spec):
            return self._leaf(path, comparator_for(spec, "text", path), in_list)
        listing, _, inner = (spec or "").partition(":")
        if isinstance(predicted, list) or isinstance(gold, list) or listing in ("list", "set"):
            if spec == "exact":
                return self._whole(path, self._items_of(path, predicted, gold, False), in_list)
            return self._list(path, predicted, gold, listing == "set", inner if listing in ("list", "set") else spec)
        if isinstance(predicted, dict) or isinstance(gold, dict):
            if spec not in (None, "exact"):
                raise ConfigError(f"{path}: {spec!r} compares single values", hint=f"name a part: {path}.…={spec}")
            return self._object(path, predicted, gold, in_list, whole=spec == "exact")
        return self._single(path, predicted, gold, spec, in_list)

    def _single(self, path: str, predicted: Kind, gold: Kind, spec: str | None, in_list: bool) -> Leaf | None:
        values = (self._values(path) if predicted is None and gold is None else ()) if spec is None else ()
        kind = joint_kind(predicted, gold, values) if spec in (None, "exact") else "text"
        return self._leaf(path, comparator_for(spec, kind, path) if spec else default_for(kind), in_list)

    def _values(self, path: str) -> Iterator[Any]:
        names = path.split(".")
        for side in (self.predicted, self.gold):
            for row in side.rows.values():
                yield from values_at(row.get(names[0]), names[1:])

    def _leaf(self, path: str, comparator: Comparator, in_list: bool) -> Leaf | None:
        if not self._is_wanted(path):
            return None
        return Leaf(self._number(Column(path, comparator.name, True, comparator.is_enum, in_list)), path, comparator)

    def _number(self, column: Column) -> int:
        self.columns.append(column)
        return len(self.columns) - 1

    def _is_wanted(self, path: str) -> bool:
        return not self.fields or any(path == name or path.startswith(f"{name}.") for name in self.fields)

    def _object(self, path: str, predicted: Kind, gold: Kind, in_list: bool, whole: bool = False) -> Tree | None:
        left, right = self._parts(path, predicted, gold), self._parts(path, gold, predicted)
        for name in [*left, *right]:
            if (name in left) != (name in right):
                self.notes.append(
                    f"{path}.{name} is only in {(self.predicted if name in left else self.gold).label}, not compared"
                )
        common = [name for name in left if name in right]
        if whole:
            parts = _Builder(self.predicted, self.gold, {}, ())
            found = {name: parts.build(f"{path}.{name}", left[name], right[name], in_list) for name in common}
            return self._whole(path, Node(path, found), in_list)
        made = {name: self.build(f"{path}.{name}", left[name], right[name], in_list) for name in common}
        kept = {name: part for name, part in made.items() if part is not None}
        return Node(path, kept) if kept else None

    def _parts(self, path: str, kind: Kind, other: Kind) -> dict[str, Kind]:
        """The parts of an object; text may hold one as JSON, then the other side tells them."""
        if isinstance(kind, dict):
            return kind
        if isinstance(other, dict) and is_plain(kind):
            return dict.fromkeys(other)
        raise _unlike(path, self.predicted, self.gold, kind, other)

    def _list(self, path: str, predicted: Kind, gold: Kind, unique: bool, spec: str | None) -> Items | None:
        had = self.compare.pop(path, None)
        if spec and spec not in ("list", "set"):
            self.compare[path] = spec  # which now speaks of the items
        try:
            made = self._items_of(path, predicted, gold, unique)
        finally:
            self.compare.pop(path, None)
            if had is not None:
                self.compare[path] = had
        return made

    def _items_of(self, path: str, predicted: Kind, gold: Kind, unique: bool) -> Items | None:
        left, right = self._item(path, predicted, gold), self._item(path, gold, predicted)
        if self.compare.get(path) == "exact":  # of the list as one cell: its columns are its own
            parts = _Builder(self.predicted, self.gold, {}, ())
            return Items(path, parts.build(path, left, right, True))
        is_object = isinstance(left, dict) or isinstance(right, dict)
        has_own = is_object and self._is_wanted(path)
        number = self._number(Column(path, "whole items", False, False, True)) if has_own else None
        item = self.build(path, left, right, True)
        if item is None and number is not None:
            raise ConfigError(f"{path}: all parts of its items are left out", hint=f"--compare {path}=ignore")
        return None if item is None else Items(path, item, number, unique, is_chain(item))

    def _item(self, path: str, kind: Kind, other: Kind) -> Kind:
        if isinstance(kind, list):
            return kind[0]
        if is_plain(kind):
            return None
        if isinstance(kind, dict) and isinstance(other, list) and isinstance(other[0], dict) and "key" in other[0]:
            return other[0]  # a map that was written as an object
        raise _unlike(path, self.predicted, self.gold, kind, other)

    def _whole(self, path: str, inner: Tree | None, in_list: bool) -> Whole | None:
        if inner is None or not self._is_wanted(path):
            return None
        return Whole(self._number(Column(path, "exact", True, False, in_list)), path, inner)

    def refuse_unknown(self) -> None:
        """A comparator for a path that is none would silently not be used."""
        known = {*self.seen, *self.predicted.columns, *self.gold.columns}
        for path in self.compare:
            if path not in known:
                hint = did_you_mean(path, sorted(known))
                raise ConfigError(f"--compare {path}: there is no such field", hint=hint)


def _unlike(path: str, predicted: Side, gold: Side, kind: Kind, other: Kind) -> InputError:
    nested, single = (kind, other) if is_nested(kind) else (other, kind)
    return InputError(
        f"the field is {name_of(nested)} in one table and {name_of(single)} in the other ({predicted.label})",
        file=gold.label,
        column=path,
    )
