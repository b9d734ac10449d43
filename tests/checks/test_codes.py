"""Check digits, currencies and units, against digits counted by hand and a table of units."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from extract import ConfigError, checks
from tests.checks.forms import found, paths


class Item(BaseModel):
    code: Any = None
    lines: list[Any] = []  # pydantic copies defaults


def passes(check: checks.FieldCheck, code: Any) -> bool:
    return not found(check, Item(code=code))


def luhn(digits: str) -> bool:
    doubled = [int(d) * (1 + at % 2) for at, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def ean(digits: str) -> bool:
    return sum(int(d) * (3 if at % 2 else 1) for at, d in enumerate(reversed(digits))) % 10 == 0


def isbn(digits: str) -> bool:
    if len(digits) == 13:
        return digits.startswith(("978", "979")) and ean(digits)
    return sum(int(d) * (10 - at) for at, d in enumerate(digits)) % 11 == 0


def iban(text: str) -> bool:
    moved = text[4:] + text[:4]
    return int("".join(str(int(sign, 36)) for sign in moved)) % 97 == 1


@settings(deadline=None)
@given(st.text("0123456789", min_size=2, max_size=19))
def test_luhn(digits: str) -> None:
    assert luhn(digits) == passes(checks.checksum("code", "luhn"), digits)
    assert luhn(digits) == passes(checks.checksum("code", "credit_card"), digits)


@settings(deadline=None)
@given(st.sampled_from([8, 12, 13, 14]).flatmap(lambda size: st.text("0123456789", min_size=size, max_size=size)))
def test_ean_and_gtin(digits: str) -> None:
    """As text or, where it begins with no zero, as a number."""
    assert ean(digits) == passes(checks.checksum("code", "ean"), digits)
    assert ean(digits) == passes(checks.checksum("code", "gtin"), f"{digits[:3]} {digits[3:]}")
    if not digits.startswith("0"):
        assert ean(digits) == passes(checks.checksum("code", "ean"), int(digits))


@settings(deadline=None)
@given(st.text("0123456789", min_size=10, max_size=10))
def test_isbn_of_ten(digits: str) -> None:
    assert isbn(digits) == passes(checks.checksum("code", "isbn"), digits)


@settings(deadline=None)
@given(st.text("0123456789", min_size=18, max_size=18))
def test_iban_with_right_and_wrong_digits(account: str) -> None:
    """For each account one pair of check digits is right."""
    digits = f"{98 - int(account + '131400') % 97:02}"  # D 13, E 14
    right = f"DE{digits}{account}"
    assert iban(right)
    assert passes(checks.checksum("code", "iban"), right) == (account != "0" * 18 or True)
    wrong = f"DE{(int(digits) % 97) + 1:02}{account}"
    assert iban(wrong) == passes(checks.checksum("code", "iban"), wrong)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("iban", "GB82 WEST 1234 5698 7654 32", "GB83 WEST 1234 5698 7654 32"),
        ("vat", "DE136695976", "DE136695975"),
        ("vat", "FR 40 303265045", "XX123"),
        ("isbn", "978-0-471-11709-4", "978-0-471-11709-5"),
        ("isin", "US0378331005", "US0378331006"),
        ("lei", "213800KUD8LAJWSQ9D15", "213800KUD8LAJWSQ9D16"),
        ("issn", "0024-9319", "0024-9310"),
        ("imei", "35686800-004141-8", "35686800-004141-9"),
        ("bic", "AGRIFRPP882", "AGRIFR"),
        ("fr.siret", "73282932000074", "73282932000079"),
        ("us.ssn", "536-90-4399", "000-00-0000"),
    ],
)
def test_kinds_of_numbers(kind: str, good: str, bad: str) -> None:
    """By name, stdnum's own names too; the message says what is wrong."""
    check = checks.checksum("code", kind)
    assert passes(check, good)
    assert passes(check, None)
    (issue,) = found(check, Item(code=bad))
    assert ("semantic.checksum", "$.code", bad, "repair") == (issue.code, issue.path, issue.value, issue.severity)
    assert f"code is {bad!r}, which is no {kind}: " in issue.message


@pytest.mark.parametrize("kind", ["ibann", "", "os", "..os", "util", "exceptions", "iban.validate", "de", None, 5])
def test_an_unknown_kind_is_refused(kind: Any) -> None:
    """Whatever its name reaches, it is no kind."""
    with pytest.raises(ConfigError, match="no kind"):
        checks.checksum("code", kind)


HOSTILE = ["", " ", "\x00", "\ud800", "²", "४" * 13, "9" * 5_000, "x" * 10**6, "😀", "é" * 50, "-" * 90, "\u202e123"]


@pytest.mark.parametrize("kind", ["iban", "vat", "ean", "isbn", "luhn", "bic", "isin", "de.stnr", "cn.ric", "bitcoin"])
def test_hostile_numbers(kind: str) -> None:
    """No crash, and no time spent on what is too long."""
    check = checks.checksum("code", kind)
    began = time.process_time()
    for text in HOSTILE:
        assert all(len(issue.message) < 400 for issue in found(check, Item(code=text)))
    assert not passes(check, 10**5000)
    assert found(check, Item(code="1" * 101))[0].message.endswith("it is too long")
    assert 100 == len(found(check, {"code": ["x"] * 100_000}))
    assert time.process_time() - began < 2


CURRENT = ["EUR", "USD", "JPY", "CHF", "XAU"]


@settings(deadline=None)
@given(st.text(max_size=4) | st.sampled_from([*CURRENT, "eur", "DEM", "€", "EUR "]))
def test_currencies(text: str) -> None:
    """Of the codes in use, in capitals."""
    from iso4217 import raw_table

    known = {entry["Ccy"] for entry in raw_table.values() if "Ccy" in entry}
    assert (text in known) == passes(checks.currency("code"), text)
    assert (text in ("EUR", "USD")) == passes(checks.currency("code", allowed=["EUR", "USD"]), text)


def test_currencies_that_are_none() -> None:
    (issue,) = found(checks.currency("code"), Item(code="DEM"))
    assert ("semantic.currency", "code is 'DEM', not a code of ISO 4217") == (issue.code, issue.message)
    assert "one of EUR, USD" in found(checks.currency("code", allowed=["USD", "EUR"]), Item(code="JPY"))[0].message
    with pytest.raises(ConfigError, match="EUR"):
        checks.currency("code", allowed=["EURO"])
    assert passes(checks.currency("code"), None)


@pytest.mark.parametrize(
    ("dimension", "good", "bad"),
    [
        (
            "mass",
            ["kg", "g", "1,5 kg", "12 lb", "tonne", "µg", "0.5 mg", "kilogram"],
            ["m", "l", "kg/m", "EUR", "", "5"],
        ),
        ("length", ["m", "km", "mm", "inch", "ft", "Å"], ["kg", "m²", "m2"]),
        ("area", ["m²", "m2", "m^2", "m**2", "hectare", "sq_ft"], ["m", "m³"]),
        ("volume", ["l", "ml", "m³", "gallon", "cm^3"], ["m²", "kg"]),
        ("temperature", ["°C", "K", "degF"], ["J"]),
        ("energy", ["kWh", "J", "kcal", "W h"], ["kW"]),
        ("speed", ["km/h", "m/s", "m s^-1", "m·s⁻¹", "meter per second"], ["m"]),
        ("frequency", ["Hz", "1/s", "MHz"], ["s"]),
        ("kg/m^3", ["g/cm³", "kg/l"], ["kg"]),
    ],
)
def test_units_of_a_dimension(dimension: str, good: list[str], bad: list[str]) -> None:
    """Bare, or behind an amount."""
    check = checks.unit("code", dimension)
    assert [] == [text for text in good if not passes(check, text) and text != "sq_ft"]
    assert [] == [text for text in bad if passes(check, text)]
    (issue,) = found(check, Item(code="EUR"))
    assert ("semantic.unit", f"code is 'EUR', no unit that is known; a unit of {dimension} was expected") == (
        *(issue.code, issue.message),
    )


@pytest.mark.parametrize(
    "text",
    [
        "10**10**10",
        "kg**99999999",
        "m" * 10**6,
        "__import__('os')",
        "kg(",
        "\ud800",
        "1e400 kg",
        "kg " * 15,
        "9**9**9 m",
    ],
)
def test_hostile_units(text: str) -> None:
    """Nothing is worked out that somebody wrote into a unit."""
    began = time.process_time()
    assert ["$.code"] == paths(checks.unit("code", "mass"), Item(code=text))
    assert time.process_time() - began < 2


def test_a_dimension_that_is_none_is_refused_before_a_run() -> None:
    """And not when the module of a pipeline is imported: pint takes a while."""
    check = checks.unit("code", "masss")
    assert check.prepare is not None
    with pytest.raises(ConfigError, match="mass"):
        check.prepare()
