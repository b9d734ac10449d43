"""Spans of a text: amounts, numbers, dates, lines. What they find, what they leave out, and how long they take."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.spans import (
    Span,
    date_spans,
    labelled,
    line_spans,
    money_spans,
    name_spans,
    number_spans,
    parse_date,
    parse_number,
)

FINDERS = [money_spans, number_spans, date_spans, line_spans, name_spans]
HARD = st.text(alphabet="0123456789.,:/-'() \n\tRM$€aJjanury年月日%")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", "5"),
        ("1,234.50", "1234.50"),
        ("1.234,50", "1234.50"),
        ("1 234,50", "1234.50"),
        ("1\u00a0234,50", "1234.50"),
        ("1'234.50", "1234.50"),
        ("1’234.50", "1234.50"),
        ("1,234", "1234"),
        ("1.234", "1.234"),
        ("12,5", "12.5"),
        ("1,234,567.89", "1234567.89"),
        ("1.234.567", "1234567"),
        ("0,500", "0.500"),
        ("RM 26.10", "26.10"),
        ("€12", "12"),
        ("(5.00)", "-5.00"),
        ("5.00-", "-5.00"),
        ("-5.00", "-5.00"),
        ("\u22125.00", "-5.00"),
        ("-RM5.00", "-5.00"),
        ("RM -5.00", "-5.00"),
        ("５.００", "5.00"),
    ],
)
def test_a_number_reads_in_any_usual_writing(text: str, number: str) -> None:
    """Thousands marks, decimal commas, signs before and after, full-width digits."""
    assert Decimal(number) == parse_number(text)


@pytest.mark.parametrize(
    "text", ["", "abc", "1 2x3", "12/05", "1.2.3", "1,23,456", "1.234.56,7.8", "9" * 65, "--", "NaN", "1234,567,890"]
)
def test_what_is_not_one_number_is_none(text: str) -> None:
    """Two numbers, none, odd grouping or an endless one are not guessed at."""
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("TOTAL RM 26.10", ["26.10"]),
        ("Total 1.234,50 EUR, tip 3,00", ["1.234,50", "3,00"]),
        ("CHF 1'234.50", ["1'234.50"]),
        ("Summe 1 234,50 €", ["1 234,50"]),
        ("$5 and £7.5 and 12 USD", ["5", "7.5", "12"]),
        ("¥1,200", ["1,200"]),
        ("change -5.00", ["-5.00"]),
        ("GST 6.00% at 12:30 on 12.05.2018", []),
        ("qty 3 x 4", []),
        ("id 123456789", []),
    ],
)
def test_amounts_of_money(text: str, amounts: list[str]) -> None:
    """Two decimals or a currency sign make an amount; percentages, times, dates and counts are none."""
    assert amounts == [span.text for span in money_spans(text)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("3 items, 1,234.5 kg, -7", ["3", "1,234.5", "-7"]),
        ("A4 paper, 3x, 12:30, 02/05/2018", []),
        ("", []),
    ],
)
def test_numbers_that_stand_alone(text: str, numbers: list[str]) -> None:
    """Parts of words, times and dates are no numbers."""
    assert numbers == [span.text for span in number_spans(text)]


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2018-05-02", (2018, 5, 2)),
        ("2018/5/2", (2018, 5, 2)),
        ("31.12.2018", (2018, 12, 31)),
        ("25/03/18", (2018, 3, 25)),
        ("12/25/2018", (2018, 12, 25)),
        ("05/05/2018", (2018, 5, 5)),
        ("2 May 2018", (2018, 5, 2)),
        ("2nd of", None),
        ("02-MAY-18", (2018, 5, 2)),
        ("May 2nd, 2018", (2018, 5, 2)),
        ("Sept. 3, 2019", (2019, 9, 3)),
        ("2018 May 2", (2018, 5, 2)),
        ("2018年5月2日", (2018, 5, 2)),
        ("25/05/201814:17", (2018, 5, 25)),
        ("29/02/2024", (2024, 2, 29)),
        ("02/05/2018", None),
        ("29/02/2023", None),
        ("31/02/2024", None),
        ("00/00/0000", None),
        ("1/2", None),
        ("", None),
    ],
)
def test_dates_in_many_writings(text: str, date: tuple[int, int, int] | None) -> None:
    """A date that does not exist, or that reads in two ways, is None."""
    assert (dt.date(*date) if date else None) == parse_date(text)


def test_the_order_settles_an_ambiguous_date() -> None:
    """02/05/2018 is in May or in February, as told; a date that is valid the other way only is refused."""
    assert dt.date(2018, 5, 2) == parse_date("02/05/2018", day_first=True)
    assert dt.date(2018, 2, 5) == parse_date("02/05/2018", day_first=False)
    assert parse_date("12/25/2018", day_first=True) is None
    assert [None] == [span.value for span in date_spans("on 02/05/2018")]
    assert date_spans("31/02/2024 and 99/99/2020") == []


def test_lines_without_outer_space() -> None:
    """Lines with letters, of any kind of line end; figures alone are no line."""
    text = "  ACME LTD \r\n123\n\nMain Street 5\t\n-"
    assert ["ACME LTD", "Main Street 5"] == [span.text for span in line_spans(text)]


def test_a_code_at_the_end_of_a_line_can_be_cut() -> None:
    """`trim` gives the name without its registration number, never nothing."""
    text = "SHOP SDN BHD (519537-X)\nOTHER SHOP 862725-U\nAB\n(A1B2)"
    assert ["SHOP SDN BHD", "OTHER SHOP", "AB", "(A1B2)"] == [span.text for span in line_spans(text, trim=True)]


def test_a_label_stands_before_its_span() -> None:
    """The text before the span on its line, else the line above."""
    text = "SUBTOTAL 24.62\nTOTAL\n  26.10"
    found = labelled(text, money_spans(text))
    assert ["SUBTOTAL 24.62", "TOTAL 26.10"] == [span.shown for span in found]
    assert [Decimal("24.62"), Decimal("26.10")] == [span.value for span in found]


def test_a_long_label_is_cut_between_words() -> None:
    """At most sixty characters before the span."""
    text = "word " * 30 + "26.10"
    (found,) = labelled(text, money_spans(text))
    assert found.text.startswith("word ")
    assert found.text.endswith("word 26.10")
    assert len(found.text) <= 65


def test_names_are_runs_of_capitalised_words() -> None:
    """Also without the word that opens the sentence or an article, and the parts beside a joint."""
    found = {
        span.text
        for span in name_spans("Near the river, The Golden Palace serves food. Try Blue Spice at the Mill, please")
    }
    assert {"The Golden Palace", "Golden Palace", "Try Blue Spice", "Blue Spice at the Mill", "Mill"} <= found
    assert [] == name_spans("no names in here")


@given(text=st.text() | HARD)
def test_every_span_is_an_exact_substring_in_order(text: str) -> None:
    """`text[start:end]` is the span, and spans follow one another."""
    for find in FINDERS:
        found = find(text)
        assert [span.text for span in found] == [text[span.start : span.end] for span in found]
        assert [span.start for span in found] == sorted(span.start for span in found)
        assert all(span.text for span in found)


@given(text=HARD)
def test_every_number_found_is_a_number_again(text: str) -> None:
    """What a finder gives can be read by itself, as the same value."""
    for span in [*money_spans(text), *number_spans(text)]:
        assert span.value == parse_number(span.text)
    for span in date_spans(text, day_first=True):
        assert span.value is None or span.value == parse_date(span.text, day_first=True)


@given(date=st.dates(dt.date(1969, 1, 1), dt.date(2068, 12, 31)), mark=st.sampled_from("-/."))
def test_a_written_date_is_found_again(date: dt.date, mark: str) -> None:
    """Every date of a century, year first or day first, stands in its text."""
    for text in (date.strftime(f"%Y{mark}%m{mark}%d"), date.strftime(f"%d{mark}%m{mark}%Y")):
        (span,) = date_spans(f"on {text}, paid", day_first=True)
        assert (text, date) == (span.text, span.value)


@given(number=st.decimals(0, 10**12, places=2))
def test_a_written_amount_is_found_again(number: Decimal) -> None:
    """With and without thousands marks, in English and German writing."""
    english = f"{number:,}"
    german = english.translate(str.maketrans(",.", ".,"))
    for text in (str(number), english, german):
        assert [number] == [span.value for span in money_spans(f"total {text} paid")]


@pytest.mark.parametrize("find", FINDERS, ids=lambda find: find.__name__)
@pytest.mark.parametrize(
    "unit",
    ["1,", "01/", "1.1.", " ", "1", "a", "\n", "1 ", "RM", "$", "1,111", "-", "(", "jan ", "1 jan ", "01/01/", "12:"],
)
def test_a_long_text_takes_linear_time(find: Callable[[str], list[Span]], unit: str) -> None:
    """Each finder passes over 60 kB of one pattern in under two seconds of CPU; in square time it would be minutes."""
    text = unit * (60_000 // len(unit))
    start = time.process_time()
    find(text)
    assert time.process_time() - start < 2
