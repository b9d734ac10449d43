"""The models that the shared data sets suggest: each gold row goes through wire form, JSON, table and Parquet unchanged."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema_rs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel
from support import SHARED

from extract import compile_schema
from extract.parse import parse_json
from extract.schema.profiles import PROFILES
from schema.test_random_models import json_text, same, standard

Row = Mapping[str, Any]

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not (SHARED / "data").exists(), reason="the shared data is not beside this checkout"),
]


def as_it_is(row: Row) -> Row:
    return row


def command(row: Row) -> Row:
    """Slots by name, as the model groups them."""
    found: dict[str, Any] = {"intent": row["intent"]}
    for slot in row["slots"]:
        found.setdefault(slot["slot"], []).append(slot["value"])
    return {"command": found}


def without_unit_codes(row: Row) -> Row:
    """`unit_code` is not printed on an invoice; the model does not ask for it."""
    lines = [{key: value for key, value in line.items() if key != "unit_code"} for line in row["lines"]]
    return {**row, "lines": lines}


def has(*columns: str) -> Callable[[Row], bool]:
    return lambda row: all(row[column] is not None for column in columns)


# data set, model, which gold rows are its own, and how a gold row reads as the model
CASES: list[tuple[str, str, Callable[[Row], bool], Callable[[Row], Row]]] = [
    ("banking77", "BankingQuestion", has(), as_it_is),
    ("citations", "Citation", has(), as_it_is),
    ("clinc150", "Request", has(), as_it_is),
    ("contracts_cuad", "Contract", has(), as_it_is),
    ("invoices_pdf", "Invoice", has(), without_unit_codes),
    ("media_files", "SpokenCode", has("digits"), as_it_is),
    ("media_files", "ImageInfo", has("main_subject", "caption"), as_it_is),
    ("media_files", "DocumentInfo", has("doc_type"), as_it_is),
    ("nlupp", "Utterance", has(), as_it_is),
    ("pdf_tables", "DocumentTables", has(), as_it_is),
    ("receipts_sroie", "Receipt", has(), as_it_is),
    ("restaurants_e2e", "Restaurant", has(), as_it_is),
    ("snips_commands", "Row", has(), command),
]
WITHOUT_MODEL = {"messy_tables"}

cases = pytest.mark.parametrize(
    ("data_set", "name", "belongs", "read"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES]
)
profiles = pytest.mark.parametrize("profile", PROFILES)


@cache
def suggested(data_set: str) -> ModuleType:
    """The Python block of a README, as a module of its own."""
    text = (SHARED / "data" / data_set / "README.md").read_text("utf-8")
    source = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    module = ModuleType(f"suggested_{data_set}")
    sys.modules[module.__name__] = module  # where Pydantic looks up the names of annotations
    exec(compile(source, f"{data_set}/README.md", "exec"), vars(module))
    return module


@cache
def gold(data_set: str) -> list[Row]:
    rows: list[Row] = pq.read_table(SHARED / "data" / data_set / "gold.parquet").to_pylist()
    return rows


def models_in(module: ModuleType) -> Iterator[str]:
    """Models that no other model of the module refers to."""
    own = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, BaseModel)]
    own = [value for value in own if value.__module__ == module.__name__]
    for value in own:
        fields = [str(field.annotation) for other in own for field in other.model_fields.values()]
        if not any(re.search(rf"\b{value.__name__}\b", text) for text in fields):
            yield value.__name__


def test_every_suggested_model_is_tried() -> None:
    """A data set or a model that is added needs a line in `CASES`."""
    readmes = sorted((SHARED / "data").glob("*/README.md"))
    found = {(path.parent.name, name) for path in readmes for name in models_in(suggested(path.parent.name))}
    assert {(data_set, name) for data_set, name, _, _ in CASES} == found
    assert WITHOUT_MODEL == {path.parent.name for path in readmes} - {data_set for data_set, _ in found}


@profiles
@cases
def test_every_gold_row_comes_back(
    data_set: str,
    name: str,
    belongs: Callable[[Row], bool],
    read: Callable[[Row], Row],
    profile: Any,
    tmp_path: Path,
) -> None:
    """Model → answer → JSON → model → row → Arrow → Parquet → model."""
    model = getattr(suggested(data_set), name)
    compiled = compile_schema(model, profile)
    on_wire = jsonschema_rs.Draft202012Validator(standard(compiled.wire_schema))
    mine = [read(row) for row in gold(data_set) if belongs(row)]
    instances = [model.model_validate(row) for row in mine]
    assert mine
    assert [] == [row for row, instance in zip(mine, instances, strict=True) if not holds(row, instance)]
    texts = [json_text(compiled.answer_form(instance)) for instance in instances]
    assert [] == [text for text in texts if not on_wire.is_valid(parse_json(text))]
    restored = [compiled.restore(parse_json(text)) for text in texts]
    assert differing(instances, restored) == []
    rows = [compiled.row_of(instance) for instance in restored]
    pq.write_table(pa.Table.from_pylist(rows, schema=compiled.arrow_schema), tmp_path / "table.parquet")
    table = pq.read_table(tmp_path / "table.parquet")
    assert compiled.arrow_schema.equals(table.schema)
    assert differing(instances, [compiled.instance_of(row) for row in table.to_pylist()]) == []


def differing(expected: list[Any], actual: list[Any]) -> list[tuple[Any, Any]]:
    pairs = zip(expected, actual, strict=True)
    return [(before, after) for before, after in pairs if not same(before, after)]


def holds(row: Row, instance: BaseModel) -> bool:
    """Whether an instance says what the gold row says, field by field."""
    said = instance.model_dump(mode="json")
    return all(agrees(row.get(name), value) for name, value in said.items())


def agrees(gold_value: Any, said: Any) -> bool:
    if isinstance(said, dict):
        return all(agrees(gold_value.get(name), value) for name, value in said.items())
    if isinstance(said, list):
        return len(said) == len(gold_value or []) and all(map(agrees, gold_value or [], said))
    if isinstance(gold_value, float):  # a Decimal in the model
        return float(said) == gold_value
    return bool(gold_value == said)
