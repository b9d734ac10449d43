"""Runs with known mistakes: a scripted server answers with the truth, changed by rules."""

from __future__ import annotations

import copy
import datetime as dt
import random
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel

import extract
from extract import Endpoint, Limits, Pipeline, Retry
from extract.testing import Call, ScriptedServer

Kind = Literal["invoice", "credit", "other"]


class Party(BaseModel):
    name: str
    city: str | None = None


class Line(BaseModel):
    article: str
    price: Decimal


class Paper(BaseModel):
    """An invoice, or something like it."""

    kind: Kind
    seller: Party | None
    day: dt.date | None
    total: Decimal
    lines: list[Line]
    tags: list[str]
    total_confidence: float


def truth(number: int) -> dict[str, Any]:
    """The gold record `k<number>`."""
    return {
        "id": f"k{number}",
        "kind": ("invoice", "credit", "other")[number % 3],
        "seller": {"name": f"ACME {number}", "city": (None, "Bonn", "Köln")[number % 3]},
        "day": dt.date(2024, 1, 1) + dt.timedelta(number) if number % 7 else None,
        "total": Decimal(number * 10) / 4,
        "lines": [{"article": f"a{at}", "price": Decimal(at) + Decimal("0.5")} for at in range(number % 4)],
        "tags": ["x", "y"][: number % 3],
    }


def gold(count: int) -> pa.Table:
    """The gold of the first records."""
    return pa.Table.from_pylist([truth(number) for number in range(count)])


def answer(number: int, seed: int) -> Any:
    """What the model of this seed says: some of it wrong, some of it no JSON."""
    chance = random.Random(number * 100 + seed)
    said = copy.deepcopy(truth(number))
    del said["id"]
    said["day"] = said["day"].isoformat() if said["day"] and chance.random() > 0.2 else None
    said["total_confidence"] = chance.random()
    said["total"] = float(said["total"]) + (chance.random() > said["total_confidence"])
    said["kind"] = chance.choice(["invoice", "credit", "other"]) if chance.random() < 0.3 else said["kind"]
    said["seller"]["city"] = chance.choice([None, "Bonn"]) if chance.random() < 0.3 else said["seller"]["city"]
    said["lines"] = [{**line, "price": float(line["price"])} for line in said["lines"]]
    chance.shuffle(said["lines"])
    if chance.random() < 0.3:
        said["lines"] = [*said["lines"][1:], {"article": "zz", "price": 1}]
    return "no JSON" if chance.random() < 0.1 else said


def make_run(folder: Path, name: str, count: int, seed: int = 1, **settings: Any) -> Path:
    """A finished run over `count` records."""
    source = folder / "papers.csv"
    lines = [f"k{number},paper {number},mail" for number in range(count)]
    source.write_text("\n".join(["id,text,channel", *lines]) + "\n")

    def script(call: Call) -> Any:
        return answer(int(call.prompt.split()[-1]), seed)

    with ScriptedServer(script) as server:
        pipeline = Pipeline(
            name="papers",
            schema=Paper,
            key="id",
            prompt="{{ text }}",
            columns=["channel"],
            limits=Limits(concurrency=8),
            retry=Retry(max_attempts=1),
            **settings,
        )
        extract.run(
            pipeline, source, out=folder / name, endpoint=Endpoint(base_url=server.base_url), on_progress=_unheard
        )
    return folder / name


def _unheard(tally: Any) -> None:
    pass
