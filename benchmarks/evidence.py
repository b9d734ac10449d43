"""How well evidence tells true values from corrupted ones, on the gold of the data beside the checkout, and how fast.

    python -m benchmarks.evidence

Two shares for each kind of field: of the gold values, how many get a supporting span; of the same values corrupted by
each rule below, how many are still called supported. A gold value that its text does not print is counted all the same.
A value of a list's item is looked up with the items of its list, as a run does it, all of them gold but for the one
that is corrupted; harder rules for these, and what they do to the gold values beside them, have a table of their own.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from extract.evidence import Wanted, finder_of, located

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LINE = ("description", "quantity", "unit_price", "vat_rate", "line_total")
SCORED = ("unit_price", "line_total", "quantity")
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Row = Mapping[str, Any]
Corrupt = Callable[[Any, random.Random, Sequence[Any]], Any]


@dataclass(frozen=True)
class Case:
    """A gold value, the text that it should stand in, and the field it is of; of an item: its list, and its number."""

    text: str
    field: str
    value: Any
    items: Sequence[Row] = ()
    at: int = 0

    @property
    def name(self) -> str:
        """The last word of the field."""
        return self.field.rsplit(".", maxsplit=1)[-1]


@dataclass
class Shares:
    """Counts for one field: of gold values, and of corrupted ones by rule."""

    gold: int = 0
    supported: int = 0
    corrupted: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    @property
    def wrongly(self) -> float:
        """Share of corrupted values that are called supported."""
        made, passed = (sum(counts[which] for counts in self.corrupted.values()) for which in (0, 1))
        return passed / made if made else 0.0


def _letter_changed(value: str, rng: random.Random, _: Sequence[Any]) -> str | None:
    places = [n for n, c in enumerate(value) if c.isalpha()]
    if not places:
        return None
    at = rng.choice(places)
    other = rng.choice([c for c in LETTERS if c != value[at].lower()])
    return value[:at] + (other.upper() if value[at].isupper() else other) + value[at + 1 :]


def _letter_dropped(value: str, rng: random.Random, _: Sequence[Any]) -> str | None:
    places = [n for n in range(1, len(value) - 1) if value[n].isalnum()]
    return None if not places else value[: (at := rng.choice(places))] + value[at + 1 :]


def _letters_swapped(value: str, rng: random.Random, _: Sequence[Any]) -> str | None:
    places = [
        n for n in range(len(value) - 1) if value[n : n + 2].isalnum() and value[n].lower() != value[n + 1].lower()
    ]
    return None if not places else value[: (at := rng.choice(places))] + value[at + 1] + value[at] + value[at + 2 :]


def _digit_changed(value: str, rng: random.Random, _: Sequence[Any]) -> str | None:
    places = [n for n, c in enumerate(value) if c.isdigit()]
    if not places:
        return None
    at = rng.choice(places)
    return value[:at] + rng.choice([c for c in "0123456789" if c != value[at]]) + value[at + 1 :]


def _word_dropped(value: str, rng: random.Random, _: Sequence[Any]) -> str | None:
    words = value.split()
    return None if len(words) < 3 else " ".join(words[: (at := rng.randrange(1, len(words) - 1))] + words[at + 1 :])


def _words_swapped(value: str, rng: random.Random, _: Sequence[Any]) -> str | None:
    words = value.split()
    places = [n for n in range(len(words) - 1) if words[n] != words[n + 1]]
    if not places:
        return None
    at = rng.choice(places)
    words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def _word_added(value: str, rng: random.Random, others: Sequence[Any]) -> str | None:
    words = str(rng.choice(others)).split()
    return f"{value} {rng.choice(words)}" if words else None


def _of_another(value: Any, rng: random.Random, others: Sequence[Any]) -> Any:
    other = rng.choice(others)
    return None if other == value else other


def _shifted(by: Decimal) -> Corrupt:
    return lambda value, _, __: value + by


def _scaled(by: int) -> Corrupt:
    return lambda value, _, __: value.scaleb(by) if value else None


def _negated(value: Decimal, _: random.Random, __: Sequence[Any]) -> Decimal | None:
    return -value if value else None


def _figure_changed(value: Decimal, rng: random.Random, others: Sequence[Any]) -> Decimal:
    return Decimal(_digit_changed(str(value), rng, others) or 0)


def _figures_swapped(value: Decimal, rng: random.Random, _: Sequence[Any]) -> Decimal | None:
    text = str(value)
    places = [n for n in range(len(text) - 1) if text[n : n + 2].isdigit() and text[n] != text[n + 1]]
    return (
        None if not places else Decimal(text[: (at := rng.choice(places))] + text[at + 1] + text[at] + text[at + 2 :])
    )


def _days(by: int) -> Corrupt:
    return lambda value, _, __: value + dt.timedelta(days=by)


def _year(value: dt.date, rng: random.Random, _: Sequence[Any]) -> dt.date:
    return value.replace(year=value.year + rng.choice((-1, 1)), day=min(value.day, 28))


def _month(value: dt.date, _: random.Random, __: Sequence[Any]) -> dt.date:
    return value.replace(month=value.month % 12 + 1, day=min(value.day, 28))


def _day_for_month(value: dt.date, _: random.Random, __: Sequence[Any]) -> dt.date | None:
    return value.replace(day=value.month, month=value.day) if value.day <= 12 and value.day != value.month else None


RULES: Mapping[type, Mapping[str, Corrupt]] = {
    str: {
        "a letter changed": _letter_changed,
        "a letter dropped": _letter_dropped,
        "two letters swapped": _letters_swapped,
        "a digit changed": _digit_changed,
        "a word dropped inside": _word_dropped,
        "two words swapped": _words_swapped,
        "a word added": _word_added,
        "another record's": _of_another,
    },
    Decimal: {
        "one more": _shifted(Decimal(1)),
        "a cent less": _shifted(Decimal("-0.01")),
        "ten times": _scaled(1),
        "a tenth": _scaled(-1),
        "the sign": _negated,
        "a digit changed": _figure_changed,
        "two digits swapped": _figures_swapped,
        "another record's": _of_another,
    },
    dt.date: {
        "a day later": _days(1),
        "a day earlier": _days(-1),
        "another month": _month,
        "another year": _year,
        "day for month": _day_for_month,
        "another record's": _of_another,
    },
}


def measured(cases: Sequence[Case], seed: int = 1) -> dict[str, Shares]:
    """The shares of each field; every case is corrupted once by every rule of its type."""
    rng = random.Random(seed)
    found: dict[str, Shares] = defaultdict(Shares)
    others: dict[str, list[Any]] = defaultdict(list)
    for case in cases:
        others[case.field].append(case.value)
    for case in cases:
        shares = found[case.field]
        shares.gold += 1
        shares.supported += _is_supported(case, case.value)
        for name, rule in RULES[type(case.value)].items():
            wrong = rule(case.value, rng, others[case.field])
            if wrong is not None and wrong != case.value:
                counts = shares.corrupted[name]
                counts[0] += 1
                counts[1] += _is_supported(case, wrong)
    return dict(found)


def _is_supported(case: Case, value: Any) -> bool:
    finder, hints = finder_of(case.text), case.name.split("_")
    day_first = True if case.field.startswith("receipts") else None  # of Malaysia, as their README says
    if not case.items:
        support = finder.find(value, hints, day_first)
        return support is not None and support.is_support
    if not finder.places(value):  # what stands nowhere does not stand with its item
        return False
    return (case.at, case.name) in _supported(case.text, _replaced(case.items, {(case.at, case.name): value}))


def _replaced(items: Sequence[Row], values: Mapping[tuple[int, str], Any]) -> list[Row]:
    return [
        {name: values.get((number, name), value) for name, value in item.items()} for number, item in enumerate(items)
    ]


def _supported(text: str, items: Sequence[Row]) -> set[tuple[int, str]]:
    """The values of a list's items that are supported: number of the item and name."""
    wanted = [
        [Wanted(f"{number} {name}", name, value, name.split("_")) for name, value in item.items()]
        for number, item in enumerate(items)
    ]
    found = located(finder_of(text), wanted)
    places = ((path.split(" "), support) for path, support in found.items() if support and support.is_support)
    return {(int(number), name) for (number, name), _ in places}


@dataclass
class Mixed:
    """Values of items that were taken from elsewhere in the same record, by rule: how many, and still supported."""

    corrupted: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    beside: list[int] = field(default_factory=lambda: [0, 0])  # gold values in the same lists, and supported no more


def mixed(cases: Sequence[Case]) -> Mixed:
    """What harder rules do, which take a value that does stand in the text, in another place of the same list."""
    found = Mixed()
    for case in cases:
        gold = _supported(case.text, case.items) if case.items else set()
        for rule, wrong in _elsewhere(case):
            still = _supported(case.text, _replaced(case.items, wrong))
            counts = found.corrupted[rule]
            counts[0] += 1
            counts[1] += still.issuperset(wrong)
            found.beside[0] += len(gold - wrong.keys())
            found.beside[1] += len(gold - wrong.keys() - still)
    return found


def _elsewhere(case: Case) -> Iterator[tuple[str, Mapping[tuple[int, str], Any]]]:
    here = (case.at, case.name)
    for number, item in enumerate(case.items):
        other = item.get(case.name, case.value)
        if other != case.value:
            yield "another line's", {here: other}
            if number > case.at:
                yield "swapped with another line's", {here: other, (number, case.name): case.value}
    for name, other in case.items[case.at].items() if case.items else ():
        if isinstance(other, Decimal) and other != case.value:
            yield f"the same line's {name}", {here: other}


def receipts(folder: Path = DATA) -> Iterator[Case]:
    """Company, address, date and total of receipts, on OCR text."""
    for text, gold in _joined(folder / "receipts_sroie"):
        yield Case(text, "receipts.company", str(gold["company"]))
        if isinstance(gold["address"], str):
            yield Case(text, "receipts.address", gold["address"])
        yield Case(text, "receipts.date", dt.date.fromisoformat(str(gold["date"])[:10]))
        yield Case(text, "receipts.total", Decimal(str(gold["total"])))


def restaurants(folder: Path = DATA) -> Iterator[Case]:
    """Names in sentences."""
    for text, gold in _joined(folder / "restaurants_e2e"):
        for name in ("name", "near"):
            if isinstance(gold[name], str):
                yield Case(text, f"restaurants.{name}", gold[name])


def invoices(folder: Path = DATA) -> Iterator[Case]:
    """Numbers, names and lines of invoices, on the text of PDFs with its layout."""
    for text, gold in _joined(folder / "invoices_pdf"):
        yield Case(text, "invoices.number", str(gold["invoice_number"]))
        yield Case(text, "invoices.date", dt.date.fromisoformat(str(gold["issue_date"])[:10]))
        for name in ("net_total", "grand_total"):
            if gold[name] is not None:
                yield Case(text, f"invoices.{name}", Decimal(str(gold[name])))
        for party in (gold["seller"], gold["buyer"]):
            for name in ("name", "street", "postcode", "city"):
                if party.get(name):
                    yield Case(text, f"invoices.{name}", str(party[name]))
        items = [_row(line) for line in gold["lines"]] if gold["lines_scored"] else []
        for number, item in enumerate(items):
            for name in SCORED:
                if name in item:
                    yield Case(text, f"invoices.lines.{name}", item[name], items, number)


def _row(line: Mapping[str, Any]) -> Row:
    found = ((name, line[name]) for name in LINE if line[name] is not None)
    return {name: value if isinstance(value, str) else Decimal(str(value)) for name, value in found}


def _joined(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    records = pd.read_csv(folder / "records.csv")
    texts = dict(zip(records["id"], records["text"], strict=True))
    for gold in pq.read_table(folder / "gold.parquet").to_pylist():
        yield texts[gold["id"]], gold


def speed(cases: Sequence[Case]) -> tuple[float, float]:
    """Values a second, each text read once for its values; and the mean length of the texts."""
    finder_of.cache_clear()
    count, begun = 0, time.process_time()
    for case in cases:
        if not case.items:
            finder_of(case.text).find(case.value, case.name.split("_"))
            count += 1
        elif case.at == 0 and case.name == SCORED[0]:  # once for the whole list
            _supported(case.text, case.items)
            count += sum(map(len, case.items))
    return count / (time.process_time() - begun), sum(len(case.text) for case in cases) / len(cases)


def main() -> None:
    sets = {"receipts": list(receipts()), "restaurants": list(restaurants()), "invoices": list(invoices())}
    print("| field | gold values | supported | corrupted values | still called supported |")
    print("|---|--:|--:|--:|--:|")
    rules: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for cases in sets.values():
        for name, shares in measured(cases).items():
            made = sum(counts[0] for counts in shares.corrupted.values())
            print(f"| {name} | {shares.gold} | {shares.supported / shares.gold:.1%} | {made} | {shares.wrongly:.1%} |")
            for rule, counts in shares.corrupted.items():
                rules[rule] = [a + b for a, b in zip(rules[rule], counts, strict=True)]
    made, passed = (sum(counts[which] for counts in rules.values()) for which in (0, 1))
    print(f"| all | | | {made} | {passed / made:.1%} |")
    print("\n| rule | corrupted values | still called supported |\n|---|--:|--:|")
    for rule, (made, passed) in sorted(rules.items(), key=lambda item: -item[1][1] / item[1][0]):
        print(f"| {rule} | {made} | {passed / made:.1%} |")
    hard = mixed(sets["invoices"])
    print("\n| value of a line | corrupted | still called supported |\n|---|--:|--:|")
    for rule, (made, passed) in hard.corrupted.items():
        print(f"| {rule} | {made} | {passed / made:.1%} |")
    print(f"\nof {hard.beside[0]} gold values beside them, {hard.beside[1]} are supported no more")
    for name, cases in sets.items():
        rate, size = speed(cases)
        print(f"\n{name}: {rate:,.0f} values a second of CPU, texts of {size:,.0f} characters")


if __name__ == "__main__":
    main()
