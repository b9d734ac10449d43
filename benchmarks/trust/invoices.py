"""Our pipeline for invoices, and its second opinions: written without a look at any gold, since all are measured."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from benchmarks.trust.opinions import opposed
from extract import Issue, Record, Verbatim
from extract.verbatim import labels_of

_NUMBER = re.compile(r"\b(?=[\w/-]*\d)[A-Z]{0,4}[-/]?\d[\w/-]{2,20}\b")
_DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}-\d\d-\d\d")
_CITY = r"\b(?:[A-Z]{1,2}[ -])?\d{4,5} +([A-ZÄÖÜ][^\d\n,;|]{2,30}?)(?= {2}|[,;|\n]|$)"
_CENT = Decimal("0.015")


def cells(record: Record) -> list[str]:
    """What stands between gaps of the layout, where it has letters."""
    found = (cell.strip(" .:;|") for line in str(record["text"]).splitlines() for cell in line.split("   "))
    return [cell for cell in found if 3 <= len(cell) <= 60 and sum(c.isalpha() for c in cell) > 2]


def numbers(record: Record) -> list[str]:
    """What could be the number of a document: no date, no amount."""
    return [found for found in _NUMBER.findall(str(record["text"])) if not _DATE.fullmatch(found)]


Name = Annotated[str, Verbatim(cells, limit=60, first=60)]
Money = Annotated[Decimal, Verbatim("money", labelled=True)]
Amount = Annotated[Decimal, Verbatim("money")]
Figure = Annotated[Decimal, Verbatim("number")]


class Party(BaseModel):
    """Who sells or buys."""

    name: Name | None
    street: Annotated[str, Verbatim(r"([A-ZÄÖÜ][^\d\n]{3,30} \d{1,4} ?[a-zA-Z]?)(?= {2}|[,;|\n]|$)")] | None
    postcode: Annotated[str, Verbatim(r"(?<![\d.,])(\d{5})(?= +[A-ZÄÖÜ])")] | None
    city: Annotated[str, Verbatim(_CITY)] | None
    country: Literal["DE", "FR", "AT", "CH", "BE", "NL"] | None
    vat_id: Annotated[str, Verbatim(r"\b([A-Z]{2}\d{9,11})\b")] | None


class Line(BaseModel):
    """One line of an invoice."""

    description: Name | None
    quantity: Figure | None
    unit_price: Amount | None
    vat_rate: Figure | None
    line_total: Amount | None


class Tax(BaseModel):
    """The tax at one rate."""

    rate: Figure | None
    taxable_amount: Amount | None
    tax_amount: Amount | None


class Invoice(BaseModel):
    """An invoice, its values chosen among what it prints."""

    invoice_number: Annotated[str, Verbatim(numbers)]
    issue_date: Annotated[dt.date, Verbatim("date", day_first=True, labelled=True)]
    currency: Literal["EUR", "CHF", "USD", "GBP"]
    net_total: Money | None
    tax_total: Money | None
    grand_total: Money
    amount_due: Money | None
    seller: Party
    buyer: Party
    taxes: list[Tax] = Field(max_length=4)
    lines: list[Line] = Field(max_length=12)


@dataclass(frozen=True)
class Reckoned:
    """Totals, taxes and lines have to fit each other; those that do not, and those that are lacking, are doubtful."""

    def __call__(self, value: Any, record: Record) -> Iterator[Issue]:
        net, tax, grand = value.net_total, value.tax_total, value.grand_total
        if net is None or tax is None or abs(net + tax - grand) > _CENT or net < tax:
            for field in ("net_total", "tax_total", "grand_total"):
                yield opposed(field, str(getattr(value, field)), "net and tax do not make the total")
        if value.amount_due is None or value.amount_due > grand:
            yield opposed("amount_due", str(value.amount_due), "more than the total, or nothing")
        if not _adds_up([tax.tax_amount for tax in value.taxes], tax) or not all(map(_is_taxed, value.taxes)):
            yield opposed("taxes", len(value.taxes), "they do not add up")
        if not _adds_up([line.line_total for line in value.lines], net) or not all(map(_is_priced, value.lines)):
            yield opposed("lines", len(value.lines), "they do not add up")


def _adds_up(items: Sequence[Decimal | None], total: Decimal | None) -> bool:
    return bool(items) and total is not None and abs(sum(item or Decimal(0) for item in items) - total) <= _CENT


def _is_taxed(tax: Any) -> bool:
    known = None not in (tax.rate, tax.taxable_amount, tax.tax_amount)
    return known and abs(tax.taxable_amount * tax.rate / 100 - tax.tax_amount) <= _CENT


def _is_priced(line: Any) -> bool:
    known = None not in (line.quantity, line.unit_price, line.line_total, line.description, line.vat_rate)
    return known and abs(line.quantity * line.unit_price - line.line_total) <= _CENT


_NUMBERED = r"(rechnung|invoice|facture|beleg|re)[\w-]*[\s.-]*(nr|no|num|n°|#|:)"
_DATED = r"(rechnungs?-?|invoice |beleg-?|ausstellungs)?(datum|date)|\bvom\b|issued|\ble\b"
_OTHER_DATE = re.compile(r"liefer|leist|bestell|deliv", re.IGNORECASE)
_BUYER = r"käufer|kunde|empfänger|bill to|client|acheteur|destinataire|buyer|customer|herr|frau|firma"
_SIGNS = {"EUR": r"€|\bEUR", "CHF": r"\bCHF|\bFr\.", "USD": r"\$|\bUSD", "GBP": r"£|\bGBP"}
_SELLER = r"verkäufer|lieferant|seller|vendeur|fournisseur|absender|supplier"


@dataclass(frozen=True)
class Labelled:
    """Number and date stand behind the words for them, so do parties; the currency has its sign."""

    def __call__(self, value: Any, record: Record) -> Iterator[Issue]:
        text = str(record["text"])
        if not re.search(rf"{_NUMBERED}[^\n]{{0,30}}{re.escape(value.invoice_number)}", text, re.IGNORECASE):
            yield opposed("invoice_number", value.invoice_number, "no word for it stands before")
        labels = [
            label
            for label in labels_of(text, value.issue_date)
            if not re.search(r"liefer|leist|bestell|deliv", label, re.I)
        ]
        if not any(re.search(_DATED, label, re.IGNORECASE) for label in labels):
            yield opposed("issue_date", str(value.issue_date), "no word for it stands before")
        if not re.search(_SIGNS[value.currency], text):
            yield opposed("currency", value.currency, "the text has no sign of it")
        for field, words in (("seller", _SELLER), ("buyer", _BUYER)):
            yield from _of_party(field, getattr(value, field), words, text)
        if value.seller.name == value.buyer.name:
            yield opposed("seller", value.seller.name, "the buyer is the same")
            yield opposed("buyer", value.buyer.name, "the seller is the same")


def _of_party(field: str, party: Any, words: str, text: str) -> Iterator[Issue]:
    at = text.find(party.name) if party.name else -1
    around = text[max(0, at - 200) : at]
    if at < 0 or not re.search(words, around, re.IGNORECASE):
        yield opposed(f"{field}", party.name, "no word for it stands before")
        return
    block = text[at : at + 400]
    for name in ("street", "postcode", "city", "vat_id"):
        said = getattr(party, name)
        if said is None or said not in block:
            yield opposed(f"{field}.{name}", said, "not beside the name")
    if party.country is None:
        yield opposed(f"{field}.country", None, "every party has one")
