"""The samples in `data/` keep what their README promises, and agree with the schemas."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from schemas.receipts import Receipt
from schemas.restaurants import Area, EatType, Food, PriceRange, Restaurant
from schemas.tickets import Ticket, Topic, Urgency

DATA = Path(__file__).parent.parent / "data"
COUNTS = {"receipts": (40, 37, 4), "tickets": (60, 60, 12), "restaurants": (40, 40, 6)}  # records, expected, examples
COLUMNS = {"receipts": ["id", "text"], "tickets": ["id", "received", "text"], "restaurants": ["id", "text"]}
MODELS: dict[str, type[BaseModel]] = {"receipts": Receipt, "tickets": Ticket, "restaurants": Restaurant}
UNANSWERABLE = {"r-013", "r-025", "r-035"}

AMOUNT = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})*\.\d\d(?![\d.])|(?<![\d.,])\d+\.\d\d(?![\d.])")
DATE = re.compile(
    r"\b(?:\d{4}[-/]\d\d[-/]\d\d|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
    r"|\d{1,2}[ -][A-Z][a-z]+[ -]\d{4}|[A-Z][a-z]{2} \d{1,2}, \d{4})\b"
)
DATE_FORMATS = (
    "%Y-%m-%d", "%Y/%m/%d", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d.%m.%y",
    "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y",
)  # fmt: skip

names = pytest.mark.parametrize("name", sorted(COUNTS))


def rows(file: str) -> list[dict[str, str]]:
    with (DATA / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, strict=True))


def examples(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{name}_examples.jsonl").read_text(encoding="utf-8").splitlines()]


def texts(name: str) -> dict[str, str]:
    return {row["id"]: row["text"] for row in rows(f"{name}.csv")}


def printed_lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n")]


def parse_date(span: str) -> dt.date | None:
    for form in DATE_FORMATS:
        try:
            return dt.datetime.strptime(span, form).date()
        except ValueError:
            continue
    return None


def printed_dates(text: str) -> list[dt.date]:
    return [date for span in DATE.findall(text) if (date := parse_date(span))]


def printed_amounts(text: str) -> list[Decimal]:
    return [Decimal(span.replace(",", "")) for span in AMOUNT.findall(text)]


def values(row: dict[str, str]) -> dict[str, str | None]:
    """The expected row as the model takes it: without the key, an empty cell as null."""
    return {column: cell or None for column, cell in row.items() if column != "id"}


@names
def test_counts_and_columns(name: str) -> None:
    """Each sample has the promised number of records, expected rows and examples, and the promised columns."""
    records, expected = rows(f"{name}.csv"), rows(f"{name}_expected.csv")
    assert COUNTS[name] == (len(records), len(expected), len(examples(name)))
    assert COLUMNS[name] == list(records[0])
    assert ["id", *MODELS[name].model_fields] == list(expected[0])


@names
def test_ids(name: str) -> None:
    """Ids are unique and in order, and every record is expected except the unanswerable receipts."""
    ids = [row["id"] for row in rows(f"{name}.csv")]
    assert sorted(set(ids)) == ids
    unanswerable = UNANSWERABLE if name == "receipts" else set()
    assert [key for key in ids if key not in unanswerable] == [row["id"] for row in rows(f"{name}_expected.csv")]


@names
def test_records_are_complete(name: str) -> None:
    """No cell is empty, no text occurs twice, and no file has a CR or a byte order mark."""
    records = rows(f"{name}.csv")
    assert all(all(row.values()) for row in records)
    assert len(records) == len({row["text"] for row in records})
    for path in DATA.glob(f"{name}*"):
        raw = path.read_bytes()
        assert b"\r" not in raw
        assert not raw.startswith(b"\xef\xbb\xbf")


@names
def test_expected_rows_fit_the_model(name: str) -> None:
    """Every expected row is a valid value of the schema."""
    for row in rows(f"{name}_expected.csv"):
        MODELS[name].model_validate(values(row))


@names
def test_examples_are_new(name: str) -> None:
    """No example is among the records, no example occurs twice, and each answers all fields in the schema's order."""
    shown = [example["record"]["text"] for example in examples(name)]
    assert len(set(shown)) == len(shown)
    assert set() == set(shown) & set(texts(name).values())
    for example in examples(name):
        assert {"record", "answer"} == set(example)
        assert list(MODELS[name].model_fields) == list(example["answer"])


def test_receipts_are_short() -> None:
    """An answerable receipt has 8 to 16 printed lines."""
    for key, text in texts("receipts").items():
        assert key in UNANSWERABLE or 8 <= len(text.split("\n")) <= 16, key


def test_receipts_expected_values_are_printed() -> None:
    """Company, date and total of every expected row stand on the receipt as a line, a date and an amount."""
    text_of = texts("receipts")
    for row in rows("receipts_expected.csv"):
        text = text_of[row["id"]]
        assert row["company"] in printed_lines(text)
        assert dt.date.fromisoformat(row["date"]) in printed_dates(text), row["id"]
        assert Decimal(row["total"]) in printed_amounts(text), row["id"]
        assert re.fullmatch(r"\d+\.\d\d", row["total"])


def test_receipts_unanswerable() -> None:
    """The three receipts without an answer lack what the README says they lack."""
    text_of = texts("receipts")
    assert [] == printed_amounts(text_of["r-013"])
    assert [] == printed_dates(text_of["r-025"])
    assert "TEST PRINT" == text_of["r-035"]


def test_receipts_total_is_paid() -> None:
    """Where cash and change are printed, they differ by the total."""
    cash = re.compile(r"(?im)^(?:cash|especes|bar chf|amt tendered|numerario|given)\b.*?([\d,]+\.\d\d)$")
    change = re.compile(r"(?im)^(?:change|rendu|zurück chf|balance|troco|back) .*?([\d,]+\.\d\d)$")
    text_of, checked = texts("receipts"), 0
    for row in rows("receipts_expected.csv"):
        given, back = cash.search(text_of[row["id"]]), change.search(text_of[row["id"]])
        if given and back:
            checked += 1
            amounts = [Decimal(found.group(1).replace(",", "")) for found in (given, back)]
            assert Decimal(row["total"]) == amounts[0] - amounts[1], row["id"]
    assert checked >= 12


def test_receipts_examples() -> None:
    """An example answers with printed spans: a line, a date, an amount; short examples come first."""
    lengths = [len(example["record"]["text"]) for example in examples("receipts")]
    assert sorted(lengths) == lengths
    for example in examples("receipts"):
        text, answer = example["record"]["text"], example["answer"]
        assert answer["company"] in printed_lines(text)
        assert answer["date"] in DATE.findall(text)
        assert parse_date(answer["date"])
        assert answer["total"].split()[-1] in AMOUNT.findall(text)  # with its label where the amount stands twice


def test_tickets_labels() -> None:
    """Labels are the schema's and are balanced, in the records and in the examples; times are in order."""
    pairs = {(topic.value, urgency.value) for topic in Topic for urgency in Urgency}
    labels = [(row["topic"], row["urgency"]) for row in rows("tickets_expected.csv")]
    assert dict.fromkeys(pairs, 5) == {pair: labels.count(pair) for pair in set(labels)}
    shown = [(example["answer"]["topic"], example["answer"]["urgency"]) for example in examples("tickets")]
    assert pairs == set(shown)
    received = [dt.datetime.strptime(row["received"], "%Y-%m-%d %H:%M") for row in rows("tickets.csv")]
    assert sorted(set(received)) == received


def test_tickets_examples_fit_the_model() -> None:
    """The examples of the tickets are valid answers."""
    for example in examples("tickets"):
        Ticket.model_validate_json(json.dumps(example["answer"]))


def test_restaurants_names_are_written() -> None:
    """`name` and `near` stand in the text, in the records and in the examples."""
    text_of = texts("restaurants")
    answers = [(text_of[row["id"]], values(row)) for row in rows("restaurants_expected.csv")]
    answers += [(example["record"]["text"], example["answer"]) for example in examples("restaurants")]
    for text, answer in answers:
        assert answer["name"]
        assert answer["name"] in text
        assert answer["near"] is None or answer["near"] in text


def test_restaurants_use_every_value() -> None:
    """Every value of the closed lists, and null, is expected somewhere."""
    expected = [values(row) for row in rows("restaurants_expected.csv")]
    for field, options in [("eat_type", EatType), ("food", Food), ("price_range", PriceRange), ("area", Area)]:
        assert {*get_args(options), None} == {row[field] for row in expected}
    assert {"true", "false", None} == {row["family_friendly"] for row in expected}


def test_restaurants_examples_fit_the_model() -> None:
    """The examples of the restaurants are valid answers, strictly typed."""
    for example in examples("restaurants"):
        Restaurant.model_validate_json(json.dumps(example["answer"]), strict=True)
