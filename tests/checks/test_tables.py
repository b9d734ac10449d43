"""Checks over whole tables, each against a plain formulation over all rows at once."""

from __future__ import annotations

import datetime as dt
import math
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract import ConfigError
from extract.checks import tables
from extract.checks.tables import TableCheck, TableFinding, TableRows
from extract.checks.tables.finding import MAX_CULPRITS, MAX_KEYS

LINE = pa.struct([("no", pa.int64()), ("sku", pa.string()), ("amount", pa.decimal128(20, 2))])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("name", pa.string()),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("amount", pa.decimal128(30, 4)),
        ("share", pa.float64()),
        ("day", pa.date32()),
        ("boss", pa.string()),
        ("lines", pa.list_(LINE)),
        ("refs", pa.list_(pa.int64())),
        ("prices", pa.map_(pa.string(), pa.int64())),
        ("_attempts", pa.int32()),
    ]
)


def rows(found: Sequence[dict[str, Any]], shard: int = 3, **options: Any) -> TableRows:
    """Rows with keys k0, k1, … in shards of a few."""
    named = [{"id": f"k{number}", "_attempts": 1, **row} for number, row in enumerate(found)]
    parts = [pa.Table.from_pylist(named[at : at + shard], schema=SCHEMA) for at in range(0, len(named), shard)]
    return TableRows("id", lambda: iter(parts), **options)


def ask(check: TableCheck, found: Sequence[dict[str, Any]], **options: Any) -> TableFinding:
    return check(rows(found, **options))


texts = st.none() | st.sampled_from(["a", "b", "c", "d", "A"])


@settings(deadline=None)
@given(st.lists(texts, max_size=12))
def test_unique(names: list[str | None]) -> None:
    """All rows that share a value are named; nulls are not."""
    counts = Counter(name for name in names if name is not None)
    expected = {f"k{at}" for at, name in enumerate(names) if counts[name] > 1}
    finding = ask(tables.unique("name", repair=True), [{"name": name} for name in names])
    assert (not expected, expected, len(expected)) == (finding.passed, set(finding.keys), finding.failing)
    first = {names.index(name) for name in names if counts[name] > 1}
    later = [(f"k{at}", "$.name") for at, name in enumerate(names) if counts[name] > 1 and at not in first]
    assert later == tables.culprits([finding])


@settings(deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=10))
def test_unique_by_several_fields(pairs: list[tuple[str | None, str | None]]) -> None:
    """A null in one leaves the row out."""
    counts = Counter(pair for pair in pairs if None not in pair)
    expected = {f"k{at}" for at, pair in enumerate(pairs) if counts[pair] > 1}
    finding = ask(tables.unique("name", "boss", repair=True), [{"name": a, "boss": b} for a, b in pairs])
    assert expected == set(finding.keys)
    first = {f"k{pairs.index(pair)}" for pair in pairs}
    assert {(key, path) for key in expected - first for path in ("$.name", "$.boss")} == set(tables.culprits([finding]))


@settings(deadline=None)
@given(st.lists(st.lists(texts, max_size=4), max_size=6))
def test_unique_over_the_items_of_all_rows(lists: list[list[str | None]]) -> None:
    """Each place has its index."""
    found = [{"lines": [{"no": 1, "sku": sku} for sku in each]} for each in lists]
    counts = Counter(sku for each in lists for sku in each if sku is not None)
    expected = {
        (f"k{row}", f"$.lines[{at}].sku")
        for row, each in enumerate(lists)
        for at, sku in enumerate(each)
        if counts[sku] > 1
    }
    finding = ask(tables.unique("lines.sku", repair=True), found)
    assert {key for key, _ in expected} == set(finding.keys)
    told = set(tables.culprits([finding]))
    assert told < expected or not expected
    assert len(expected) - len({sku for sku, number in counts.items() if number > 1}) == len(told)
    pairs = ask(tables.unique("lines.no", "lines.sku", repair=True), found)
    both = {(key, path.replace("sku", "no")) for key, path in told}
    assert told | both == set(tables.culprits([pairs]))


def test_a_finding_says_what_and_where() -> None:
    finding = ask(tables.unique("name"), [{"name": "x"}, {"name": "y"}, {"name": "x"}, {"name": "x"}, {"name": "x"}])
    assert ("unique(name)", "table.unique", "reject", False) == (
        *(finding.name, finding.code, finding.severity, finding.passed),
    )
    assert "1 value of name comes more than once: 'x' in rows 'k0', 'k2', 'k3' and 1 more" == finding.message
    assert (("k0", "k2", "k3", "k4"), ()) == (finding.keys, finding.culprits)
    assert finding.fails_run
    assert not ask(tables.unique("name", severity="warn"), [{"name": "x"}] * 2).fails_run
    assert finding == TableFinding.from_dict(finding.as_dict())


@settings(deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=10))
def test_foreign_key_to_any_row(pairs: list[tuple[str | None, str | None]]) -> None:
    known = {name for name, _ in pairs}
    expected = [f"k{at}" for at, (_, boss) in enumerate(pairs) if boss is not None and boss not in known]
    finding = ask(tables.foreign_key("boss", "name", repair=True), [{"name": a, "boss": b} for a, b in pairs])
    assert (expected, len(expected), not expected) == (list(finding.keys), finding.failing, finding.passed)
    assert [(key, "$.boss") for key in expected] == tables.culprits([finding])


numbers = st.integers(0, 4)


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(numbers, max_size=3), st.lists(numbers, max_size=3)), max_size=6), st.booleans())
def test_foreign_key_between_child_tables(found: list[tuple[list[int], list[int]]], within: bool) -> None:
    """Of the same record, or of any."""
    every = {no for nos, _ in found for no in nos}
    expected = [
        (f"k{row}", f"$.refs[{at}]")
        for row, (nos, refs) in enumerate(found)
        for at, ref in enumerate(refs)
        if ref not in (nos if within else every)
    ]
    data = [{"lines": [{"no": no} for no in nos], "refs": refs} for nos, refs in found]
    check = tables.foreign_key("refs", "lines.no", within_record=within, repair=True)
    finding = ask(check, data)
    assert (expected, len({key for key, _ in expected})) == (tables.culprits([finding]), finding.failing)


amounts = st.none() | st.decimals(-1000, 1000, places=2)


@settings(deadline=None)
@given(st.lists(amounts, max_size=8), st.decimals(-1000, 1000, places=2), st.integers(0, 500))
def test_totals(found: list[Decimal | None], figure: Decimal, tolerance: int) -> None:
    """Exactly, or within the tolerance; rows without a number are named when it fails."""
    apart = abs(sum(each for each in found if each is not None) - figure)
    finding = ask(tables.total("amount", figure, tolerance=tolerance), [{"amount": each} for each in found])
    assert (apart <= tolerance) == finding.passed
    empty = [f"k{at}" for at, each in enumerate(found) if each is None]
    assert ([] if finding.passed else empty) == list(finding.keys)


@settings(deadline=None)
@given(st.lists(st.tuples(amounts, st.sampled_from(["EUR", "USD", "CHF"])), max_size=8))
def test_totals_by_a_field(pairs: list[tuple[Decimal | None, str]]) -> None:
    """A value without a control figure fails, a control figure without rows is zero."""
    sums: dict[str, Decimal] = {}
    for amount, kind in pairs:
        if amount is not None:
            sums[kind] = sums.get(kind, Decimal(0)) + amount
    found = [{"amount": amount, "kind": kind} for amount, kind in pairs]
    assert ask(tables.total("amount", {"EUR": 0, "USD": 0, "CHF": 0, **sums}, by="kind"), found).passed
    known = {"EUR": "1.5", "USD": 0}
    right = all(sums.get(kind, 0) == Decimal(known[kind]) for kind in known) and "CHF" not in sums
    assert right == ask(tables.total("amount", known, by="kind"), found).passed


def test_totals_of_items_and_their_message() -> None:
    """The sum of a child table; what is in the quarantine is said."""
    found = [{"lines": [{"amount": Decimal("0.10")}, {"amount": Decimal("0.20")}]}, {"lines": [{"amount": None}]}, {}]
    assert ask(tables.total("lines.amount", "0.30"), found).passed
    finding = ask(tables.total("lines.amount", 1, repair=True), found, quarantined=2)
    assert "lines.amount adds up to 0.3, the control figure is 1; 2 quarantined records are not counted" == (
        finding.message
    )
    assert [("k1", "$.lines[0].amount")] == tables.culprits([finding])
    assert finding == TableFinding.from_dict(finding.as_dict())
    kinds = [{"kind": "EUR", "amount": None}, {"kind": "USD", "amount": None}, {"kind": "USD", "amount": Decimal(2)}]
    finding = ask(tables.total("amount", {"EUR": 0, "USD": 3}, by="kind", repair=True), kinds)
    assert ([("k1", "$.amount")], 1) == (tables.culprits([finding]), finding.failing)
    finding = ask(tables.total("share", 1), [{"share": float("nan")}])
    assert (False, "share cannot be added up exactly") == (finding.passed, finding.message)


@pytest.mark.parametrize(
    ("figure", "options"),
    [
        ("x", {}),
        (float("nan"), {}),
        ({"a": 1}, {}),
        (1, {"by": "kind"}),
        ({"a": "x"}, {"by": "kind"}),
        (1, {"tolerance": -1}),
    ],
)
def test_control_figures_are_numbers(figure: Any, options: Any) -> None:
    with pytest.raises(ConfigError):
        tables.total("amount", figure, **options)


kinds = st.lists(st.none() | st.sampled_from(["a", "b", "c"]), min_size=1, max_size=12)


def shares(found: list[Any]) -> dict[Any, float]:
    return {each: found.count(each) / len(found) for each in found}


@settings(deadline=None)
@given(kinds, kinds, st.floats(0, 1))
def test_shift_of_categories(was: list[Any], now: list[Any], limit: float) -> None:
    """Total variation is the share that would have to move; psi is its sum of logarithms."""
    a, b = shares(was), shares(now)
    every = set(a) | set(b)
    moved = sum(max(0.0, b.get(each, 0) - a.get(each, 0)) for each in every)
    floor = {each: (max(a.get(each, 0), 1e-4), max(b.get(each, 0), 1e-4)) for each in every}
    index = sum((y - x) * (math.log(y) - math.log(x)) for x, y in floor.values())
    before = rows([{"kind": each} for each in was])
    for measure, apart in (("tv", moved), ("psi", index)):
        if abs(apart - limit) > 1e-9:
            check = tables.shift("kind", "/", limit=limit, measure=measure)  # type: ignore[arg-type]  # one of them
            finding = ask(check, [{"kind": each} for each in now], open=lambda path, field: before)
            assert (apart < limit) == finding.passed
            if not finding.passed:
                assert [f"k{at}" for at, each in enumerate(now) if each not in was] == list(finding.keys)


samples = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=12)


@settings(deadline=None)
@given(samples, samples, st.floats(0, 1))
def test_shift_of_numbers(was: list[float], now: list[float], limit: float) -> None:
    """Kolmogorov-Smirnov by its definition."""
    apart = max(abs(sum(x <= at for x in was) / len(was) - sum(x <= at for x in now) / len(now)) for at in was + now)
    before = rows([{"share": each} for each in was])
    check = tables.shift("share", "/", limit=limit, measure="ks")
    if abs(apart - limit) > 1e-9:
        finding = ask(
            check, [{"share": each} for each in [*now, None, float("inf"), float("nan")]], open=lambda p, f: before
        )
        assert (apart < limit) == finding.passed


def test_shift_of_deciles() -> None:
    """In interquartile ranges of the earlier run."""
    before = rows([{"share": float(number)} for number in range(101)])

    def moved(by: float) -> TableFinding:
        check = tables.shift("share", "/", limit=0.5, measure="quantile")
        return ask(check, [{"share": number + by} for number in range(101)], open=lambda path, field: before)

    assert moved(24).passed
    assert not moved(26).passed
    assert "share has moved by 0.52 (quantile, limit 0.5): median 50 to 76" == moved(26).message
    flat = rows([{"share": 1.0}] * 3)
    check = tables.shift("share", "/", limit=5, measure="quantile")
    assert ask(check, [{"share": 1.0}], open=lambda p, f: flat).passed
    assert not ask(check, [{"share": 1.1}], open=lambda p, f: flat).passed
    assert ask(check, [{"share": None}], open=lambda p, f: flat).passed


@pytest.mark.parametrize(
    "options", [{"limit": -1}, {"limit": math.inf}, {"limit": True}, {"limit": "x"}, {"limit": 1, "measure": "chi"}]
)
def test_limits_of_a_shift(options: Any) -> None:
    with pytest.raises(ConfigError):
        tables.shift("kind", "x", **options)


def test_an_earlier_run_must_be_there(tmp_path: Path) -> None:
    """Unless it is optional; an unfinished run is none."""
    for path, options, message in (
        (tmp_path / "gone", {}, "not there"),
        (tmp_path, {}, "no finished run"),
    ):
        check = tables.shift("kind", path, limit=1, **options)  # type: ignore[arg-type]  # no options
        assert check.prepare is not None
        with pytest.raises(ConfigError, match=message):
            check.prepare()
    vanished = ask(tables.shift("kind", tmp_path / "gone", limit=1), [{"kind": "a"}])
    assert (False, "check.error") == (vanished.passed, vanished.code)
    optional = tables.shift("kind", tmp_path / "gone", limit=1, optional=True)
    assert optional.prepare is not None
    optional.prepare()
    finding = ask(optional, [{"kind": "a"}])
    assert finding.passed
    assert "nothing to compare with" in finding.message


def test_a_pandera_schema() -> None:
    """Rows are named; columns about the call are left out, so that a strict schema can be written."""
    pa_ = import_module("pandera.pandas")
    columns = {
        "id": pa_.Column(str, unique=True),
        "name": pa_.Column(str, pa_.Check.isin(["x", "y"]), nullable=True),
        "amount": pa_.Column(
            object, pa_.Check(lambda each: each < 5, element_wise=True, name="below 5"), nullable=True
        ),
    }
    schema = pa_.DataFrameSchema(columns, name="bills")
    good = [{"name": "x", "amount": Decimal(1)}, {"name": None, "amount": None}]
    assert ask(tables.pandera(schema), good).passed
    bad = [*good, {"name": "z", "amount": Decimal(9)}, {"name": "y", "amount": Decimal(7)}]
    for by_shard in (False, True):
        finding = ask(tables.pandera(schema, by_shard=by_shard, repair=True), bad)
        assert ("pandera(bills)", "table.pandera", False, 2) == (
            *(finding.name, finding.code, finding.passed, finding.failing),
        )
        assert {"k2", "k3"} == set(finding.keys)
        assert {("k2", "$.name"), ("k2", "$.amount"), ("k3", "$.amount")} == set(tables.culprits([finding]))
        assert {"the table's schema does not take it: below 5"} == {
            each.why for each in finding.culprits if each.path == "$.amount"
        }
        assert "amount: below 5 (2, first in row 'k2')" in finding.message
    strict = pa_.DataFrameSchema(
        {name: pa_.Column(nullable=True) for name in SCHEMA.names if name != "_attempts"}, strict=True
    )
    assert ask(tables.pandera(strict), good).passed
    whole = pa_.DataFrameSchema({"name": pa_.Column(unique=True)})
    doubled = [{"name": "x"}, {"name": "y"}, {"name": "z"}, {"name": "x"}]
    assert not ask(tables.pandera(whole), doubled).passed
    assert ask(tables.pandera(whole, by_shard=True), doubled).passed  # rows of two shards
    with pytest.raises(ConfigError, match="no schema of pandera"):
        tables.pandera({"a": int})


def test_a_pandera_model() -> None:
    """A class too; a change of it is another fingerprint."""
    pa_ = import_module("pandera.pandas")

    class Bills(pa_.DataFrameModel):  # type: ignore[misc]  # found at run time
        name: str

    check = tables.pandera(Bills)
    assert ("pandera(Bills)", True) == (check.name, ask(check, [{"name": "x"}]).passed)
    assert not ask(check, [{"name": None}]).passed

    def is_x(names: Any) -> Any:
        return names == "x"

    def is_y(names: Any) -> Any:
        return names == "y"

    one, two = (pa_.DataFrameSchema({"name": pa_.Column(str, pa_.Check(rule, name="rule"))}) for rule in (is_x, is_y))
    assert tables.pandera(one).fingerprint != tables.pandera(two).fingerprint
    assert tables.pandera(one).fingerprint == tables.pandera(one).fingerprint


def test_what_a_check_raises_is_its_finding() -> None:
    """The tables are finished: nothing stops for it."""

    def broken(found: TableRows) -> tables.Verdict:
        raise ZeroDivisionError("oh")

    finding = ask(TableCheck("table.unique", "broken", ("name",), broken), [{"name": "x"}])
    assert ("check.error", False, True) == (finding.code, finding.passed, finding.fails_run)
    assert "the check could not be made: oh, at " in finding.message
    assert __file__ in finding.message


def test_what_is_kept_is_bounded() -> None:
    """So many keys, so many places; all rows are counted."""
    finding = ask(tables.unique("name", repair=True), [{"name": "x"}] * 5_000)
    assert (MAX_KEYS, MAX_CULPRITS, 5_000) == (len(finding.keys), len(finding.culprits), finding.failing)
    assert MAX_CULPRITS == len(tables.unique("name").judge(rows([{"name": "x"}] * 5_000)).places)
    finding = ask(tables.foreign_key("boss", "name", repair=True), [{"boss": "x"}] * 5_000)
    assert (MAX_KEYS, MAX_CULPRITS, 5_000) == (len(finding.keys), len(finding.culprits), finding.failing)


def test_culprits_are_those_of_failed_checks_that_repair() -> None:
    """Each place once."""
    data = [{"name": "x", "boss": "q"}, {"name": "x", "boss": "x"}]
    found = [
        ask(check, data)
        for check in (
            tables.unique("name", repair=True),
            tables.unique("name", name="again", repair=True),
            tables.unique("boss"),
            tables.foreign_key("boss", "name", repair=True),
            tables.unique("id", repair=True),
        )
    ]
    assert [("k1", "$.name"), ("k0", "$.boss")] == tables.culprits(found)


def test_memory_is_that_of_hashes_not_of_rows() -> None:
    """Eight thousand rows of five kilobytes: some bytes each."""
    text = "x" * 5_000

    def shards() -> Any:
        for first in range(0, 8_000, 200):
            ids = list(range(first, first + 200))
            yield pa.table({"id": ids, "name": [f"{text}{max(1, number)}" for number in ids]})

    finding = tables.unique("name")(TableRows("id", shards))  # once before, for what is imported on the way
    tracemalloc.start()
    finding = tables.unique("name")(TableRows("id", shards))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 2 == finding.failing
    assert most < 8_000_000  # the rows are 40 MB


ODD = ["\ud7ff", "\x00", "", " ", "x" * 100_000, "\u202e", "é", "e\u0301"]


def test_hostile_rows() -> None:
    """Odd texts, NaN, infinity, dates at both ends, no rows at all: no crash."""
    found = [
        {"name": each, "share": share, "day": day}
        for each in ODD
        for share in (math.nan, math.inf, -0.0)
        for day in (dt.date.min, dt.date.max)
    ]
    before = rows(found)
    for check in (
        tables.unique("name"),
        tables.unique("share"),
        tables.unique("prices"),
        tables.foreign_key("name", "boss"),
        tables.total("share", 1),
        tables.shift("name", "/", limit=0.1),
        tables.shift("share", "/", limit=0.1, measure="ks"),
        tables.shift("day", "/", limit=0.1, measure="psi"),
    ):
        for data in (found, []):
            finding = ask(check, data, open=lambda path, field: before)
            assert "check.error" != finding.code
            assert len(finding.message) < 2_000


@pytest.mark.parametrize("given_", ["x", tables.unique("a"), [5], [lambda v, r: None], None, [tables.unique("a")] * 2])
def test_what_is_no_list_of_table_checks_is_refused(given_: Any) -> None:
    with pytest.raises(ConfigError):
        tables.refuse_table_checks(given_)
