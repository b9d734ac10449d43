"""The table that every client but ours makes by hand: checked answers in, Parquet shards in input order out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.task import SHARD_ROWS, Invoice

_AMOUNT = pa.decimal128(12, 2)
_LINE = pa.struct(
    [
        pa.field("description", pa.string(), nullable=False),
        pa.field("quantity", pa.int64(), nullable=False),
        pa.field("unit_price", _AMOUNT, nullable=False),
        pa.field("amount", _AMOUNT, nullable=False),
    ]
)
_SUPPLIER = pa.struct(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("country", pa.string(), nullable=False),
        pa.field("vat_id", pa.string()),
    ]
)
FIELDS = pa.schema(
    [
        pa.field("invoice_number", pa.string(), nullable=False),
        pa.field("issued", pa.date32(), nullable=False),
        pa.field("supplier", _SUPPLIER, nullable=False),
        pa.field("currency", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("lines", pa.list_(pa.field("item", _LINE, nullable=False)), nullable=False),
        *(pa.field(name, _AMOUNT, nullable=False) for name in ("net", "tax", "total")),
        pa.field("paid", pa.bool_(), nullable=False),
    ]
)  # a test holds it against the compiled schema
TABLE = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        *FIELDS,
        pa.field("_attempts", pa.int32()),
        pa.field("_model", pa.string()),
        pa.field("_input_tokens", pa.int64()),
        pa.field("_output_tokens", pa.int64()),
    ]
)


class Checked:
    """The schema's verdict, then the model, then a row."""

    def __init__(self) -> None:
        schema = Invoice.model_json_schema()
        for node in _nodes(schema):  # a Decimal on the wire is a number, as the answers have it
            if "anyOf" in node and any(each.get("type") == "number" for each in node["anyOf"]):
                node.pop("anyOf")
                node |= {"type": "number", "minimum": 0}
        self._verdict = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        self._model = Invoice.__pydantic_validator__

    def row(self, content: str, value: Any) -> dict[str, Any]:
        """The row of an answer: its text, and the same as JSON data. Raises ValueError."""
        if not self._verdict.is_valid(value):
            raise ValueError("the answer breaks the schema")
        return self.row_of(self._model.validate_json(content))

    def row_of(self, invoice: Invoice) -> dict[str, Any]:
        """The row of a checked answer."""
        row = dict(invoice.__dict__)
        row["supplier"] = invoice.supplier.__dict__
        row["lines"] = [line.__dict__ for line in invoice.lines]
        return row

    def judge(self, value: Any) -> None:
        """The schema's verdict alone. Raises ValueError."""
        if not self._verdict.is_valid(value):
            raise ValueError("the answer breaks the schema")


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in list(node.values()):
            yield from _nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from _nodes(child)


class Shards:
    """Rows by position, written as Parquet as soon as a shard is whole."""

    def __init__(self, out: Path) -> None:
        self._folder = out / "table"
        self._folder.mkdir(parents=True)
        self._shards: dict[int, list[Any]] = {}
        self._written = 0

    def put(self, position: int, row: dict[str, Any]) -> None:
        """Take the row of a record; rows may come in any order."""
        number, place = divmod(position, SHARD_ROWS)
        shard = self._shards.get(number)
        if shard is None:
            shard = self._shards[number] = []
        shard.append((place, row))
        if len(shard) == SHARD_ROWS:
            self._write(number)

    def close(self) -> None:
        """Write what is left."""
        for number in sorted(self._shards):
            self._write(number)

    def _write(self, number: int) -> None:
        rows = [row for _, row in sorted(self._shards.pop(number), key=lambda item: item[0])]
        table = pa.Table.from_pylist(rows, schema=TABLE)
        pq.write_table(table, self._folder / f"part-{number:05d}.parquet", compression="zstd")
        self._written += len(rows)


def records_of(source: Path) -> Iterator[tuple[int, int, str]]:
    """Position, id and text of each record, read batch by batch."""
    position = 0
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(batch_size=1000):
            for key, text in zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True):
                yield position, key, text
                position += 1
