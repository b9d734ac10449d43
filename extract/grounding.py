"""Row + record → where the source supports each value, and what becomes of those that it does not support. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from extract.errors import ConfigError
from extract.evidence import Evidence, Finder, Support, Wanted, finder_of, has_writing, located
from extract.media import Attachments, MediaError, parted
from extract.nearest import did_you_mean
from extract.records import Found, Issue, Record, Severity, path_to, short
from extract.schema import Shape

UNSUPPORTED = "evidence.unsupported"
NULLED = "evidence.nulled"
NEAR = "evidence.near"
QUOTE = "evidence.quote"
_WRITTEN = frozenset({"str", "int", "float", "decimal", "date", "datetime", "time", "text"})
_ON_DEMAND = frozenset({"enum"})  # whose values are mostly concluded, not written: only where the field says so
_WORD = re.compile(r"[^\W_]+")

Texts = Callable[[Record], Sequence["Source"]]


@dataclass(frozen=True)
class Source:
    """One text of a record: the column it stands in, and where its pages begin, if it has pages."""

    column: str
    text: str
    pages: Sequence[tuple[int, int]] = ()  # beginning and number

    def page(self, at: int) -> int | None:
        """The page of a place."""
        return next((number for begin, number in reversed(self.pages) if begin <= at), None)


@dataclass(frozen=True)
class SourceTexts:
    """The texts of a record: its text columns, and the text of its files, where that is what is sent."""

    columns: Sequence[str]
    attachments: Attachments | None = None

    def __call__(self, record: Record) -> list[Source]:
        found = [Source(name, record[name]) for name in self.columns if isinstance(record.get(name), str)]
        if self.attachments is None or not self.attachments.have_text:
            return found
        try:
            parts = self.attachments.parts_for(record)  # kept in memory, since they were just sent
        except MediaError:  # gone since
            return found
        texts = ((name, part.text) for name, of_column in parts.items() for part in of_column if part.text)
        return found + [Source(name, *parted(text)) for name, text in texts]


@dataclass
class Grounded:
    """What came of one row."""

    row: dict[str, Any]
    found: list[Found] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)


@dataclass(frozen=True)
class Grounding:
    """Looks the values of rows up in their records; built once, called once a record.

    `default` holds for all fields that have a writing of their own; None: only for those that are marked.
    """

    shape: Shape
    default: Evidence | None
    texts: Texts

    @cached_property
    def is_needed(self) -> bool:
        """Whether any value is to be looked up."""
        return next(self.settings, None) is not None

    @property
    def settings(self) -> Iterator[tuple[str, Evidence]]:
        """The fields that are looked up, with what is asked for them."""
        return _marked(self.shape, self.default, "$")

    def check(self, columns: Sequence[str]) -> None:
        """Refuse what cannot be done. Raises ConfigError, with the field."""
        _check(self.shape, self.default, "$", columns)

    def __call__(self, row: Mapping[str, Any], record: Record) -> Grounded:
        """Row with the emptied cells, the places, flags and issues."""
        done, sources = Grounded({}), self.texts(record)
        done.row = _Walk(sources, done, self._of_items(row, sources)).of_object(self.shape, row, self.default, "$")
        return done

    def _of_items(self, row: Mapping[str, Any], sources: Sequence[Source]) -> dict[str, Found | None]:
        """Where the values stand that belong to items of lists, by path."""
        lists: dict[str, list[_Leaves]] = {}
        _gather_items(self.shape, row, self.default, _Place("$", "$"), lists)
        found: dict[str, Found | None] = {}
        for items in lists.values():
            for source in sources:
                for path, support in located(finder_of(source.text), list(_wanted(items, source))).items():
                    found[path] = _better(found.get(path), support, path, source)
        return found


@dataclass
class _Walk:
    """One row on its way: cells that stay as they are, are emptied, or are named."""

    texts: Sequence[Source]
    done: Grounded
    of_items: Mapping[str, Found | None]  # where the values of lists' items stand, by path

    def of_object(self, shape: Shape, cells: Mapping[str, Any], above: Evidence | None, path: str) -> dict[str, Any]:
        found = dict(cells)
        for item in shape.columns:
            if item.name in found:
                wanted = item.shape.evidence or above
                quote = found.get(wanted.quote) if wanted and wanted.quote and item.shape.evidence else None
                found[item.name] = self.of(item.shape, found[item.name], wanted, path_to(path, item.name), quote)
        return found

    def of(self, shape: Shape, cell: Any, wanted: Evidence | None, path: str, quote: Any = None) -> Any:
        """The cell as it is to stand in the table."""
        if cell is None:
            return None
        wanted = shape.evidence or wanted
        if shape.kind == "object":
            return self.of_object(shape, cell, wanted, path)
        if shape.kind == "list" and shape.item:
            return [self.of(shape.item, item, wanted, path_to(path, at)) for at, item in enumerate(cell)]
        if wanted is None or not _is_looked_up(shape) or not has_writing(cell):
            return cell
        return self._leaf(shape, cell, wanted, path, quote)

    def _leaf(self, shape: Shape, cell: Any, wanted: Evidence, path: str, quote: Any) -> Any:
        sources = [each for each in self.texts if wanted.column in (None, each.column)]
        where = self._quoted(sources, quote, path) if isinstance(quote, str) and quote.strip() else None
        best = self._best(sources, cell, wanted, path, where)
        if best is not None and _supports(best, wanted):
            self.done.found.append(best)
            if best.how == "near":
                self.done.flags.append(f"{NEAR}:{path}")
            return cell
        if best is not None:
            self.done.found.append(replace(best, supported=False))
        return self._unsupported(cell, wanted, path, best)

    def _best(
        self, sources: Sequence[Source], cell: Any, wanted: Evidence, path: str, where: Found | None
    ) -> Found | None:
        """The best place in any of the texts, or in the quote alone."""
        hints = _hints(path)
        if where is not None:
            support = Finder(where.quote).find(cell, hints, wanted.day_first)
            return _found(support, path, where.column, where.page, where.start) if support else None
        if path in self.of_items:
            return self.of_items[path]
        best: Found | None = None
        for source in sources:
            best = _better(best, finder_of(source.text).find(cell, hints, wanted.day_first), path, source)
        return best

    def _quoted(self, sources: Sequence[Source], quote: str, path: str) -> Found | None:
        """Where the model's quote stands; without a place it is flagged, and the value is looked for everywhere."""
        for source in sources:
            support = finder_of(source.text).find(quote)
            if support and support.is_support:
                return _found(support, path, source.column, source.page(support.start))
        self.done.flags.append(f"{QUOTE}:{path}")
        return None

    def _unsupported(self, cell: Any, wanted: Evidence, path: str, best: Found | None) -> Any:
        like = f"; most like it: {best.quote[:80]!r}" if best else ""
        if wanted.unsupported == "flag":
            self.done.flags.append(f"{UNSUPPORTED}:{path}")
            return cell
        if wanted.unsupported == "null":
            self.done.flags.append(f"{NULLED}:{path}")
            return None
        message = f"the source does not support the value{like}"
        severity: Severity = "repair" if wanted.unsupported == "repair" else "reject"
        self.done.issues.append(Issue("semantic", UNSUPPORTED, path, message, short(cell), severity))
        return cell


def _supports(found: Found, wanted: Evidence) -> bool:
    return found.how != "near" or (wanted.near is not None and found.score >= wanted.near)


def _hints(path: str) -> list[str]:
    return _WORD.findall(path.rpartition(".")[2])


def _better(best: Found | None, support: Support | None, path: str, source: Source) -> Found | None:
    """What one more text says, where that is more than the texts before it."""
    if support is None:
        return best
    if best is not None and (best.how != "near", best.score) >= (support.is_support, support.score):
        return best
    return _found(support, path, source.column, source.page(support.start))


@dataclass(frozen=True)
class _Place:
    """Where in a row something is; and the same without the numbers of items."""

    path: str
    pattern: str

    def of(self, name: str) -> _Place:
        return _Place(path_to(self.path, name), path_to(self.pattern, name))

    def at(self, number: int) -> _Place:
        return _Place(path_to(self.path, number), f"{self.pattern}[*]")


_Leaves = list[tuple[_Place, Any, Evidence]]  # of one item, without those of lists in it


def _gather_items(
    shape: Shape,
    cell: Any,
    above: Evidence | None,
    place: _Place,
    lists: dict[str, list[_Leaves]],
    leaves: _Leaves | None = None,
) -> None:
    """The items of each list of objects, with what is looked up of them; lists in items are one over all of these."""
    wanted = shape.evidence or above
    if cell is None:
        return
    if shape.kind == "object":
        for item in shape.columns:
            if item.name in cell:
                _gather_items(item.shape, cell[item.name], wanted, place.of(item.name), lists, leaves)
    elif shape.kind == "list" and shape.item:
        for number, item in enumerate(cell):
            of_item: _Leaves = []
            _gather_items(shape.item, item, wanted, place.at(number), lists, of_item)
            if of_item and shape.item.kind == "object":
                lists.setdefault(place.pattern, []).append(of_item)
    elif leaves is not None and wanted is not None and _is_looked_up(shape) and has_writing(cell):
        leaves.append((place, cell, wanted))


def _wanted(items: Sequence[_Leaves], source: Source) -> Iterator[list[Wanted]]:
    """What is looked for in one of the texts."""
    for item in items:
        yield [
            Wanted(place.path, place.pattern, cell, _hints(place.path), wanted.day_first)
            for place, cell, wanted in item
            if wanted.column in (None, source.column)
        ]


def _found(support: Support, path: str, column: str, page: int | None, origin: int = 0) -> Found:
    start, end = support.start + origin, support.end + origin
    return Found(path, support.quote, start, end, support.score, support.how, column, page)


def _is_looked_up(shape: Shape) -> bool:
    return shape.kind in _WRITTEN or (shape.kind in _ON_DEMAND and shape.evidence is not None)


def _marked(shape: Shape, above: Evidence | None, path: str) -> Iterator[tuple[str, Evidence]]:
    wanted = shape.evidence or above
    if shape.kind == "object":
        for item in shape.columns:
            yield from _marked(item.shape, wanted, path_to(path, item.name))
    elif shape.kind == "list" and shape.item:
        yield from _marked(shape.item, wanted, f"{path}[*]")
    elif wanted is not None and _is_looked_up(shape):
        yield path, wanted


def _check(shape: Shape, above: Evidence | None, path: str, columns: Sequence[str]) -> None:
    own = shape.evidence
    if own and own.column is not None and own.column not in columns:
        raise ConfigError(f"{path}: Evidence looks in a column {own.column!r} that the source has not")
    for item in shape.columns:
        mark, names = item.shape.evidence, [each.name for each in shape.columns]
        if mark and mark.quote is not None and mark.quote not in names:
            place = path_to(path, item.name)
            raise ConfigError(f"{place}: there is no field {mark.quote!r}", hint=did_you_mean(mark.quote, names))
        _check(item.shape, own or above, path_to(path, item.name), columns)
    if shape.item:
        _check(shape.item, own or above, f"{path}[*]", columns)
    wanted = own or above
    if wanted and wanted.unsupported == "null" and _is_looked_up(shape) and not shape.nullable:
        raise ConfigError(
            f"{path} cannot be emptied: the field may not be null",
            hint="make it `… | None`, or say Evidence(unsupported='flag') there",
        )
