"""Checks against the record: `grounded`, `matches_column`, and what `verbatim` holds against hostile input."""

from __future__ import annotations

import datetime as dt
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from extract import ConfigError, checks
from tests.checks.forms import found, paths


class Item(BaseModel):
    name: Any = None


@pytest.mark.parametrize(
    ("value", "text", "passes"),
    [
        ("ACME Ltd", "acme ltd.", True),
        ("Beta-Works", "the beta works of", True),
        ("department", "the depart-\n  ment of", True),
        ("ＡＣＭＥ", "acme", True),
        ("co\u00adoperation", "cooperation", True),
        ("ACME", "ACMEX", False),
        ("ME Ltd", "ACME Ltd", False),
        ("Ltd ACME", "ACME Ltd", False),
        ("!?", "what !? no", True),
        ("!?", "what", False),
        (Decimal("1234.5"), "1.234,50 EUR", True),
        (Decimal("1234.6"), "1.234,50 EUR", False),
        (dt.date(2018, 5, 2), "2 May 2018", True),
        (dt.date(2018, 5, 3), "2 May 2018", False),
        (dt.time(9, 30), "at 09:30:00", True),
        (True, "", True),
        (None, "", True),
    ],
)
def test_grounded(value: Any, text: str, passes: bool) -> None:
    """Words that stand together, whatever case and punctuation; numbers and dates in any usual writing."""
    issues = found(checks.grounded("name"), Item(name=value), text=text)
    assert passes == (not issues)
    assert all("which does not have support in the record" in issue.message for issue in issues)
    assert all("semantic.grounded" == issue.code for issue in issues)


WORDS = st.text("abAB-., \n", max_size=12)


@settings(deadline=None)
@given(WORDS, WORDS)
def test_grounded_is_a_run_of_words(value: str, text: str) -> None:
    """Said plainly: the value's words are some of the text's, one after the other, or its letters are, as they stand."""

    def words(of: str) -> list[str]:
        return re.findall("[a-z]+", of.lower())

    wanted, there = words(value), words(text)
    runs = [there[at : at + len(wanted)] for at in range(len(there))]
    is_found = not found(checks.grounded("name"), Item(name=value), text=text)
    if wanted:
        assert is_found or wanted not in runs
        assert not is_found or "".join(wanted) in "".join(there)


def test_the_rule_of_grounded_can_be_exchanged() -> None:
    """A function of text and value; its source is part of the check's settings."""
    check = checks.grounded("name", column="text", find=lambda text, value: value in text.split("|"))
    assert [] == found(check, Item(name="b"), text="a|b")
    assert ["$.name"] == paths(check, Item(name="a|b"), text="a|b")
    assert check.settled != checks.grounded("name", column="text", find=lambda text, value: True).settled
    assert check.settled != checks.grounded("name", column="text").settled


@settings(deadline=None)
@given(st.text("ab \n\t\u00a0", max_size=8), st.text("ab \n\t\u00a0", max_size=14))
def test_verbatim_is_a_part_of_the_folded_text(value: str, text: str) -> None:
    folded = " ".join(value.split())
    stands = bool(folded) and folded in " ".join(text.split())
    assert stands == (not found(checks.verbatim("name"), Item(name=value), text=text))


@pytest.mark.parametrize("make", [checks.verbatim, checks.grounded])
def test_hostile_values(make: Any) -> None:
    """NaN, infinity, huge numbers, odd letters: not found, no crash, in a moment."""
    began = time.process_time()
    odd = [float("nan"), float("inf"), Decimal("sNaN"), 10**5000, "\ud800", "\x00", "x" * 10**6, ["y"] * 100_000, b"z"]
    for value in odd:
        issues = found(make("name"), Item(name=value), text="ACME 1 2 3 " * 400)
        assert issues
        assert all(len(issue.message) < 300 for issue in issues)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("value", "cell", "options", "passes"),
    [
        (Decimal("1234.5"), "1.234,50", {}, True),
        (Decimal("1234.5"), 1234.5, {}, True),
        (Decimal("1234.5"), "1234.51", {}, False),
        (Decimal("1234.5"), "1234.51", {"tolerance": "0.01"}, True),
        (7, "seven", {}, False),
        (7, 7, {}, True),
        ("ACME  Ltd", "ACME Ltd ", {}, True),
        ("acme", "ACME", {}, False),
        ("acme", "ACME", {"ignore_case": True}, True),
        ("7", 7, {}, True),
        (dt.date(2018, 5, 2), "02/05/2018", {}, True),
        (dt.date(2018, 5, 2), "3 May 2018", {}, False),
        (dt.date(2018, 5, 2), dt.date(2018, 5, 2), {}, True),
        (dt.datetime(2018, 5, 2, 9), dt.datetime(2018, 5, 2, 12), {}, True),
        (True, "yes", {}, True),
        (True, "0", {}, False),
        (False, False, {}, True),
        (None, "x", {}, True),
        ("x", None, {}, True),
        ("x", "  ", {}, True),
        (float("nan"), "1", {}, False),
        pytest.param(10**5000, 1, {}, False, id="huge"),
        ("\ud800", "x", {}, False),
        (["a", "b"], "a", {}, False),
    ],
)
def test_matches_column(value: Any, cell: Any, options: Any, passes: bool) -> None:
    """The cell is read as what the field is; nothing to compare passes."""
    issues = found(checks.matches_column("name", "shop", **options), Item(name=value), shop=cell)
    assert passes == (not issues)
    assert all("semantic.matches_column" == issue.code and "the column shop says" in issue.message for issue in issues)


@settings(deadline=None)
@given(
    st.integers(-9999, 9999) | st.decimals(-9999, 9999, places=2), st.decimals(-9999, 9999, places=2), st.integers(0, 3)
)
def test_matches_column_by_number(value: Any, cell: Decimal, tolerance: int) -> None:
    """Within the tolerance, exactly."""
    check = checks.matches_column("name", "shop", tolerance=tolerance)
    assert (abs(Decimal(value) - cell) <= tolerance) == (not found(check, Item(name=value), shop=cell))


def test_matches_column_with_many_items() -> None:
    value = {"name": ["a"] * 100_000}
    assert [] == found(checks.matches_column("name", "shop"), value, shop="a")
    assert 100 == len(found(checks.matches_column("name", "shop"), value, shop="b"))
    assert 100 == len(found(checks.one_of_column("name", "shop"), value, shop="b"))


def test_an_unknown_severity_is_refused() -> None:
    with pytest.raises(ConfigError, match="severity"):
        checks.verbatim("name", severity="fatal")  # type: ignore[arg-type]  # what is refused
