"""`one_of_table`: reference columns in files."""

from __future__ import annotations

import datetime as dt
import time
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from extract import ConfigError, checks
from extract.checks import reference
from extract.errors import InputError
from tests.checks.forms import found, paths


class Item(BaseModel):
    name: Any = None


SHOPS = ["ACME Ltd", "Beta & Söhne", "Café Sicilia", "007", "12.50", "2024-05-02"]


@pytest.fixture(params=["csv", "tsv", "parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"shops.{request.param}"
    if request.param == "parquet":
        pq.write_table(pa.table({"id": range(len(SHOPS)), "name": SHOPS}), path)
    else:
        mark = "\t" if request.param == "tsv" else ","
        path.write_text("\n".join([f"id{mark}name", *(f"{n}{mark} {name} " for n, name in enumerate(SHOPS))]))
    return path


@pytest.mark.parametrize(
    ("value", "options", "passes"),
    [
        ("ACME Ltd", {}, True),
        (" ACME Ltd ", {}, True),
        ("acme ltd", {}, False),
        ("acme  LTD", {"ignore_case": True}, True),
        ("ACME", {}, False),
        ("007", {}, True),
        ("7", {}, False),
        (7, {}, True),
        (Decimal("12.5"), {}, True),
        (12.5, {}, True),
        (dt.date(2024, 5, 2), {}, True),
        (dt.datetime(2024, 5, 2), {}, True),
        (dt.date(2024, 5, 3), {}, False),
        (None, {}, True),
        (True, {}, False),
        ("Cafe Sicilia", {}, False),
        ("Cafe Sicilia", {"cutoff": 90}, True),
        ("Cafe Sizilia", {"cutoff": 95}, False),
        ("cafe\u0301 sicilia", {"cutoff": 100}, True),
        ("", {}, False),
        ("", {"cutoff": 50}, False),
    ],
)
def test_a_value_is_one_of_the_column(table: Path, value: Any, options: Any, passes: bool) -> None:
    """Text as it is, numbers and days by value; nearly, if told."""
    check = checks.one_of_table("name", table, "name", **options)
    assert passes == (not found(check, Item(name=value)))


def test_the_issue_names_the_nearest(table: Path) -> None:
    (issue,) = found(checks.one_of_table("name", table, "name"), Item(name="ACME Limited"))
    assert ("semantic.one_of_table", "$.name", "repair") == (issue.code, issue.path, issue.severity)
    assert (
        f"name is 'ACME Limited', which is not in {table.name}:name; nearest is 'ACME Ltd' (80 of 100)" == issue.message
    )


def likeness(a: str, b: str) -> float:
    """Of 100: twice the longest common subsequence of what is folded, by the lengths of both."""
    a, b = (" ".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in (a, b))
    rows = [[0] * (len(b) + 1)]
    for x in a:
        row = [0]
        for at, y in enumerate(b):
            row.append(rows[-1][at] + 1 if x == y else max(row[-1], rows[-1][at + 1]))
        rows.append(row)
    return 100 * 2 * rows[-1][-1] / (len(a) + len(b)) if a or b else 100.0


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text("abcAB ", max_size=8),
    entries=st.lists(st.text("abcAB", min_size=1, max_size=8), min_size=1, max_size=5),
    cutoff=st.integers(0, 100),
)
def test_fuzzy_is_the_longest_common_subsequence(tmp_path: Path, text: str, entries: list[str], cutoff: int) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"name": entries}), path)
    best = max(likeness(text, entry) for entry in entries)
    if abs(best - cutoff) > 1e-6:
        check = checks.one_of_table("name", path, "name", cutoff=cutoff)
        assert (best > cutoff) == (not found(check, Item(name=text)))


def test_a_file_is_read_once(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its content: two checks share it, and a change is seen by the next run, not by this one."""
    read: list[Path] = []
    real = reference.rows_of
    monkeypatch.setattr(
        reference, "rows_of", lambda check, path, column: read.append(path) or real(check, path, column)
    )
    reference._entries.cache_clear()
    first, second = checks.one_of_table("name", table, "name"), checks.one_of_table("name", table, "name", cutoff=90)
    for check in (first, second):
        for _ in range(3):
            assert [] == found(check, Item(name="ACME Ltd"))
    assert [table] == read
    before = repr(first.settled)
    pq.write_table(pa.table({"name": ["New"]}), table) if table.suffix == ".parquet" else table.write_text(
        "name\nNew\n"
    )
    assert [] == found(first, Item(name="ACME Ltd"))
    assert before == repr(first.settled)
    assert first.prepare is not None
    first.prepare()
    assert before != repr(first.settled)
    assert repr(first.settled) == repr(checks.one_of_table("name", table, "name").settled)
    assert ["$.name"] == paths(first, Item(name="ACME Ltd"))
    assert [table, table] == read


@pytest.mark.parametrize("bad", [-1, 101, float("nan")])
def test_a_cutoff_is_of_a_hundred(bad: float) -> None:
    with pytest.raises(ConfigError, match="cutoff"):
        checks.one_of_table("name", "x.csv", "name", cutoff=bad)


def test_a_table_that_is_not_there_is_refused_before_a_run(tmp_path: Path, table: Path) -> None:
    """The file, its kind, its column, its content."""
    broken, folder = tmp_path / "broken.parquet", tmp_path / "folder.csv"
    broken.write_bytes(b"PAR1nothing")
    folder.mkdir()
    other = tmp_path / "other.txt"
    other.write_text("name\n")
    for path, column, error in (
        (tmp_path / "gone.csv", "name", ConfigError),
        (table, "nmae", ConfigError),
        (other, "name", ConfigError),
        (folder, "name", ConfigError),
        (broken, "name", InputError),
    ):
        check = checks.one_of_table("name", path, column)
        assert check.prepare is not None
        with pytest.raises(error):
            check.prepare()


def test_hostile_values_and_a_big_table(tmp_path: Path) -> None:
    """A hundred thousand entries, long and odd texts, NaN: no crash, and each text is compared once."""
    path = tmp_path / "big.parquet"
    entries = [f"entry {number}" for number in range(100_000)]
    pq.write_table(pa.table({"name": [*entries, None, "", "\u202e", "é" * 10_000]}), path)
    check = checks.one_of_table("name", path, "name", cutoff=99)
    began = time.process_time()
    odd = [float("nan"), Decimal("sNaN"), 10**5000, "x" * 10**6, "\x00", ["a", {"b": 1}], "é" * 10_000, b"x"]
    for value in odd:
        assert all(len(issue.message) < 2_000 for issue in found(check, Item(name=value)))
    assert [] == found(check, {"name": entries})
    assert 100 == len(found(check, {"name": ["nothing like it"] * 100_000}))
    assert time.process_time() - began < 10
