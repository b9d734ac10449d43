r"""Patterns mean what they mean for `re`, in an engine that cannot hang."""

from __future__ import annotations

import re
import unicodedata
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from extract.patterns import PatternError, matcher, portable

ASSIGNED = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
PIECES = (
    r"a b A \d \w \s . [a-c] [^a] [\d_] [^\s] ^ $ ( (?: (?= (?! (?<= (?<! ) * + ? {1,2} {2} {,2} | \b \B \Z \A \n é [\W\d] "
    r" [^\W\d] \1 *? ++ (?i: (?s: (?m: (?a) (?i) (?m) []a] [[a] [a&&b] - \- \. { } (?P<x> (?P=x) \S / 😀 \u00e9 \x41 ,"
)


@pytest.mark.parametrize(
    "pattern", [r"^\w$", r"^\W$", r"^\d$", r"^\D$", r"^\s$", r"^\S$", "^.$", r"(?a)^\w$", r"^[^\W\d]$"]
)
def test_classes_hold_the_same_characters(pattern: str) -> None:
    """All that Python's Unicode tables know."""
    found, python = matcher(portable(pattern)), re.compile(pattern)
    assert [] == [sign for sign in ASSIGNED if bool(python.search(sign)) != found(sign)]


@settings(max_examples=600, deadline=None)
@given(
    pattern=st.lists(st.sampled_from([*PIECES.split(), " "]), min_size=1, max_size=8).map("".join),
    texts=st.lists(st.text(alphabet="abcAé1٣_ \n-.,x{}😀\u0301/&[", max_size=8), min_size=20),
)
@example(pattern=r"\B", texts=[""])
@example(pattern="a$\n", texts=["a\n", "a\n\n"])
@example(pattern="(?:a|b$)", texts=["b\n", "b\nc"])
@example(pattern="[[a]", texts=["[", "a", "b"])
@example(pattern="(?:){2}a", texts=["a"])
def test_any_pattern_matches_as_in_python(pattern: str, texts: list[str]) -> None:
    """Or is refused: the few things that the engine lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            python = re.compile(pattern)
        except re.error:
            return
    try:
        found = matcher(portable(pattern))
    except PatternError:
        return
    for text in ("", "a\n", "\n", *texts):
        assert bool(python.search(text)) == found(text), text


def test_what_python_cannot_read_is_ecma() -> None:
    """The dialect that JSON Schema names."""
    assert [True, False] == [matcher(portable(r"^\p{Letter}+$"))(text) for text in ("é", "1")]
    assert matcher(portable(r"^\cA$"))("\x01")


@pytest.mark.parametrize("pattern", ["(", "(?>a)", "(a)?(?(1)b)", "\ud800", "a" * 20_001, "(" * 9_000 + ")" * 9_000])
def test_what_no_engine_reads_is_refused(pattern: str) -> None:
    """As it is asked for, not when a text comes."""
    with pytest.raises(PatternError):
        matcher(portable(pattern))
