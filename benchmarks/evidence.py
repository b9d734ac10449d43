"""How well evidence tells true values from corrupted ones, on the gold of the data beside the checkout, and how fast.

    python -m benchmarks.evidence

Two shares for each kind of field: of the gold values, how many get a supporting span; of the same values corrupted by
each rule below, how many are still called supported. A gold value that its text does not print is counted all the same.
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

from extract.evidence import Finder, finder_of

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Corrupt = Callable[[Any, random.Random, Sequence[Any]], Any]


@dataclass(frozen=True)
class Case:
    """A gold value, the text that it should stand in, and the field it is of."""

    text: str
    field: str
    value: Any


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
        shares, finder = found[case.field], finder_of(case.text)
        shares.gold += 1
        shares.supported += _is_supported(finder, case.field, case.value)
        for name, rule in RULES[type(case.value)].items():
            wrong = rule(case.value, rng, others[case.field])
            if wrong is not None and wrong != case.value:
                counts = shares.corrupted[name]
                counts[0] += 1
                counts[1] += _is_supported(finder, case.field, wrong)
    return dict(found)


def _is_supported(finder: Finder, name: str, value: Any) -> bool:
    day_first = True if name.startswith("receipts") else None  # of Malaysia, as their README says
    support = finder.find(value, name.rsplit(".", maxsplit=1)[-1].split("_"), day_first)
    return support is not None and support.is_support


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
        for line in gold["lines"] if gold["lines_scored"] else ():
            for name in ("unit_price", "line_total", "quantity"):
                if line.get(name) is not None:
                    yield Case(text, f"invoices.lines.{name}", Decimal(str(line[name])))


def _joined(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    records = pd.read_csv(folder / "records.csv")
    texts = dict(zip(records["id"], records["text"], strict=True))
    for gold in pq.read_table(folder / "gold.parquet").to_pylist():
        yield texts[gold["id"]], gold


def speed(cases: Sequence[Case]) -> tuple[float, float]:
    """Values a second, each text read once for its values; and the mean length of the texts."""
    finder_of.cache_clear()
    begun = time.process_time()
    for case in cases:
        finder_of(case.text).find(case.value)
    return len(cases) / (time.process_time() - begun), sum(len(case.text) for case in cases) / len(cases)


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
    for name, cases in sets.items():
        rate, size = speed(cases)
        print(f"\n{name}: {rate:,.0f} values a second of CPU, texts of {size:,.0f} characters")


if __name__ == "__main__":
    main()
