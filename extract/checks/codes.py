"""Codes that carry a check digit, and codes of closed lists: numbers of `python-stdnum`, currencies, units.

Currencies come from `iso4217` (12 kB, the published list; babel and pycountry are 8 to 10 MB). Units come from `pint`
(0.3 MB, which knows prefixes and dimensions), in the extra `checks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import cache, lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

from extract.checks.base import TEXTS, FieldCheck, issue_of, shown
from extract.checks.paths import reader
from extract.errors import ConfigError
from extract.nearest import did_you_mean
from extract.records import Issue, Record, Severity

LONGEST_NUMBER = 100  # characters of a number with a check digit
LONGEST_UNIT = 60  # characters of a quantity
KINDS = {"vat": "eu.vat", "gtin": "ean", "credit_card": "luhn"}  # names beside those of stdnum's modules

_MODULE = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?")
_AMOUNT = re.compile(r"[-+\u2212]?\d[\d.,' \u00a0\u202f]{0,30}\s?")
_WORD = r"(?:[A-Za-z\u00b5\u03bc\u03a9\u2126\u00b0\u00c5]{1,30}|%)"
_POWER = r"(?:(?:\^|\*\*)?[-\u2212]?[1-9]|\u207b?[\u00b9\u00b2\u00b3\u2074-\u2079])?"
_UNIT = re.compile(rf"(?:1 ?/ ?)?{_WORD}{_POWER}(?:(?: ?[*/\u00b7\u22c5\u00d7] ?| per | ){_WORD}{_POWER}){{0,5}}")
_DIGITS = re.compile(r"(?<=[A-Za-z\u00b5\u03bc\u03a9\u2126\u00b0\u00c5])(?:\^|\*\*)?([-\u2212]?[1-9])(?![0-9])")
_SMALL = str.maketrans("\u207b\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "-123456789")


def checksum(field: str, kind: str, *, severity: Severity = "repair") -> FieldCheck:
    """The field is a number of this kind with a right check digit (code `semantic.checksum`).

    kind: "iban", "vat" (of the European Union), "ean" or "gtin", "isbn", "luhn" or "credit_card", "bic", "isin", "lei",
    "issn", "imei", or any other module of python-stdnum ("de.stnr", "fr.siret", "us.ssn"). Spaces and dashes in the
    number do not matter; nothing is asked of any server. Null passes.
    """
    code = "semantic.checksum"
    validate = _validator(kind)
    read, issue = reader(field), issue_of(code, severity)

    def judge(value: Any, _: Record) -> Iterator[Issue]:
        for path, found in read(value):
            fault = _fault(validate, found)
            if fault is not None:
                yield issue(path, f"{field} is {shown(found)}, which is no {kind}: {fault}", found)

    return FieldCheck(code, (field,), (), judge, (kind,), severity, (TEXTS | {"int"},))


def _validator(kind: Any) -> Callable[[str], object]:
    """stdnum's function. Raises ConfigError for a kind that it has not."""
    name = KINDS.get(kind, kind) if isinstance(kind, str) else ""
    found = None
    if _MODULE.fullmatch(name):
        try:
            found = getattr(import_module(f"stdnum.{name}"), "validate", None)
        except ModuleNotFoundError:
            found = None
    if not callable(found):
        known = ["iban", "vat", "ean", "gtin", "isbn", "luhn", "credit_card", "bic", "isin", "lei", "issn", "imei"]
        raise ConfigError(f"semantic.checksum: there is no kind {kind!r}", hint=did_you_mean(str(kind), known))
    validate: Callable[[str], object] = found
    return validate


def _fault(validate: Callable[[str], object], value: Any) -> str | None:
    """What is wrong with a number, None for nothing."""
    if isinstance(value, int) and value.bit_length() > 4 * LONGEST_NUMBER:
        return "it is too long"
    text = str(value)
    if len(text) > LONGEST_NUMBER:
        return "it is too long"
    try:
        validate(text)
    except (ValueError, LookupError, TypeError, ArithmeticError) as error:  # odd letters reach int() in some modules
        return str(error) if type(error).__module__.startswith("stdnum") else "it has letters that no such number has"
    return None


def currency(field: str, *, allowed: Collection[str] = (), severity: Severity = "repair") -> FieldCheck:
    """The field is the code of a currency in use by ISO 4217, such as EUR (code `semantic.currency`).

    allowed: only these of them. Capitals count; null passes.
    """
    code = "semantic.currency"
    known = _currencies()
    wanted = frozenset((allowed,) if isinstance(allowed, str) else allowed)
    for name in sorted(wanted - known):
        raise ConfigError(f"{code}: {name!r} is no currency of ISO 4217", hint=did_you_mean(str(name), sorted(known)))
    chosen = wanted or known
    said = f"one of {', '.join(sorted(wanted))[:200]}" if wanted else "a code of ISO 4217"
    read, issue = reader(field), issue_of(code, severity)

    def judge(value: Any, _: Record) -> Iterator[Issue]:
        for path, found in read(value):
            if found not in chosen:
                yield issue(path, f"{field} is {shown(found)}, not {said}", found)

    return FieldCheck(code, (field,), (), judge, (sorted(wanted),), severity, (frozenset({"str"}),))


@cache
def _currencies() -> frozenset[str]:
    from iso4217 import Currency

    return frozenset(item.code for item in Currency)


def unit(field: str, dimension: str, *, severity: Severity = "repair") -> FieldCheck:
    """The field's unit is one of a dimension: "kg", or "1,5 kg", of "mass" (code `semantic.unit`).

    dimension: length, mass, time, temperature, area, volume, speed, force, energy, power, pressure, frequency, current,
    or another that pint has, or a unit that has it ("kg/m^3"). A unit is written as pint reads it: symbols or English
    names, prefixes, powers (m2, m², m^2), products and quotients. Null passes.
    """
    code = "semantic.unit"
    read, issue = reader(field), issue_of(code, severity)

    def judge(value: Any, _: Record) -> Iterator[Issue]:
        wanted = _dimension(code, dimension)
        for path, found in read(value):
            has = _dimension_of(found) if len(found) <= LONGEST_UNIT else None
            if has != wanted:
                said = "no unit that is known" if has is None else f"a unit of {has}"
                yield issue(path, f"{field} is {shown(found)}, {said}; a unit of {dimension} was expected", found)

    def prepare() -> None:
        _dimension(code, dimension)

    return FieldCheck(code, (field,), (), judge, (dimension,), severity, (frozenset({"str"}),), prepare)


@lru_cache(maxsize=100)
def _dimension(code: str, name: str) -> str:
    """A dimension by its name or by a unit that has it. Raises ConfigError."""
    registry = _registry()
    known = {str(each).strip("[]") for each in registry._dimensions}
    if name in known:
        return str(registry.get_dimensionality(f"[{name}]"))
    found = _dimension_of(name) if len(name) <= LONGEST_UNIT else None
    if found is None:
        raise ConfigError(f"{code}: there is no dimension {name!r}", hint=did_you_mean(str(name), sorted(known)))
    return found


@cache
def _registry() -> Any:
    return extra("pint", "checks.unit").UnitRegistry(cache_folder=None)


@lru_cache(maxsize=1_000)
def _dimension_of(text: str) -> str | None:
    """The dimension of a unit or quantity, None for what is none.

    Only a few words with small powers reach pint, which would work out 10**10**10.
    """
    bare = text.strip()
    if not _UNIT.fullmatch(bare):
        bare = bare[amount.end() :] if (amount := _AMOUNT.match(bare)) else bare
    if not _UNIT.fullmatch(bare):
        return None
    plain = _DIGITS.sub(lambda match: f"**{match[1]}".replace("\u2212", "-"), bare.translate(_SMALL))
    for sign in "\u00b7\u22c5\u00d7":
        plain = plain.replace(sign, "*")
    pint = import_module("pint")
    try:
        return str(_registry().parse_units(plain.replace("%", "percent")).dimensionality)
    except (pint.errors.PintError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, SyntaxError):
        return None


def extra(name: str, check: str) -> ModuleType:
    """A library of the extra `checks`. Raises ConfigError where it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{check} needs {error.name}", hint="pip install 'tablecast[checks]'") from error
