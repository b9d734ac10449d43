"""CPU time of judging one answer of some 400 bytes, stage by stage, beside `jsonschema` alone.

    python -m benchmarks.validation [--repeats 7] [--number 2000]

Prints microseconds of CPU per record, the median of the repeats, all in one process: reading the JSON, the schema's
verdict, the Pydantic model, the cells of the row; then the whole judge, from the text of an answer to its outcome,
beside the least that reads, checks and validates the same text (whose decimals have gone through floats), and beside
the judge whose rows are made without short cuts; then what `jsonschema` takes for the schema alone.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from statistics import median
from typing import Any, Literal

import jsonschema_rs
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field
from pydantic_core import from_json

from extract.parse import parse_json
from extract.parts import Piece, outcome_of
from extract.records import Completion, Outcome, Record, Usage
from extract.schema import CompiledSchema, compile_schema
from extract.schema.cells import Tabulator
from extract.validate import Judge
from extract.verdict import Verdict

GOAL = 60.0  # µs for JSON, schema and model together


class Supplier(BaseModel):
    """Who sends the invoice."""

    name: str = Field(min_length=1)
    country: str = Field(pattern="^[A-Z]{2}$")
    vat_id: str | None


class Line(BaseModel):
    """One position."""

    description: str
    quantity: int = Field(ge=1)
    unit_price: Decimal = Field(ge=0, max_digits=12, decimal_places=2)
    amount: Decimal = Field(ge=0, max_digits=12, decimal_places=2)


class Invoice(BaseModel):
    """An invoice with its lines."""

    invoice_number: str = Field(min_length=1, max_length=40)
    issued: dt.date
    supplier: Supplier
    currency: Literal["EUR", "USD", "GBP"]
    lines: list[Line]
    net: Decimal = Field(ge=0, max_digits=12, decimal_places=2)
    tax: Decimal = Field(ge=0, max_digits=12, decimal_places=2)
    total: Decimal = Field(ge=0, max_digits=12, decimal_places=2)
    paid: bool


ANSWER = (
    '{"invoice_number": "INV-2024-00123", "issued": "2024-03-05", "supplier": {"name": "ACME Tools GmbH", "country": '
    '"DE", "vat_id": "DE123456789"}, "currency": "EUR", "lines": [{"description": "Cordless drill", "quantity": 2, '
    '"unit_price": 129.90, "amount": 259.80}, {"description": "Drill bits", "quantity": 1, "unit_price": 24.50, '
    '"amount": 24.50}], "net": 284.30, "tax": 54.02, "total": 338.32, "paid": false}'
)


def stages() -> Mapping[str, Callable[[], Any]]:
    """What is measured, by name."""
    compiled = compile_schema(Invoice)
    schema = dict(compiled.json_schema)
    verdict = Verdict(schema, formats=True)
    stock = Draft202012Validator(schema)
    value = parse_json(ANSWER)
    plain = json.loads(ANSWER)
    instance = Invoice.model_validate(value)
    record = Record(1, 0, {"text": ""})
    completion = Completion(ANSWER, "stop", "m", Usage(), b"")
    piece = Piece("", 1, completion)
    judge, slow = Judge(compiled, (), ["text"]), Judge(_without_hurry(), (), ["text"])
    assert not verdict.issues(value)
    assert stock.is_valid(plain)
    assert judge(record, completion).ok
    assert judge(record, completion).row == slow(record, completion).row
    return {
        "parse": lambda: parse_json(ANSWER),
        "verdict": lambda: verdict.issues(value),
        "model": lambda: Invoice.model_validate(value, strict=False),
        "cells": lambda: compiled.tabulator(instance),
        "judge": lambda: judge(record, completion),
        "outcome_of": lambda: outcome_of(record, (), (piece,), judge),
        "no short cuts": lambda: slow(record, completion),
        "bare": _least(schema, record),
        "jsonschema": lambda: stock.is_valid(plain),
    }


def _without_hurry() -> CompiledSchema:
    compiled = compile_schema(Invoice)
    compiled.__dict__["tabulator"] = Tabulator(compiled.shape, compiled.fits, hurry=False)  # in place of the cached one
    return compiled


def _least(schema: Mapping[str, Any], record: Record) -> Callable[[], Any]:
    """The least work that makes a row of an answer."""
    is_valid = jsonschema_rs.Draft202012Validator(dict(schema)).is_valid
    validate = Invoice.__pydantic_validator__.validate_json
    names = list(Invoice.model_fields)

    def judge() -> Outcome:
        assert is_valid(from_json(ANSWER))
        held = validate(ANSWER).__dict__
        return Outcome(record, row={name: held[name] for name in names})

    return judge


def measure(repeats: int, number: int) -> dict[str, float]:
    """Microseconds of CPU for each stage. The stages take turns, so that a busy machine slows all alike."""
    found: dict[str, list[float]] = {}
    todo = stages()
    for _ in range(repeats):
        for name, judge in todo.items():
            begun = time.process_time()
            for _ in range(number):
                judge()
            found.setdefault(name, []).append((time.process_time() - begun) / number * 1e6)
    return {name: median(times) for name, times in found.items()}


def main() -> None:
    """Measure and print."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--repeats", type=int, default=7)
    reader.add_argument("--number", type=int, default=2_000)
    options = reader.parse_args()
    times = measure(options.repeats, options.number)
    print(f"{len(ANSWER.encode())} bytes, µs of CPU per record, median of {options.repeats}")
    for name in ("parse", "verdict", "model", "cells"):
        print(f"{name:<24}{times[name]:8.1f}")
    judged = times["parse"] + times["verdict"] + times["model"]
    print(f"{'parse + verdict + model':<24}{judged:8.1f}  (goal {GOAL:.0f}: {'met' if judged <= GOAL else 'missed'})")
    print(f"{'with cells':<24}{judged + times['cells']:8.1f}")
    for name in ("judge", "outcome_of", "no short cuts", "bare"):
        print(f"{name:<24}{times[name]:8.1f}  ({times[name] / times['bare']:.1f}× bare)")
    print(
        f"{'jsonschema alone':<24}{times['jsonschema']:8.1f}  ({times['jsonschema'] / times['verdict']:.0f}× verdict)"
    )


if __name__ == "__main__":
    main()
