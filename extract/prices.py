"""What tokens cost: a table of prices in TOML, by name of model and by date, and the one way to a cost."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from extract.config import Model, prices_file
from extract.errors import ConfigError
from extract.nearest import did_you_mean
from extract.records import Usage

FILE = "prices.toml"  # beside a pipeline
MOST = 1e9  # US dollars per million tokens; more is a slip of the pen
MAX_FILE = 1024 * 1024  # bytes

_MOST_NAMED = 10  # models of a table, in a message

_HEADER = re.compile(r"^\s*\[\[\s*[\"']?price[\"']?\s*\]\]", re.MULTILINE)
_AT_LINE = re.compile(r"\(at (?:line (\d+), column \d+|end of document)\)")
_EXAMPLE = '[[price]], model = "name-or-pattern-*", input = 1.25, output = 10.0 (US dollars per million tokens)'
_ONE_TABLE = f"each price is a table: {_EXAMPLE}"
_WILD = re.compile(r"\[[^]]*\]|[*?]")
_OF_MODEL = {  # field of an entry → field of Model
    "input": "input_usd_per_million",
    "output": "output_usd_per_million",
    "cached_input": "cached_input_usd_per_million",
    "thinking": "thinking_usd_per_million",
}


class Price(BaseModel):
    """One entry of a table: what a million tokens cost, in US dollars, from a day on."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    model: str = Field(min_length=1)  # a name, or a pattern with *, ? and [...]
    valid_from: date | None = None  # None: always
    input: float = Field(ge=0, le=MOST)
    output: float = Field(ge=0, le=MOST)
    cached_input: float | None = Field(default=None, ge=0, le=MOST)  # of input read before; None: as other input
    thinking: float | None = Field(default=None, ge=0, le=MOST)  # of thoughts; None: as other output

    def is_in_force(self, day: date) -> bool:
        return self.valid_from is None or self.valid_from <= day


@dataclass(frozen=True)
class Prices:
    """A table of prices."""

    entries: Sequence[Price]
    path: Path | None = None

    def of(self, name: str, day: date) -> Price | None:
        """The price of a model on a day.

        Of the entries in force, its own name counts before patterns, the pattern with more letters before one with
        fewer, and of one name the latest.
        """
        fitting = [each for each in self.about(name) if each.is_in_force(day)]
        if not fitting:
            return None
        closest = max(fitting, key=lambda each: _closeness(each, name)).model
        return max((each for each in fitting if each.model == closest), key=lambda each: each.valid_from or date.min)

    def named(self, name: str) -> str:
        """All that the table says of a model, at whatever date: equal texts mean equal prices. "" for nothing."""
        found = self.about(name)
        return repr([each.model_dump(mode="json") for each in found]) if found else ""

    def about(self, name: str) -> list[Price]:
        """The entries that fit a model, in force or not."""
        return [each for each in self.entries if each.model == name or fnmatchcase(name, each.model)]


def priced(model: Model, name: str, prices: Prices | None, day: date) -> Model:
    """The model with its prices of that day. Prices of its own, where one is set, count alone."""
    if prices is None or has_own_price(model):
        return model
    found = prices.of(name, day)
    if found is None:
        return model
    return model.replaced({field: getattr(found, key) for key, field in _OF_MODEL.items()})


def unpriced(endpoint: str, models: Iterable[tuple[str, Model]], table: str | Path | None) -> str:
    """Why no cost can be told of calls to this endpoint, for people.

    `models`: with their names, as `priced` gave them; `table`: the pipeline's own, else it is that of EXTRACT_PRICES.
    Raises ConfigError.
    """
    if endpoint == "local":
        return "the model on this machine costs nothing"
    found, path = list(models), table or prices_file()
    name, model = next((each for each in found if each[1].cost_usd(0, 0) is None), found[0])
    if has_own_price(model):
        missing = "output" if model.input_usd_per_million is not None else "input"
        return f"cost unknown: model.{missing}_usd_per_million is not set, and other prices of {name!r} are"
    if path is not None:
        return f"cost unknown: {_not_in(read_prices(path), name)}"
    whose = f" for {name!r}" if any(other.cost_usd(0, 0) is not None for _, other in found) else ""
    return f"cost unknown: no prices are set{whose} (EXTRACT_PRICES, or model.input_usd_per_million and …output…)"


def _not_in(prices: Prices, name: str) -> str:
    """That a table says nothing of a model, or nothing yet; and what it says something of."""
    if days := [each.valid_from for each in prices.about(name) if each.valid_from]:
        return f"{prices.path} has no price for {name!r} before {min(days)}"
    known = list(dict.fromkeys(each.model for each in prices.entries))
    hint = did_you_mean(name, known) if known else "it has none at all"
    if hint.startswith("there are") and len(known) > _MOST_NAMED:
        hint = f"none of its {len(known):,} names is like it"
    return f"{prices.path} has no price for {name!r} ({hint})"


def has_own_price(model: Model) -> bool:
    return any(getattr(model, field) is not None for field in _OF_MODEL.values())


def with_price_of(model: Model, other: Model | None) -> Model:
    """The model at the other's own price; without one where it has none, or there is no other."""
    return model.replaced({field: getattr(other, field, None) for field in _OF_MODEL.values()})


def without_price(model: Model) -> Model:
    return with_price_of(model, None)


def cost_of(model: Model, usage: Usage) -> float | None:
    """What these tokens cost in US dollars, None when the model has no prices. All that names a cost asks here."""
    if model.input_usd_per_million is None:  # as most often
        return None
    return model.cost_usd(usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.thinking_tokens)


def read_prices(path: str | Path) -> Prices:
    """The table in a file. Raises ConfigError, which names the file, the line, the key, the value and what to do."""
    path = Path(path)
    text = _text(path)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, _line_of_syntax(str(error), text), f"this is no TOML: {error}", _EXAMPLE) from None
    for key in document:
        if key != "price":
            line = _line_of(text.splitlines(), key)
            raise _wrong(path, line, f"unknown key {key!r}", f"{did_you_mean(key, ['price'])}; {_ONE_TABLE}")
    entries = document.get("price", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        said = f"price = {entries!r:.80} is no list of tables"
        raise _wrong(path, _line_of(text.splitlines(), "price"), said, _EXAMPLE)
    places = _Places(path, text, len(entries))
    found = tuple(_entry(places, number, entry) for number, entry in enumerate(entries))
    _refuse_doubles(places, found)
    return Prices(found, path)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a null in it
        said = getattr(error, "strerror", None) or error
        hint = "EXTRACT_PRICES, or Pipeline(prices=…), names a file of prices"
        raise ConfigError(f"{path} cannot be read: {said}", hint=hint) from None
    if len(data) > MAX_FILE:
        raise ConfigError(f"{path} is larger than {MAX_FILE:,} bytes", hint="this is no table of prices")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        said = f"byte {data[error.start : error.start + 1]!r} is no UTF-8"
        raise _wrong(path, line, said, "save the file as UTF-8") from None


@dataclass(frozen=True)
class _Places:
    """Where the entries of a file stand, for messages: TOML's reader keeps no lines."""

    path: Path
    text: str
    count: int

    def line(self, number: int, key: str | None = None) -> int | None:
        """The line of an entry's key, or where the entry begins; None where it is written in another way."""
        begins = [match.start() for match in _HEADER.finditer(self.text)]
        if len(begins) != self.count:
            return None
        end = begins[number + 1] if number + 1 < self.count else len(self.text)
        first = self.text.count("\n", 0, begins[number]) + 1
        inside = _line_of(self.text[begins[number] : end].splitlines(), key) if key else None
        return first + (inside - 1 if inside else 0)


def _line_of(lines: Iterable[str], key: str) -> int | None:
    """The first line that sets this key, from 1."""
    sets = re.compile(rf"^\s*(?:\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    return next((number for number, line in enumerate(lines, 1) if sets.match(line)), None)


def _entry(places: _Places, number: int, entry: Mapping[str, Any]) -> Price:
    try:
        return Price(**entry)
    except ValidationError as error:  # a key that is misspelt is said before the one that is therefore missing
        found = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    key, kind = str(found["loc"][0]), found["type"]
    name = f" of {entry['model']!r}" if isinstance(entry.get("model"), str) and key != "model" else ""
    line = places.line(number, None if kind == "missing" else key)
    where = f"price {number + 1}{name}"
    if kind == "missing":
        raise _wrong(places.path, line, f"{where} has no {key!r}", f"add it: {_EXAMPLE}")
    if kind == "extra_forbidden":
        said = f"{where}: unknown key {key!r} = {found['input']!r:.80}"
        raise _wrong(places.path, line, said, did_you_mean(key, Price.model_fields))
    hint = "a day without quotes, such as 2026-01-31" if key == "valid_from" else _hint_of(key)
    raise _wrong(places.path, line, f"{where}: {key} = {_shown(found['input'])}: {found['msg']}", hint)


def _hint_of(key: str) -> str:
    if key == "model":
        return "the model's name in quotes, or a pattern such as 'gemini-*'"
    return f"US dollars per million tokens, a number from 0 to {MOST:.0e}"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool | float) else f"{value!r:.80}"


def _refuse_doubles(places: _Places, entries: Sequence[Price]) -> None:
    seen: dict[tuple[str, date | None], int] = {}
    for number, entry in enumerate(entries):
        first = seen.setdefault((entry.model, entry.valid_from), number)
        if first != number:
            of_day = f" from {entry.valid_from}" if entry.valid_from else ""
            said = f"price {number + 1}: model = {entry.model!r}{of_day} stands in price {first + 1} already"
            raise _wrong(
                places.path, places.line(number, "model"), said, "leave one out, or give it another valid_from"
            )


def _line_of_syntax(message: str, text: str) -> int | None:
    found = _AT_LINE.search(message)
    if not found:
        return None
    return int(found[1]) if found[1] else text.count("\n") + 1


def _wrong(path: Path, line: int | None, said: str, hint: str) -> ConfigError:
    place = f"{path}, line {line}" if line is not None else str(path)
    return ConfigError(f"{place}: {said}", hint=hint)


def _closeness(entry: Price, name: str) -> tuple[bool, int]:
    """How well an entry names a model: itself, then patterns by the letters that they spell out."""
    return entry.model == name, len(_WILD.sub("", entry.model))
