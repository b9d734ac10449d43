"""What each kind of comparison takes for the same."""

from __future__ import annotations

import datetime as dt
import time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from extract.errors import ConfigError
from extract.evaluation.comparators import comparator_for, default_for, guessed_kind, kind_of


def same(spec: Any, predicted: Any, gold: Any, kind: str = "text") -> bool:
    comparator = comparator_for(spec, kind, "field")
    return bool(comparator.same(comparator.read(predicted), comparator.read(gold)))


DAY = dt.date(2024, 5, 1)
CASES = [
    ("text", "Café", "Cafe\u0301", True),  # one text in two forms of Unicode
    ("text", "Tea", "tea", False),
    ("text", "12", 12, True),  # gold that was guessed to be a number
    ("folded", "  STRASSE\n 1", "straße 1", True),
    ("folded", "tea", "teas", False),
    ("similar:0.9", "SYARIKAT PERNIAGAAN GIN KEE", "Syarikat Perniagaan Gin-Kee.", True),
    ("similar:0.9", "tea", "milk", False),
    ("similar:0.5", "tea", "teas", True),
    ("number", Decimal("26.100000000"), 26.1, True),
    ("number", 0.1 + 0.2, Decimal("0.3"), True),
    ("number", "26.10", 26.1, True),
    ("number", 26.1, 26.11, False),
    ("number", 10**40 + 1, 10**40, True),  # within the noise of a fraction
    ("exact", 10**40 + 1, 10**40, False),
    ("exact", Decimal("26.10"), 26.1, True),
    ("exact", 0.1 + 0.2, Decimal("0.3"), False),
    ("number:0.01", 26.1, 26.11, True),
    ("number:0.01", 26.1, 26.12, False),
    ("number:1%", 101, 100, True),
    ("number:1%", 102, 100, False),
    ("number:1%", -101, -100, True),
    ("number:10%", 90, 100, True),  # of gold's value, and not of what was said
    ("number:10%", 110.5, 100, False),
    ("number:0.5,1%", 10.4, 10, True),
    ("number", float("inf"), 3, False),
    ("date", DAY, "2024-05-01", True),
    ("date", DAY, dt.datetime(2024, 5, 1, 12), True),
    ("date", DAY, "2024-05-02T00:00:00", False),
    ("datetime", dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC), "2024-05-01T14:00:00+02:00", True),
    ("datetime", dt.datetime(2024, 5, 1, 12), "2024-05-01T12:00:00Z", True),
    ("time", dt.time(13, 45), "13:45", True),
    ("duration", dt.timedelta(seconds=90), "90", True),
    ("bytes", b"ab", "YWI=", True),
    ("bool", True, "yes", True),
    ("bool", False, 0, True),
    ("enum", "a", "A", False),
    (lambda a, b: a % 10 == b % 10, 13, 3, True),
]


@pytest.mark.parametrize(("spec", "predicted", "gold", "expected"), CASES)
def test_what_is_the_same(spec: Any, predicted: Any, gold: Any, expected: bool) -> None:
    """Each kind, each tolerance."""
    assert expected == same(spec, predicted, gold, kind="number" if spec == "exact" else "text")


BAD = [
    ("number", "12,5"),
    ("number", "1 234.50"),
    ("number", "NaN"),
    ("number", "1e9999999"),
    ("number", True),
    ("date", "01.05.2024"),
    ("date", 20240501),
    ("datetime", "noon"),
    ("time", "25:00"),
    ("duration", "1e300"),
    ("bytes", "no base64!"),
    ("bool", "perhaps"),
    ("bool", 0.5),
    ("text", ["a"]),
]


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_what_is_none_of_its_kind(kind: str, value: Any) -> None:
    """A ValueError that shows the value."""
    with pytest.raises(ValueError, match=r"is no|is neither|is not"):
        default_for(kind).read(value)


WORDS = [
    ("nmber", "unknown comparator 'nmber' .did you mean 'number'"),
    ("number:x", "is no number"),
    ("number:-1", "a tolerance is not negative"),
    ("similar:2", "more than 0 and at most 1"),
    ("folded:1", "folded takes no setting"),
]


@pytest.mark.parametrize(("spec", "message"), WORDS)
def test_a_comparator_that_there_is_not(spec: str, message: str) -> None:
    """A configuration error that names the field."""
    with pytest.raises(ConfigError, match=f"^total: .*{message}"):
        comparator_for(spec, "text", "total")


TYPES = [
    (pa.dictionary(pa.int32(), pa.string()), "enum"),
    (pa.bool_(), "bool"),
    (pa.decimal128(9, 2), "number"),
    (pa.float32(), "number"),
    (pa.date32(), "date"),
    (pa.timestamp("us", "UTC"), "datetime"),
    (pa.time64("us"), "time"),
    (pa.duration("us"), "duration"),
    (pa.large_string(), "text"),
]


@pytest.mark.parametrize(("column", "kind"), TYPES)
def test_the_kind_of_a_column(column: pa.DataType, kind: str) -> None:
    """By its Arrow type."""
    assert kind == kind_of(column)


def test_the_kind_of_cells_of_text() -> None:
    """What every cell can be read as; cells of nothing are text."""
    assert "number" == guessed_kind(["1", None, "2.5"])
    assert "bool" == guessed_kind(["true", "No"])
    assert "date" == guessed_kind(["2024-05-01", "2024-05-02"])
    assert "text" == guessed_kind(["1", "2,5"])
    assert "text" == guessed_kind([None])


def test_long_texts_are_compared_in_seconds() -> None:
    """Half a million characters that are nearly the same, and as many that are not."""
    begun = time.monotonic()
    text = "the quick brown fox jumps over the lazy dog " * 12_000
    assert same("similar:0.9", text, text + "again")
    assert not same("similar:0.9", "a b" * 100_000, "b a c" * 100_000)
    assert time.monotonic() - begun < 10
