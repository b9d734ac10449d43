"""A record as a tree of cells: objects by path, lists matched by best assignment, single values compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from extract.evaluation.assignment import best_pairs
from extract.evaluation.comparators import Comparator

CORRECT, WRONG, SPURIOUS, MISSED, NULL = range(5)
WITHHELD = 5  # a gold value whose record has no row
STATES = ("correct", "wrong", "spurious", "missed", "null", "withheld")

MOST_PAIRS = 90_000  # of items that are weighed against each other
MOST_CELLS = (
    1_000_000  # the product of the cells of two lists that are weighed; beyond, what is not equal goes in order
)

Cell = tuple[int, int]  # number of the leaf, state


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A predicted value that is none of its field's kind: the same as no gold value."""

    value: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value."""

    number: int
    path: str
    comparator: Comparator


@dataclass(frozen=True, slots=True)
class Node:
    """An object: its parts by name."""

    path: str
    parts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Items:
    """A list. `number`: of the leaf that counts whole items, for items that are objects. `takes_equals`: whether no
    pairing is better than one in which equal items are paired: what is the same as the same is the same."""

    path: str
    item: Any
    number: int | None = None
    unique: bool = False
    takes_equals: bool = False


@dataclass(frozen=True, slots=True)
class Whole:
    """A nested value as one cell: the same items, in the same order, with the same parts."""

    number: int
    path: str
    inner: Any


Tree = Leaf | Node | Items | Whole


class Misread(ValueError):  # noqa: N818  # it becomes an InputError, with its place
    """A gold value that is none of its field's kind."""

    def __init__(self, path: str, value: Any, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.value = value


def read(tree: Tree, value: Any, *, strict: bool) -> Any:
    """A value in the form in which it is compared. Raises Misread when `strict`; else what cannot be read is
    Unreadable."""
    if isinstance(tree, Leaf):
        if is_null(value):
            return None
        try:
            return tree.comparator.read(value)
        except ValueError as error:
            if strict:
                raise Misread(tree.path, value, str(error)) from None
            return Unreadable(repr(value))
    if isinstance(tree, Whole):
        return read(tree.inner, value, strict=strict)
    if is_null(value):
        return [] if isinstance(tree, Items) else None
    return _read_nested(tree, _opened(tree, value, strict), strict)


def is_null(value: Any) -> bool:
    """Null, as Arrow, pandas and NumPy have it."""
    return value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124  # NaN is not itself


def _opened(tree: Node | Items, value: Any, strict: bool) -> Any:
    """What a cell of text holds as JSON; anything that does not fit becomes text that fits nowhere."""
    kinds = Mapping if isinstance(tree, Node) else (list, tuple, np.ndarray, Mapping)
    found = value
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = value
    if found is None or isinstance(found, kinds):
        return found
    if strict:
        what = "object" if isinstance(tree, Node) else "list"
        raise Misread(tree.path, value, f"{repr(value)[:80]} is no {what} (in a cell of text: JSON)")
    return Unreadable(repr(value))


def _read_nested(tree: Node | Items, value: Any, strict: bool) -> Any:
    if isinstance(tree, Node):
        if isinstance(value, Unreadable):
            return {name: _unreadable(part, value) for name, part in tree.parts.items()}
        return {name: read(part, (value or {}).get(name), strict=strict) for name, part in tree.parts.items()}
    if isinstance(value, Unreadable):
        return [_unreadable(tree.item, value)]
    found = [read(tree.item, item, strict=strict) for item in _entries(tree, value) if not is_null(item)]
    return _unique(found) if tree.unique else found


def _unreadable(tree: Tree, value: Unreadable) -> Any:
    if isinstance(tree, Leaf):
        return value
    return {} if isinstance(tree, Node) else []


def _entries(tree: Items, value: Any) -> Sequence[Any]:
    """The items of a list; a map's, however it came, as objects of key and value."""
    if value is None:
        return []
    is_map = isinstance(tree.item, Node) and set(tree.item.parts) == {"key", "value"}
    if isinstance(value, Mapping):
        return [{"key": key, "value": item} for key, item in value.items() if not is_null(item)]
    if is_map and all(isinstance(item, list | tuple) and len(item) == 2 for item in value):
        return [{"key": key, "value": item} for key, item in value]
    return list(value)


def _unique(items: list[Any]) -> list[Any]:
    return list({freeze(item): item for item in items}.values())


def freeze(value: Any) -> Any:
    """A read value as something that can be hashed."""
    if isinstance(value, dict):
        return tuple((name, freeze(part)) for name, part in value.items())
    return tuple(map(freeze, value)) if isinstance(value, list) else value


def cells(tree: Tree, predicted: Any, gold: Any) -> list[Cell]:
    """What becomes of each cell; null stands for "no such object" too."""
    found: list[Cell] = []
    _collect(tree, predicted, gold, found)
    return found


def _collect(tree: Tree, predicted: Any, gold: Any, found: list[Cell]) -> None:
    if isinstance(tree, Leaf):
        found.append((tree.number, _state(tree.comparator, predicted, gold)))
    elif isinstance(tree, Node):
        left, right = predicted or {}, gold or {}
        for name, part in tree.parts.items():
            _collect(part, left.get(name), right.get(name), found)
    elif isinstance(tree, Items):
        if predicted or gold:
            found.extend(_cells_of_items(tree, predicted or [], gold or []))
    else:
        found.append((tree.number, _whole_state(tree, predicted, gold)))


def _state(comparator: Comparator, predicted: Any, gold: Any) -> int:
    if predicted is None:
        return NULL if gold is None else MISSED
    if gold is None:
        return SPURIOUS
    if isinstance(predicted, Unreadable) or isinstance(gold, Unreadable):
        return CORRECT if predicted == gold else WRONG
    return CORRECT if comparator.same(predicted, gold) else WRONG


def _whole_state(tree: Whole, predicted: Any, gold: Any) -> int:
    if _is_empty(predicted):
        return NULL if _is_empty(gold) else MISSED
    if _is_empty(gold):
        return SPURIOUS
    return CORRECT if _is_same(tree.inner, predicted, gold) else WRONG


def _is_empty(value: Any) -> bool:
    """Whether nothing is in it: null, an empty list, an object of nulls."""
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return value is None or value == []


def _is_same(tree: Tree, predicted: Any, gold: Any) -> bool:
    if isinstance(tree, Items):
        left, right = predicted or [], gold or []
        return len(left) == len(right) and all(_is_same(tree.item, a, b) for a, b in zip(left, right, strict=True))
    if isinstance(tree, Node):
        left, right = predicted or {}, gold or {}
        return all(_is_same(part, left.get(name), right.get(name)) for name, part in tree.parts.items())
    return all(state in (CORRECT, NULL) for _, state in cells(tree, predicted, gold))


def _cells_of_items(tree: Items, predicted: list[Any], gold: list[Any]) -> Iterator[Cell]:
    pairs = _pairs(tree, predicted, gold)
    for a, b in pairs:
        found = cells(tree.item, predicted[a], gold[b])
        yield from found
        if tree.number is not None:
            yield tree.number, CORRECT if _all_right(found) else WRONG
    left, right = {a for a, _ in pairs}, {b for _, b in pairs}
    for position, item in enumerate(predicted):
        if position not in left:
            yield from _alone(tree, item, None, SPURIOUS)
    for position, item in enumerate(gold):
        if position not in right:
            yield from _alone(tree, None, item, MISSED)


def _alone(tree: Items, predicted: Any, gold: Any, state: int) -> Iterator[Cell]:
    """The cells of an item that has no partner."""
    yield from (cell for cell in cells(tree.item, predicted, gold) if cell[1] != NULL)
    if tree.number is not None:
        yield tree.number, state


def _all_right(found: list[Cell]) -> bool:
    return all(state in (CORRECT, NULL) for _, state in found)


def _pairs(tree: Items, predicted: list[Any], gold: list[Any]) -> list[tuple[int, int]]:
    """The pairs with the most right cells, and of those the ones with the most items that are right as a whole."""
    if isinstance(tree.item, Leaf) and tree.item.comparator.is_equality:
        return _equal_pairs(predicted, gold)
    is_long = _is_long(predicted, gold)
    found = _equal_pairs(predicted, gold) if tree.takes_equals or is_long else []
    left, right = ([at for at in range(len(side)) if at not in taken] for side, taken in _taken(predicted, gold, found))
    if is_long and _is_long([predicted[at] for at in left], [gold[at] for at in right]):
        return sorted([*found, *zip(left, right, strict=False)])
    worth = np.array([[_worth(tree, predicted[a], gold[b]) for b in right] for a in left])
    chosen = [(a, b) for a, b in best_pairs(worth.reshape(len(left), len(right))) if worth[a, b] > 0]
    return sorted([*found, *((left[a], right[b]) for a, b in chosen)])


def _taken(
    predicted: list[Any], gold: list[Any], pairs: list[tuple[int, int]]
) -> tuple[tuple[list[Any], set[int]], tuple[list[Any], set[int]]]:
    return (predicted, {a for a, _ in pairs}), (gold, {b for _, b in pairs})


def _is_long(predicted: list[Any], gold: list[Any]) -> bool:
    return len(predicted) * len(gold) > MOST_PAIRS or _size(predicted) * _size(gold) > MOST_CELLS


def _size(value: Any) -> int:
    """The number of its cells."""
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list) else 1


def is_chain(tree: Any) -> bool:
    """Whether what is the same as the same is the same, in every part."""
    if isinstance(tree, Leaf):
        return tree.comparator.is_chain
    if isinstance(tree, Node):
        return all(map(is_chain, tree.parts.values()))
    return is_chain(tree.item if isinstance(tree, Items) else tree.inner)


def _worth(tree: Items, predicted: Any, gold: Any) -> float:
    found = cells(tree.item, predicted, gold)
    right = sum(state == CORRECT for _, state in found)
    return right + 1e-3 * _all_right(found) if right else 0.0


def _equal_pairs(predicted: list[Any], gold: list[Any]) -> list[tuple[int, int]]:
    """Each item with the first equal one that is still free."""
    places: dict[Any, list[int]] = {}
    for position in range(len(gold) - 1, -1, -1):
        places.setdefault(freeze(gold[position]), []).append(position)
    found = []
    for position, item in enumerate(predicted):
        free = places.get(freeze(item))
        if free:
            found.append((position, free.pop()))
    return found
