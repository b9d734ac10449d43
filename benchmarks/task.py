"""The job that all benchmarks do: the invoices of a Parquet file in, the same prompt and model, a typed table out."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from pydantic import BaseModel, Field


class Supplier(BaseModel):
    """Who sends the invoice."""

    name: str = Field(min_length=1, description="name of the company as printed")
    country: str = Field(pattern="^[A-Z]{2}$", description="ISO 3166 code of two letters")
    vat_id: str | None = Field(description="VAT identification number, null where none is printed")


class Line(BaseModel):
    """One position."""

    description: str = Field(description="what was sold")
    quantity: int = Field(ge=1, description="how many")
    unit_price: Decimal = Field(ge=0, max_digits=12, decimal_places=2, description="price of one, without tax")
    amount: Decimal = Field(ge=0, max_digits=12, decimal_places=2, description="price of all, without tax")


class Invoice(BaseModel):
    """An invoice with its lines."""

    invoice_number: str = Field(min_length=1, max_length=40, description="number of the invoice as printed")
    issued: dt.date = Field(description="date of issue")
    supplier: Supplier = Field(description="who sends the invoice")
    currency: Literal["EUR", "USD", "GBP"] = Field(description="currency of all amounts")
    lines: list[Line] = Field(description="the positions, in their order")
    net: Decimal = Field(ge=0, max_digits=12, decimal_places=2, description="sum of the lines, without tax")
    tax: Decimal = Field(ge=0, max_digits=12, decimal_places=2, description="the tax")
    total: Decimal = Field(ge=0, max_digits=12, decimal_places=2, description="amount to pay, with tax")
    paid: bool = Field(description="whether the invoice says that it is paid")


ANSWER = (
    '{"invoice_number": "INV-00000000", "issued": "2024-03-05", "supplier": {"name": "ACME Tools GmbH", "country": '
    '"DE", "vat_id": "DE123456789"}, "currency": "EUR", "lines": [{"description": "Cordless drill", "quantity": 2, '
    '"unit_price": 129.90, "amount": 259.80}, {"description": "Drill bits", "quantity": 1, "unit_price": 24.50, '
    '"amount": 24.50}], "net": 284.30, "tax": 54.02, "total": 338.32, "paid": false}'
)  # 00000000: the server puts a number of its own

SYSTEM = (
    "You read invoices. Extract the fields of the schema from the text and answer with JSON alone. "
    "Amounts are written with a point and without a sign of their currency; dates as YYYY-MM-DD."
)
MODEL = "benchmark"
MAX_TOKENS = 1024
KEY = "sk-benchmark-0000"
SHARD_ROWS = 5000
BODY_BYTES = 4000  # of a request, about

_TEXT = (
    "ACME Tools GmbH\nIndustriestrasse 12, 70565 Stuttgart, Germany\nVAT ID DE123456789\n\n"
    "Invoice {number}\nDate 5 March 2024\nCustomer {customer}\n\n"
    "Pos  Description       Qty   Unit price    Amount\n"
    "1    Cordless drill      2       129.90    259.80\n"
    "2    Drill bits          1        24.50     24.50\n\n"
    "Net amount EUR 284.30\nVAT 19 % EUR 54.02\nTotal EUR 338.32\n\n"
    "Payable within 14 days without deduction. Thank you for your order.\n"
)


@dataclass(frozen=True)
class Job:
    """One run of one client: where it asks, what it reads, where its table goes."""

    address: str  # http://host:port
    source: Path
    out: Path
    concurrency: int

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"


def write_source(path: Path, rows: int) -> None:
    """The records: an id and a text of some 400 bytes, no two alike. Parquet or CSV, as the name of the file says."""
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("text", pa.string())])
    with pacsv.CSVWriter(path, schema) if path.suffix == ".csv" else pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 10_000):
            ids = range(start, min(start + 10_000, rows))
            writer.write_table(pa.table({"id": list(ids), "text": [_text(number) for number in ids]}, schema=schema))


def _text(number: int) -> str:
    return _TEXT.format(number=f"2024-{number:07d}", customer=f"K{number * 7919 % 999_983:06d}")


def user_prompt(text: str) -> str:
    """What every client asks."""
    return f"Extract the invoice.\n\n{text}"
