"""An Arrow table ↔ a CSV file, cell by cell exact: an empty cell is null, `""` is empty text."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

ROWS_AT_ONCE = 1000  # so that long texts stay below what one array holds
ANY_DIGITS = 38  # precision of a decimal whose digits nobody stated: zeros at its end say nothing

# What a spreadsheet may run. A sign before mere digits, as in "-5.00" or "+33 1 22", is none.
_FORMULA = re.compile(r"['\s\u200b\ufeff]*(?:[=@＝＠\t\r]|[+\-＋－].*(?:[^\W\d_]|[(|!]))", re.DOTALL)
_TICKS = {"s": 0, "ms": 3, "us": 6, "ns": 9}  # decimals of a second
_TEXT = pa.large_string()


def write_csv(path: Path, table: pa.Table, neutralise: bool) -> None:
    """One line of names, then a line a row. Raises ArrowInvalid for what has no text, such as the year 10000."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(csv_head(table.schema))
        file.writelines(csv_rows(table, neutralise))


def csv_head(schema: pa.Schema) -> str:
    """The line of names."""
    return ",".join(map(_quoted, schema.names)) + "\n"


def csv_rows(table: pa.Table, neutralise: bool) -> Iterator[str]:
    """The lines of the rows, many at a time. Raises ArrowInvalid as above."""
    for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        cells = [_cells(column, neutralise) for column in batch.columns]
        comma = pa.scalar(",", _TEXT)
        lines = pc.binary_join_element_wise(*cells, comma, null_handling="replace", null_replacement="")
        yield "".join(f"{line}\n" for line in lines.to_pylist())


def read_csv(path: Path, schema: pa.Schema | None, neutralised: bool) -> pa.Table:
    """The rows with the types of `schema`; without one the types are guessed. Nested values other than lists of text
    stay JSON."""
    import pyarrow.csv as pacsv  # only who asked for CSV pays for it

    names = [] if schema is None else schema.names
    found = pacsv.read_csv(
        path,
        read_options=pacsv.ReadOptions(block_size=min(2**31 - 1, path.stat().st_size + 1)),  # a row lies in one block
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=names,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    if schema is None:
        columns = [_as_written(c) if neutralised and pa.types.is_string(c.type) else c for c in found.columns]
        return pa.table(columns, names=found.column_names)
    fields, columns = [], []
    for own, texts in zip(schema, found.columns, strict=True):
        column = _typed(_as_written(texts) if neutralised and _is_text(own.type) else texts, own.type)
        fields.append(own.with_type(column.type))
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, schema.metadata))


def check_csv(kind: pa.DataType, exact: bool) -> None:
    """Raises ArrowException or NotImplementedError for a type whose values have no text, or when `exact` none that
    can be read back."""
    found = _typed(_chunks(_texts(pa.nulls(0, kind)).cast(pa.string())), kind)
    if exact and found.type != kind:
        raise NotImplementedError("CSV has no nested values")


def _cells(column: pa.Array, neutralise: bool) -> pa.Array:
    """The cells of a column as they stand in the file; null stays null."""
    texts = _texts(column).cast(_TEXT)
    if neutralise and _is_text(column.type):
        safe = (f"'{text}" if text and _FORMULA.match(text) else text for text in texts.to_pylist())
        texts = pa.array(safe, _TEXT)
    bare = pc.match_substring_regex(texts, r'^[^,"\r\n]+$')
    mark = pa.scalar('"', _TEXT)
    doubled = pc.replace_substring(texts, '"', '""')
    return pc.if_else(bare, texts, pc.binary_join_element_wise(mark, doubled, mark, pa.scalar("", _TEXT)))


def _quoted(text: str) -> str:
    plain = text and not any(mark in text for mark in ',"\r\n')
    return text if plain else '"' + text.replace('"', '""') + '"'


def _as_written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts without the apostrophe that keeps a spreadsheet from running them."""
    texts = column.to_pylist()
    found = [text[1:] if text and text[0] == "'" and _FORMULA.match(text) else text for text in texts]
    return pa.chunked_array([pa.array(found, column.type)])


def _is_text(kind: pa.DataType) -> bool:
    """Whether cells hold text of any kind, and not numbers, times or truth, which a spreadsheet shall read as such."""
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind))


def _texts(column: pa.Array) -> pa.Array:
    """Each value as text, without regard to quotes and formulas."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _texts(column.dictionary_decode())
    if isinstance(column, pa.ExtensionArray):
        return _texts(column.storage)
    if _is_binary(kind):
        return _mapped(column, lambda value: base64.b64encode(value).decode())
    if pa.types.is_decimal(kind):
        return _mapped(column, lambda value: _decimal_text(value, kind.precision))
    if pa.types.is_nested(kind):
        return _mapped(column, lambda value: json.dumps(value, ensure_ascii=False, default=str))
    if pa.types.is_duration(kind):
        return _seconds_text(column)
    if pa.types.is_temporal(kind):
        return _moment_text(column)
    return column.cast(_TEXT)


def _typed(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The inverse of `_texts`."""
    if pa.types.is_dictionary(kind):
        return _typed(texts, kind.value_type).dictionary_encode().cast(kind)
    if isinstance(kind, pa.BaseExtensionType):
        return _chunks(pa.ExtensionArray.from_storage(kind, _typed(texts, kind.storage_type).combine_chunks()))
    if _is_binary(kind):
        return _chunks(_mapped(texts, lambda text: base64.b64decode(text, validate=True), kind))
    if pa.types.is_nested(kind):
        return _chunks(_mapped(texts, json.loads, kind)) if _is_list_of_text(kind) else texts
    if pa.types.is_duration(kind):
        decimals = _TICKS[kind.unit]
        ticks = pc.multiply(texts.cast(pa.decimal128(19, decimals)), pa.scalar(Decimal(10**decimals)))
        return ticks.cast(pa.int64()).cast(kind)
    if pa.types.is_time(kind):
        day = pc.binary_join_element_wise(pa.scalar("1970-01-01 "), texts, pa.scalar(""))
        return day.cast(pa.timestamp(kind.unit)).cast(kind)
    if pa.types.is_timestamp(kind):
        return texts.cast(pa.timestamp(kind.unit, kind.tz and "UTC")).cast(kind)
    return texts.cast(kind)


def _mapped(column: Any, change: Any, kind: pa.DataType = _TEXT) -> pa.Array:
    return pa.array([None if value is None else change(value) for value in column.to_pylist()], kind)


def _chunks(array: pa.Array) -> pa.ChunkedArray:
    return pa.chunked_array([array])


def _is_binary(kind: pa.DataType) -> bool:
    test = pa.types
    tests = (test.is_binary, test.is_large_binary, test.is_fixed_size_binary, test.is_binary_view)
    return any(is_one(kind) for is_one in tests)


def _is_list_of_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind)) and bool(pa.types.is_string(kind.value_type))


def _decimal_text(value: Decimal, precision: int) -> str:
    text = format(value, "f")  # without an exponent
    return text.rstrip("0").rstrip(".") if precision >= ANY_DIGITS and "." in text else text


def _seconds_text(column: pa.Array) -> pa.Array:
    """A duration as seconds: a number, exact."""
    scale = Decimal(1).scaleb(-_TICKS[column.type.unit])
    ticks = column.cast(pa.int64())
    return _mapped(ticks, lambda value: _decimal_text(value * scale, ANY_DIGITS))


def _moment_text(column: pa.Array) -> pa.Array:
    """ISO 8601; an instant in UTC; a fraction of a second only where there is one."""
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    texts = column.cast(_TEXT)
    if pc.any(pc.match_substring_regex(texts, "^[<-]"), min_count=0).as_py():
        raise pa.ArrowInvalid("a date outside the years 0 to 9999")
    texts = pc.replace_substring_regex(texts, r"\.0+(Z?)$", r"\1")
    return pc.replace_substring(pc.replace_substring(texts, " ", "T"), "Z", "+00:00")
