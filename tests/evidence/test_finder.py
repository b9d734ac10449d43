"""Where a text supports a value."""

from __future__ import annotations

import datetime as dt
import time
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from babel.dates import format_date
from babel.numbers import format_decimal
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.evidence import Finder

D = Decimal


def found(text: str, value: Any, *hints: str) -> tuple[str, str] | None:
    support = Finder(text).find(value, hints)
    if support is None:
        return None
    assert support.quote == text[support.start : support.end]
    return support.quote, support.how


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("Sold by ABC Trading.", "ABC Trading", ("ABC Trading", "exact")),
        ("ABC\nTRADING  SDN. BHD.", "Abc Trading Sdn Bhd", ("ABC\nTRADING  SDN. BHD", "normalised")),
        ("an inter-\nnational company", "international company", ("inter-\nnational company", "normalised")),
        ("Café Zürich", "cafe zurich", ("Café Zürich", "normalised")),
        ("soft\u00adhyphen and zero\u200bwidth", "softhyphen", ("soft\u00adhyphen", "normalised")),
        ("the party is over", "art", None),  # no part of a word
        ("number 12 3", "123", None),  # digits that are parted are another number
        ("number 1 23", "12 3", None),
        ("version 1.5", "15", None),
        ("No.12Jalan Besar", "12 Jalan Besar", ("12Jalan Besar", "normalised")),
        ("INV-2018/0O12", "INV-2018/0012", ("INV-2018/0O12", "ocr")),
        ("B1LL TO", "BILL TO", ("B1LL TO", "ocr")),
        ("mail room", "mall room", None),  # a letter for a letter is no slip of a scanner
        ("発行日は東京都港区です", "東京都", ("東京都", "exact")),
        ("ราคาสินค้า", "สินค้า", ("สินค้า", "exact")),
        (
            "1 Kunstrasen     3,00    5 m\n  grün 3m        USt\n7 breit",
            "Kunstrasen grün 3m breit",
            ("Kunstrasen     3,00    5 m\n  grün 3m        USt\n7 breit", "parts"),
        ),
        ("Kunstrasen   3,00\nandere Ware  4,00\n     breit", "Kunstrasen breit", None),  # not in its column
        ("GMBH         MUSTER-KUNDE", "GMBH MUSTER-KUNDE", None),  # two columns
        ("one two three four five", "one two five", None),  # words were left out
        ("", "x", None),
        ("-", "-", ("-", "exact")),
        ("nothing", "", None),
    ],
)
def test_text(text: str, value: str, expected: tuple[str, str] | None) -> None:
    """Text is found letter for letter, folded, in whole pieces of a layout, through a scanner's eyes, or nearly."""
    support = found(text, value)
    assert expected == (None if support and support[1] == "near" else support)


@pytest.mark.parametrize(
    ("text", "value", "quote"),
    [
        ("TOTAL RM12.50", D("12.5"), "12.50"),
        ("1,234.50", D("1234.5"), "1,234.50"),
        ("1.234,50 EUR", D("1234.5"), "1.234,50"),
        ("1 234,50", D("1234.5"), "1 234,50"),
        ("1\u202f234\u202f567", 1234567, "1\u202f234\u202f567"),
        ("1'234.50", D("1234.5"), "1'234.50"),
        ("Rs 1,00,000.00", 100000, "1,00,000.00"),
        ("(5.00)", D("-5"), "(5.00)"),
        ("-5.00", D("-5"), "-5.00"),
        ("-RM5.00", D("-5"), "-RM5.00"),
        ("5.00-", D("-5"), "5.00-"),
        ("\u22125", -5, "\u22125"),
        ("MwSt. 19 %", D("19"), "19"),
        ("MwSt. 19 %", D("0.19"), "19 %"),
        ("1.2 million", 1200000, "1.2 million"),
        ("3 Mio. €", 3000000, "3 Mio."),
        ("\u0661\u0662\u0663\u066b\u0665", D("123.5"), "\u0661\u0662\u0663\u066b\u0665"),
        ("\uff11\uff12\uff13", 123, "\uff11\uff12\uff13"),
        ("a table for twenty-five", 25, "twenty-five"),
        ("for two", 2, "two"),
        ("0.5", 0.5, "0.5"),
        ("1e3 of 1.000", 1000, "1.000"),
        ("x2", 2, "2"),
        ("20Stk", 20, "20"),
        ("EUR20", 20, "20"),
        ("made in 25.12.2018", 2018, "2018"),
    ],
)
def test_numbers(text: str, value: Any, quote: str) -> None:
    """A number stands in any country's writing; the sign belongs to it."""
    support = found(text, value)
    assert support is not None
    assert quote == support[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("TOTAL 12.50", D("12.05")),
        ("TOTAL 12.50", D("125")),
        ("TOTAL 12.50", D("-12.5")),
        ("TOTAL 1,234.50", D("234.5")),
        ("TOTAL 1,234.50 and 1.23", D("1.2345")),
        ("12.50 and 1,234", D("1.234")),  # the point is the decimal mark of this text
        ("12:50", D("12.5")),
        ("anything", float("nan")),
        ("anything", float("inf")),
        ("112.50", D("12.5")),
        ("A12B", D("1")),
        ("12.505", D("12.5")),
        ("at 12:51", 51),
        ("11-06-2018", 6),
        ("NO 8, JALAN 7/118B", 118),
        ("size A4", 4),
        ("DPT.05", 5),
    ],
)
def test_no_number(text: str, value: Any) -> None:
    """Another number is no support, however like it is."""
    assert found(text, value) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("25/12/2018", dt.date(2018, 12, 25)),
        ("12/25/2018", dt.date(2018, 12, 25)),
        ("2018-12-25", dt.date(2018, 12, 25)),
        ("25.12.18", dt.date(2018, 12, 25)),
        ("20181225", dt.date(2018, 12, 25)),
        ("ORD #94 -REG #19- 21/05/2018 11:59:48", dt.date(2018, 5, 21)),
        ("02/05/201814:17", dt.date(2018, 5, 2)),
        ("12. März 2018", dt.date(2018, 3, 12)),
        ("12 de marzo de 2018", dt.date(2018, 3, 12)),
        ("March 12th, 2018", dt.date(2018, 3, 12)),
        ("12MAR18", dt.date(2018, 3, 12)),
        ("2018. március 12.", dt.date(2018, 3, 12)),
        ("12 марта 2018 г.", dt.date(2018, 3, 12)),
        ("2018年3月12日", dt.date(2018, 3, 12)),
        ("2018년 3월 12일", dt.date(2018, 3, 12)),
        ("am 21/05/2018 um 14:17 Uhr", dt.datetime(2018, 5, 21, 14, 17)),
        ("5/21/18 2:17 pm", dt.datetime(2018, 5, 21, 14, 17)),
        ("opens 9.30", dt.time(9, 30)),
        ("21/05/2018", dt.datetime(2018, 5, 21)),
    ],
)
def test_dates(text: str, value: Any) -> None:
    """A date stands in any order and in the months of many languages; with a time of day that stands there too."""
    assert found(text, value) is not None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("25/12/2018", dt.date(2018, 12, 24)),
        ("25/12/2018", dt.date(2017, 12, 25)),
        ("1.25.12.2018", dt.date(2018, 12, 25)),  # a version, an address
        ("32/12/2018", dt.date(2018, 12, 2)),
        ("12. März 2018", dt.date(2018, 3, 20)),
        ("25/12/2018 14:17", dt.datetime(2018, 12, 25, 14, 18)),
        ("25/12/2018", dt.datetime(2018, 12, 25, 9, 0)),
        ("March 99999999999999999999, 2018", dt.date(2018, 3, 9)),
    ],
)
def test_no_date(text: str, value: Any) -> None:
    """Another day or another time is no support."""
    assert found(text, value) is None


class Size(Enum):
    LARGE = "large"


@pytest.mark.parametrize("value", [None, True, False, b"x", dt.timedelta(1), [1], {}, object])
def test_what_has_no_writing(value: Any) -> None:
    """A truth value, bytes, a list as a whole: nothing is looked for."""
    assert found("True None 1 x", value) is None or value is object


def test_an_enum_is_looked_for_by_its_value() -> None:
    """As a text, or as the number that it is."""
    assert ("LARGE", "normalised") == found("one LARGE pizza", Size.LARGE)


def test_what_is_like_the_value_is_shown_but_no_support() -> None:
    """With how like it is; what is unlike everything is shown nothing."""
    support = Finder("WELCOME\nOLDTOWN WHITE COFFE SDN BHD\nTOTAL").find("Oldtown White Coffee Sdn Bhd")
    assert support is not None
    assert ("OLDTOWN WHITE COFFE SDN BHD", False) == (support.quote, support.is_support)
    assert 0.9 < support.score < 1
    assert Finder("WELCOME\nTOTAL 12.50").find("Oldtown White Coffee") is None


def test_of_several_places_the_one_behind_the_fields_words_is_taken() -> None:
    """Else the first; a plain reading comes before one of several."""
    text = "Subtotal 12.50\nRounding 0.00\nTOTAL 12.50\nCash 12.50"
    assert text.index("12.50", 30) == Finder(text).find(D("12.5"), ["total"]).start  # type: ignore[union-attr]
    assert text.index("12.50") == Finder(text).find(D("12.5")).start  # type: ignore[union-attr]


LOCALES = ["en", "de", "fr", "es", "it", "pt", "nl", "pl", "cs", "ru", "sv", "de_CH", "en_IN", "hu", "tr", "ja", "zh"]


@settings(max_examples=300, deadline=None)
@given(st.decimals(-10_000_000, 10_000_000, places=2), st.sampled_from(LOCALES))
def test_any_number_in_any_countrys_writing_is_found(value: Decimal, locale: str) -> None:
    """As CLDR writes it, between other words."""
    text = f"Betrag: {format_decimal(value, locale=locale)} x"
    assert found(text, value) is not None, text


@settings(max_examples=300, deadline=None)
@given(
    st.dates(dt.date(1970, 1, 1), dt.date(2060, 12, 31)),
    st.sampled_from(LOCALES),
    st.sampled_from(["long", "medium", "short"]),
)
def test_any_date_in_any_countrys_writing_is_found(value: dt.date, locale: str, width: Any) -> None:
    """As CLDR writes it, long, medium or short."""
    text = f"Date: {format_date(value, format=width, locale=locale)} x"
    assert found(text, value) is not None, text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.text(max_size=40))
def test_any_text_and_value_end_well(text: str, value: str) -> None:
    """A text that holds the value between blanks supports it; any other does whatever it does, without an error."""
    Finder(text).find(value)
    whole = f"{text} | {value} | x"
    support = Finder(whole).find(value)
    if any(map(str.isalnum, value)):
        assert support is not None
        assert support.is_support or not value.strip(), (whole, support)


@pytest.mark.parametrize(
    "text",
    ["1 " * 50_000, "1," * 50_000, "a-" * 50_000, "12/" * 40_000, "1" * 100_000, "(-" * 50_000, "\u0301" * 50_000],
    ids=["spaces", "commas", "hyphens", "slashes", "digits", "signs", "marks"],
)
@pytest.mark.parametrize("value", [D("12.5"), dt.date(2018, 3, 12), "1 1 1 2", "a b c d"], ids=str)
def test_no_text_takes_long(text: str, value: Any) -> None:
    """A hundred thousand characters of any kind take less than two seconds of CPU."""
    begun = time.process_time()
    Finder(text).find(value)
    assert 2 > time.process_time() - begun
