"""What is masked and what is not; placeholders and back; patterns that would never end elsewhere."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.records import Record
from extract.redaction import redactor_of, with_room
from extract.redaction.kinds import KINDS, cards, emails, ibans, phones
from extract.redaction.linear import occurrences, searcher
from extract.redaction.masks import Masks, Redactor
from tests.support import SHARED

ALL: list[Any] = [*KINDS, ("customer", r"\bC-\d{6}\b")]


def redactor(*columns: str, redact: Any = ALL) -> Redactor:
    return redactor_of(redact, columns or ("text",))


def masks(text: Any, redact: Any = ALL) -> Masks:
    return redactor(redact=redact).of(Record("k", 0, {"text": text}))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("to a.b+c@ex-ample.co.uk, or x@y", ["a.b+c@ex-ample.co.uk"]),
        ("<joe@x.com>;ann@x.com.", ["joe@x.com", "ann@x.com"]),
        ("user@exämple.de", ["user@exämple.de"]),
        ("@handle, a@b, 5 @ 3.50, git@", []),
    ],
)
def test_addresses_of_mail(text: str, found: list[str]) -> None:
    assert found == [text[start:end] for start, end in emails(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4111 1111 1111 1111 12/27", ["4111 1111 1111 1111"]),
        ("Ref 12 5500-0000-0000-0004", ["5500-0000-0000-0004"]),
        ("378282246310005", ["378282246310005"]),
        ("3782 822463 10005", ["3782 822463 10005"]),
        ("٤١١١١١١١١١١١١١١١", ["٤١١١١١١١١١١١١١١١"]),  # digits as Arabic writes them
        ("4111111111111112", []),  # the checksum is wrong
        ("1111111111111117", []),  # no card begins so
        ("4000001123452 GTIN", []),
        ("2016 2017 2018 2019", []),
        ("14111111111111111123", []),
    ],
)
def test_numbers_of_cards(text: str, found: list[str]) -> None:
    assert found == [text[start:end] for start, end in cards(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("IBAN: DE89 3704 0044 0532 0130 00 BIC COBADEFF", ["DE89 3704 0044 0532 0130 00"]),
        ("gb82west12345698765432.", ["gb82west12345698765432"]),
        ("NL91ABNA0417164300NL91ABNA0417164300", []),
        ("DE89 3704 0044 0532 0130 01", []),
        ("AB12 CDEF 0000 1234 5678", []),
    ],
)
def test_numbers_of_accounts(text: str, found: list[str]) -> None:
    assert found == [text[start:end] for start, end in ibans(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("+49 (0)170 123 45 67.", ["+49 (0)170 123 45 67"]),
        ("TEL : 03-87686092  FAX : 03-87686093", ["03-87686092", "03-87686093"]),
        ("(212) 438-1000", ["(212) 438-1000"]),
        ("+1-212-880-9865 10", ["+1-212-880-9865"]),
        ("0049 170 1234567", ["0049 170 1234567"]),
        ("0170/1234567", ["0170/1234567"]),
        ("Telefon: 1234567", ["1234567"]),
        ("2018-05-02 10:00, 12.05.2018, 02-05-2018", []),
        ("1,234,567.89 EUR, 2 x 1 234 567", []),
        ("INV-2019-00012345, GST 001951645696, 471102", []),
        ("DFARS 252.227-7013", []),
        ("phone 02/05/2018", []),
        ("+12.50", []),
    ],
)
def test_numbers_of_phones(text: str, found: list[str]) -> None:
    assert found == [text[start:end] for start, end in phones(text)]


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "data").exists(), reason="needs ../shared")
@pytest.mark.parametrize("name", ["receipts_sroie", "invoices_pdf", "restaurants_e2e", "snips_commands", "citations"])
def test_no_value_that_is_wanted_of_real_records_is_masked(name: str) -> None:
    """Amounts, dates, numbers of invoices and names of all gold answers."""
    found = redactor(redact=list(KINDS)).found
    gold = pd.read_parquet(SHARED / "data" / name / "gold.parquet")
    values = [str(value) for column in gold.columns if column != "id" for value in gold[column] if value is not None]
    assert [] == [value for value in values if found(value)]


def test_a_value_has_one_placeholder_in_a_record_and_is_masked_wherever_it_stands() -> None:
    """Also where no word for phone stands before it, and in other columns."""
    record = Record("k", 0, {"text": "Tel 1234567, 1234567 again", "more": ["x 1234567", {"1234567": 1}], "other": "y"})
    found = redactor("text", "more").of(record)
    expected = {"text": "Tel [PHONE_1], [PHONE_1] again", "more": ["x [PHONE_1]", {"[PHONE_1]": 1}], "other": "y"}
    assert expected == found.record.cells
    assert (("[PHONE_1]", "1234567"),) == found.pairs


def test_a_number_that_is_a_card_is_masked_and_other_numbers_stay_numbers() -> None:
    found = redactor("text", "more").of(Record("k", 0, {"text": 4111111111111111, "more": 12.5, "third": True}))
    assert {"text": "[CARD_1]", "more": 12.5, "third": True} == found.record.cells


def test_a_record_without_secrets_is_the_record_itself() -> None:
    record = Record("k", 0, {"text": "plain"})
    assert record is redactor().of(record).record


def test_what_overlaps_is_masked_as_a_whole() -> None:
    """By the kind that is named first."""
    found = masks("C-123456@example.com", [("customer", r"C-\d{6}"), "email"])
    assert ("[CUSTOMER_1]", (("[CUSTOMER_1]", "C-123456@example.com"),)) == (found.record["text"], found.pairs)


SECRETS = ("a@example.com", "b@example.com", "+49 170 1234567", "Tel 1234567", "4111111111111111", "C-004711")
ALIKE = ("DE89370400440532013000", "[EMAIL_1]", "EMAIL_2", "[literal 1]", "<phone_1>", "[", "]", "{", "[[", "\\", " ")
PIECES = st.sampled_from([*SECRETS, *ALIKE, "\n", "x", "7", "ü", "\U0001f600", "\ud800"])


@settings(max_examples=120, deadline=None)
@given(st.lists(PIECES, max_size=12))
def test_what_is_masked_comes_back_as_it_was(pieces: list[str]) -> None:
    """Every text, texts that hold placeholders too; and none of its secrets is shown."""
    text = "".join(pieces)
    made = redactor()
    found = made.of(Record("k", 0, {"text": text}))
    shown = found.record["text"]
    back = made.restored([shown, {shown: 1}], found.pairs)
    assert ([text, {text: 1}], [], False) == (back.value, back.issues, back.altered)
    assert shown == made.of(Record("k", 0, {"text": text})).record["text"]
    secrets = [value for placeholder, value in found.pairs if "LITERAL" not in placeholder and len(value) >= 8]
    assert [] == [value for value in secrets if value in shown]


TEXTS = st.text("[]EMAIL_12 \\e<x", max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        TEXTS | st.none() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=6
    )
)
def test_any_answer_can_be_read_back(answer: Any) -> None:
    """An answer is the model's: nothing in it breaks."""
    back = redactor().restored(answer, (("[EMAIL_1]", "[EMAIL_2]"),))
    assert type(answer) is type(back.value)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(a+)+$", "a" * 30_000 + "b"),
        (r"(a|a)*b", "a" * 30_000),
        (r"(.*)(.*)(.*)x", "y" * 20_000),
        (r"(\w+\s?)+!", "ab " * 10_000),
    ],
)
def test_a_pattern_that_python_would_not_finish_is_searched_in_linear_time(pattern: str, text: str) -> None:
    """Tried three times, for others may be at work."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        list(searcher(pattern, "x")(text))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"[EMAIL_{number}]" for number in range(1, 20_000)),
        "".join(f"a{number}@example.com " for number in range(10_000)),
        "4" * 200_000,
        "4111 " * 20_000,
        "DE89" * 50_000,
        "+49 " * 50_000,
        "tel " * 50_000,
        "a." * 100_000 + "@",
        "@" * 200_000,
        "[ " * 100_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """Some 200,000 characters, masked and read back; tried three times, for others may be at work."""
    made, seconds = redactor(), []
    for _ in range(3):
        start = time.perf_counter()
        found = made.of(Record("k", 0, {"text": text}))
        back = made.restored(found.record["text"], found.pairs)
        seconds.append(time.perf_counter() - start)
        assert text == back.value
        if seconds[-1] < 2:
            break
    assert min(seconds) < 2


@pytest.mark.parametrize("count", [3, 1000])
def test_many_values_are_found_again_as_few_are(count: int) -> None:
    """With signs that mean something in patterns, line ends and halves of surrogate pairs."""
    values = [f"v{number:04}.+*(é\n \ud800" for number in range(count)]
    text = " ".join(reversed(values))
    expected = sorted((text.index(value), text.index(value) + len(value)) for value in values)
    assert expected == sorted(occurrences(values, text))


def test_a_pattern_tells_places_in_any_text() -> None:
    """Beyond the first plane, beside halves of surrogate pairs, and beside the signs that mark its places."""
    text = "\U000f0000 C-000001 \U0001f600\ud800 ü C-000002\U000f0001"
    assert ["C-000001", "C-000002"] == [text[start:end] for start, end in searcher(r"C-\d{6}", "x")(text)]


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        ("Tel 1234567", "Tel [PHONE_1]"),
        ("1234567", "[PHONE_1]"),
        ("345", None),
        ("a 4567", None),
        ("4242", "4242"),
        ("ACME Corp", "ACME Corp"),
    ],
)
def test_a_candidate_shows_no_piece_of_a_secret(span: str, shown: str | None) -> None:
    """What a function of the user's own makes up is no piece of the record."""
    assert shown == masks("Order 4242, Tel 1234567").candidate(span)


def test_a_reply_shows_no_beginning_of_a_secret() -> None:
    """What quotes a value may have cut it off."""
    made = masks("Mail jane@example.com, Tel 1234567, C-004711 and Tel 12345678")
    said = "'jane@exam… is wrong, jane@example.com too; C-0047, 1234567, 12345678; not 1234 or new@example.com"
    expected = "'…… is wrong, [EMAIL_1] too; …, [PHONE_1], [PHONE_2]; not 1234 or new@example.com"
    assert expected == made.covered_reply(said)


def test_a_wire_schema_lets_placeholders_pass() -> None:
    """Bounds of texts go, names of properties and times stay."""
    given = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "format": "email", "minLength": 3},
            "day": {"type": "string", "format": "date"},
            "list": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "x", "maxLength": 2}},
            "kind": {"enum": ["a", {"pattern": "x"}]},
        },
        "required": ["pattern"],
    }
    nodes = {
        "pattern": {"type": "string"},
        "day": {"type": "string", "format": "date"},
        "list": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "kind": {"enum": ["a", {"pattern": "x"}]},
    }
    assert {**given, "properties": nodes} == with_room(given)
