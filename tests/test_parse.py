"""Strict JSON: what Python's reader lets pass is refused, everything else reads as JSON."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.parse import _UNREAD, MAX_DEPTH, MAX_DIGITS, ParseError, _read_carefully, _read_fast, parse_at, parse_json
from tests.support import SHARED

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "parse.json"),
        ("{'a': 1}", "parse.json"),
        ('{"a": 1} {"a": 1}', "parse.json"),
        ('```json\n{"a": 1}\n```', "parse.json"),
        ('{"a": 1,}', "parse.json"),
        ('"a\nb"', "parse.json"),
        ("\ufeff1", "parse.json"),
        ("01", "parse.json"),
        ("+1", "parse.json"),
        ("[NaN]", "parse.number"),
        ("Infinity", "parse.number"),
        ("-Infinity", "parse.number"),
        ("1e999", "parse.number"),
        ("1e999999999", "parse.number"),
        ("1e99999999999999999999999", "parse.number"),
        ("-1E-99999999999999999999999", "parse.number"),
        ("9" * 5000, "parse.number"),
        ("-" + "9" * 5000, "parse.number"),
        ("0." + "1" * 5000, "parse.number"),
        ('{"a": 1, "a": 1}', "parse.duplicate_key"),
        ('[{"b": {"a": 1, "\\u0061": 2}}]', "parse.duplicate_key"),
        ('"\\ud800"', "parse.surrogate"),
        ('{"\\udfff": 1}', "parse.surrogate"),
        ('"\ud800"', "parse.surrogate"),
        ("[" * 100_000, "parse.depth"),
        ("[" * 100_000 + "]" * 100_000, "parse.depth"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "parse.depth"),
        ("[" * 900 + '"é"' + "]" * 900, "parse.depth"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_a_code(text: str, code: str) -> None:
    """Each trap has its own code, at the path of the whole answer."""
    with pytest.raises(ParseError) as caught:
        parse_json(text)
    issue = caught.value.issue
    assert ("parse", code, "$") == (issue.stage, issue.code, issue.path)
    assert issue.message
    assert len(str(issue.value)) <= 80


def test_the_place_of_a_syntax_error_is_shown() -> None:
    """Character number and the text around it."""
    with pytest.raises(ParseError, match="at character 8") as caught:
        parse_json('{"a": 1 "b": 2}')
    assert caught.value.issue.value == '{"a": 1 "b": 2}'


def test_a_value_in_the_middle_of_a_text() -> None:
    """From where it begins to where it ends, control characters in its strings allowed; all else as strictly."""
    assert ({"a": ["b\n\x00", Decimal("0.10")]}, 24) == parse_at('see {"a": ["b\n\x00", 0.10]} }', 4)
    for value, code in (
        ('{"a": NaN}', "parse.number"),
        ('{"a": 1e999}', "parse.number"),
        ('{"a": 1, "a": 1}', "parse.duplicate_key"),
        ('{"a": "\\ud800"}', "parse.surrogate"),
        (f'{{"a": {"9" * 5000}}}', "parse.number"),
        ("[" * 101 + "]" * 101, "parse.depth"),
        ("[" * 100_000, "parse.depth"),
        ('{"a": 1,}', "parse.json"),
    ):
        with pytest.raises(ParseError) as caught:
            parse_at(f"see {value} }}", 4)
        assert code == caught.value.issue.code
    assert 12 == caught.value.position


def test_fractions_are_exact() -> None:
    """A number with a fraction or an exponent is the Decimal of its own digits; a whole one is an int."""
    found = parse_json("[0.1, 1.10, 1E2, 7, -0.0]")
    assert ["0.1", "1.10", "1E+2", "7", "-0.0"] == [str(item) for item in found]
    assert [Decimal, Decimal, Decimal, int, Decimal] == [type(item) for item in found]


def test_depth_and_digits_up_to_the_limit_pass() -> None:
    """The limits are promises, not round figures."""
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert int("9" * MAX_DIGITS) == parse_json("9" * MAX_DIGITS)
    assert parse_json(json.dumps(["[" * 500])) == ["[" * 500]
    wide = [{"a": [number]} for number in range(200)]
    assert wide == parse_json(json.dumps(wide))
    with pytest.raises(ParseError, match="nested"):
        parse_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_a_surrogate_pair_is_one_character() -> None:
    """Both halves together are text."""
    assert parse_json('"\\ud83d\\ude00"') == "😀"


@given(text=st.text() | st.text(alphabet='[]{}",:0123456789.eE+-\\ud8tfn ') | JSON.map(json.dumps))
def test_any_text_is_a_value_or_a_parse_error(text: str) -> None:
    """No text whatever raises anything but ParseError, and what is taken reads as `json.loads` reads it."""
    try:
        found = parse_json(text)
    except ParseError:
        return
    assert json.loads(text) == as_floats(found)


def outcome(read: Callable[[str], Any], text: str) -> Any:
    """The value with its types, or the issue."""
    try:
        return repr(read(text))
    except ParseError as error:
        return error.issue


NUMBERS = [
    *("0", "-0", "-0.0", "1E400", "1E+401", "1e-400", "1e-401", "1e99", "123e-789", "0e5", "1e0005", "0E-999", "1.10"),
    *("9" * 400, "9" * 401, "9" * 4301, "1." + "0" * 398, "1." + "0" * 399, "9" * 99 + ".5", "9" * 100 + ".5"),
    *("01", "+1", "1.", ".5", "-", "1e", "0x1", "1_0", "NaN", "-Infinity", "nan", "Inf", "\u0661", "1e5" * 3),
]
TEXTS = [
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\ud83d\\u0041"', '"\ud800"', '"\x00"', '"\\u0000"'),
    *('"\x1f"', '"\x7f"', '"\u2028"', '"\\x"', '"\\/\\b\\f"', '"\t"', "'a'", '"', "tru", "nul", '"e000 1e000"'),
    *('{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"":1}', '{"":1,"":1}', "{1:2}", "{'a':1}", '{"a" 1}', "[1,]", "[,1]"),
    *("\ufeff1", " 1\n\t\r", "\x0b1", "\u00a01", "1 1", "1//", "/**/1", "", "[" * 101 + "]" * 101, "[" * 201),
    *(f"{'[' * depth}1{']' * depth}" for depth in (99, 100, 199, 200, 201, 1000, 100_000)),
    *(f"{chr(123) + chr(34) * 2 + ':'}" * depth + "1" + "}" * depth for depth in (100, 101, 1000)),
    *('[NaN, {"a":1,"a":1}]', '{"a":1,"a":NaN}', '[1e999, "\\ud800"]', "[" * 101 + '"\\ud800"' + "]" * 101),
]


@pytest.mark.parametrize("text", [*NUMBERS, *TEXTS])
def test_both_readers_read_alike(text: str) -> None:
    """The compiled one takes what is ordinary; all else, and every message, is the careful one's."""
    for whole in (text, f"[{text}]", f'{{"a": {text}, "b": 1}}'):
        assert outcome(_read_carefully, whole) == outcome(parse_json, whole)


@given(
    text=st.text()
    | st.text(alphabet='[]{}",:0123456789.eE+-\\ud8tfn ')
    | JSON.map(json.dumps)
    | st.recursive(
        st.sampled_from([*NUMBERS, *TEXTS[:20]]),
        lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    )
)
def test_both_readers_read_any_text_alike(text: str) -> None:
    """Value for value, type for type, issue for issue."""
    assert outcome(_read_carefully, text) == outcome(parse_json, text)


@pytest.mark.shared
def test_the_suite_of_texts_is_read_as_before() -> None:
    """318 texts: good ones are taken, bad ones refused, the doubtful as the careful reader has them."""
    path = SHARED / "vectors" / "json_parsing" / "cases.jsonl"
    if not path.exists():
        pytest.skip("the shared vectors are not beside this checkout")
    seen = 0
    for line in path.read_text("utf-8").splitlines():
        case = json.loads(line)
        seen += 1
        try:
            text = base64.b64decode(case["content_base64"]).decode()
        except UnicodeDecodeError:
            assert case["expect"] != "accept"
            continue
        found = outcome(parse_json, text)
        assert outcome(_read_carefully, text) == found
        taken = isinstance(found, str) or found.code == "parse.duplicate_key"  # valid for the suite, not for us
        assert case["expect"] in ("either", "accept" if taken else "reject"), case["name"]
    assert 318 == seen


def test_ordinary_answers_are_read_by_the_fast_reader() -> None:
    """Codes with letters and long numbers among them, which only look like exponents."""
    for text in (
        '{"vat": "DE123456789", "iban": "DE89370400440532013000", "total": -12.50}',
        "[1e99, 0.1, null, true]",
    ):
        assert _read_fast(text) is not _UNREAD
    for text in ("1e100", "9" * 100, '{"a": 1, "a": 1}', "NaN"):
        assert _read_fast(text) is _UNREAD


@given(value=JSON)
def test_what_json_writes_is_read_back(value: Any) -> None:
    """Every JSON value of usual size is taken, equal to what was written."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert value == as_floats(parse_json(text))


@pytest.mark.parametrize(
    "text",
    [
        "[" + ",".join(["[" * 50 + "]" * 50] * 4_000) + "]",
        "{" + ",".join(f'"{n}":1' for n in range(90_000)) + ',"89999":2}',
        '"' + "\\u00e9" * 160_000 + '"',
        "1" * 1_000_000,
        "0." + "1" * 1_000_000,
        '["' * 300_000,
    ],
    ids=["brackets", "late duplicate", "escapes", "digits", "decimals", "open quotes"],
)
def test_a_megabyte_is_judged_in_time(text: str) -> None:
    """Hostile megabytes take seconds at most."""
    start = time.process_time()
    with contextlib.suppress(ParseError):
        parse_json(text)
    assert time.process_time() - start < 2


def as_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_floats(item) for item in value]
    assert not (isinstance(value, float) and math.isnan(value))
    return float(value) if isinstance(value, Decimal) else value
