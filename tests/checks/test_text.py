"""Patterns in bounded time, and languages."""

from __future__ import annotations

import re
import time
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from extract import ConfigError, checks
from tests.checks.forms import found, paths


class Item(BaseModel):
    text: Any = None


PATTERNS = ["^a", "b$", "a+b", r"\d{2,3}", "^(ab|ba)+$", "(?i)A.b", r"[^ab]", "(?m)^b", "(?=.*a)(?=.*b)", r"(a)\1", ""]


@settings(deadline=None)
@given(st.sampled_from(PATTERNS), st.text("abA1 \n", max_size=12))
def test_matches_is_research(pattern: str, text: str) -> None:
    """As Python's own engine says."""
    assert bool(re.search(pattern, text)) == (not found(checks.matches("text", pattern), Item(text=text)))


def test_matches_says_what_was_expected() -> None:
    (issue,) = found(checks.matches("text", r"^INV-\d+$"), Item(text="A-1"))
    assert ("semantic.matches", "$.text", "A-1", "repair") == (issue.code, issue.path, issue.value, issue.severity)
    assert r"text is 'A-1', which does not match ^INV-\d+$" == issue.message
    assert [] == found(checks.matches("text", "x"), Item())


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a|a)*$", "(x+x+)+y", r"^(\w+\s?)*$", "(.*a){12}$", "(?=(a+)+$)b", r"(a*)*\1b"]
)
def test_catastrophic_patterns_are_bounded(pattern: str) -> None:
    """In `matches` and in `labelled`: what would take Python years takes a moment."""
    began = time.process_time()
    for text in ("a" * 60 + "!", "x" * 3_000, ("a " * 2_000) + "!"):
        found(checks.matches("text", pattern), Item(text=text))
        found(checks.labelled("text", pattern), Item(text=5), page=f"{text}\n{'a' * 55}! 5")
    assert time.process_time() - began < 3


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "(?>a)b", "(?P<x>a)(?(x)b|c)", "a{2,1}", "(" * 5_000, None, 5])
def test_what_cannot_be_bounded_is_refused(pattern: Any) -> None:
    """When the check is made."""
    for make in (checks.matches, checks.labelled):
        with pytest.raises(ConfigError, match=f"checks.{make.__name__}"):
            make("text", pattern)


def test_hostile_texts_for_a_pattern() -> None:
    """Surrogates and megabytes are no match, and no crash."""
    assert ["$.text"] == paths(checks.matches("text", "a"), Item(text="\ud800a"))
    assert ["$.text"] == paths(checks.matches("text", "^a+$"), Item(text="a" * 2_000_000))
    assert [] == paths(checks.matches("text", "^a+$"), Item(text="a" * 900_000))
    assert 100 == len(paths(checks.matches("text", "b"), Item(text=["a"] * 100_000)))


def test_a_pattern_may_begin_with_flags() -> None:
    """`labelled` ignores case beside them."""
    page = "TOTAL\n 7.20"
    assert [] == found(checks.labelled("text", "(?x) to tal"), Item(text=7.2), page=page)
    assert ["$.text"] == paths(checks.labelled("text", "cash"), Item(text=7.2), page=page)


ENGLISH = "The invoice was paid on time and the goods were delivered to the warehouse in good order."
GERMAN = "Die Rechnung wurde rechtzeitig bezahlt und die Ware in gutem Zustand an das Lager geliefert."
FRENCH = "La facture a été payée à temps et les marchandises ont été livrées en bon état à l'entrepôt."


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, "en"), (GERMAN, "de"), (FRENCH, "fr")])
def test_languages_are_told_apart(text: str, language: str) -> None:
    """Only a text that is surely in another language is found; it is a warning."""
    import_module("py3langid")
    assert [] == found(checks.language("text", language), Item(text=text))
    assert [] == found(checks.language("text", "es", language), Item(text=text))
    (issue,) = found(checks.language("text", "es", "it"), Item(text=text))
    assert ("semantic.language", "warn", "$.text") == (issue.code, issue.severity, issue.path)
    assert f"in {language} (" in issue.message
    assert "expected es, it" in issue.message


@pytest.mark.parametrize(
    "text", [None, "", "ACME Ltd", "Spaghetti Bolognese", "12345 " * 100, "\ud800" * 100, "😀" * 100]
)
def test_what_cannot_be_told_passes(text: Any) -> None:
    """Few letters, none, odd ones."""
    import_module("py3langid")
    assert [] == found(checks.language("text", "cy"), Item(text=text))


def test_hostile_texts_for_a_language() -> None:
    """Only the beginning of a long text is looked at."""
    import_module("py3langid")
    began = time.process_time()
    assert ["$.text"] == paths(checks.language("text", "en"), Item(text=GERMAN * 20_000))
    paths(checks.language("text", "en"), Item(text="a" * 10**6))
    assert time.process_time() - began < 3


def test_settings_of_languages_are_checked_before_a_run() -> None:
    import_module("py3langid")
    check = checks.language("text", "xx")
    assert check.prepare is not None
    with pytest.raises(ConfigError, match="no language"):
        check.prepare()
    for bad in ({"certainty": 0}, {"certainty": 2}, {"min_letters": 0}):
        with pytest.raises(ConfigError, match="certainty"):
            checks.language("text", "en", **bad)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ConfigError, match="has no language"):
        checks.language("text")
