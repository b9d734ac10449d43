"""A run directory against gold: whatever its layout, and what it is refused for."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

import extract
from extract import Endpoint
from extract.errors import ConfigError, InputError, RunDirectoryError
from extract.evaluation import Evaluation
from extract.testing import ScriptedServer
from tests.evaluation.conftest import COUNT
from tests.evaluation.making import answer, gold, make_run, truth
from tests.support import pipeline

LAYOUTS: list[dict[str, Any]] = [
    {"format": "csv"},
    {"children": "tables"},
    {"flat": True},
    {"children": "tables", "flat": True},
]


def counted(found: Evaluation) -> Any:
    """All figures; `enum` and `text` compare alike."""
    data = found.as_dict()
    for field in data["fields"].values():
        field["comparator"] = field["comparator"].replace("enum", "text")
    return {name: data[name] for name in ("records", "micro", "macro", "exact", "fields", "calibration")}


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_layout_of_the_tables_does_not_matter(papers: Path, tmp_path: Path, layout: dict[str, Any]) -> None:
    """Child tables, flat columns and CSV give the figures of nested Parquet."""
    run = make_run(tmp_path, "other", COUNT, 1, **layout)
    expected = extract.evaluate(papers / "one", papers / "gold.parquet", resamples=20)
    assert counted(expected) == counted(extract.evaluate(run, papers / "gold.parquet", resamples=20))


def test_the_figures_of_a_run_are_those_of_what_the_model_said(papers: Path) -> None:
    """Counted anew from the answers themselves: dates, totals, quarantined records."""
    found = extract.evaluate(papers / "one", papers / "gold.parquet", resamples=0)
    said = [answer(number, 1) for number in range(COUNT)]
    rows = [(truth(number), one) for number, one in enumerate(said) if one != "no JSON"]
    assert (len(rows), COUNT - len(rows), 0) == (found.in_table, found.quarantined, found.absent)
    assert 0 < found.quarantined
    total = found.fields["total"]
    right = sum(Decimal(str(one["total"])) == true["total"] for true, one in rows)
    assert (right, len(rows) - right, COUNT - len(rows)) == (total.correct, total.wrong, total.withheld)
    assert (right, len(rows) - right) == (total.right, total.wrong_rows)  # a record without a row is not right
    assert pytest.approx(right / COUNT) == total.score.accuracy
    day = found.fields["day"]
    missed = sum(true["day"] is not None and one["day"] is None for true, one in rows)
    agreed = sum(true["day"] is None and one["day"] is None for true, one in rows)
    assert (missed, agreed) == (day.missed, day.null)
    assert {"total"} == set(found.calibration)
    assert {"kind"} == set(found.confusion)


def test_passed_columns_are_no_fields(papers: Path, tmp_path: Path) -> None:
    """A column of the source is right by itself, and would only flatter."""
    beside = gold(COUNT).append_column("channel", pa.array(["mail"] * COUNT))
    found = extract.evaluate(papers / "one", beside, resamples=0)
    assert "channel" not in found.fields
    assert "gold columns that are no fields, not compared: channel" in found.notes


FILES = ["gold.parquet", "gold.jsonl", "gold.csv", "gold.tsv", "gold.xlsx"]


@pytest.mark.parametrize("name", FILES)
def test_gold_may_be_any_file(papers: Path, tmp_path: Path, name: str) -> None:
    """Nested values as JSON in cells of text, objects as columns such as seller.name: the same figures."""
    path = tmp_path / name
    rows = [_plain(truth(number)) for number in range(COUNT)]
    cells = [
        {
            **{key: value for key, value in row.items() if key != "seller"},
            **{f"seller.{key}": value for key, value in row["seller"].items()},
            **{key: json.dumps(row[key]) for key in ("lines", "tags")},
        }
        for row in rows
    ]
    match path.suffix:
        case ".jsonl":
            path.write_text("\n".join(map(json.dumps, rows)))
        case ".csv" | ".tsv":
            pd.DataFrame(cells).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
        case ".xlsx":
            import_module("openpyxl")
            pd.DataFrame(cells).to_excel(path, index=False)
        case _:
            shutil.copy(papers / name, path)
    expected = extract.evaluate(papers / "one", gold(COUNT), resamples=0)
    assert counted(expected) == counted(extract.evaluate(papers / "one", path, resamples=0))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        json.dumps(row, default=lambda v: float(v) if isinstance(v, Decimal) else str(v))
    )
    return found


def test_a_result_is_evaluated_as_it_is(tmp_path: Path) -> None:
    """The schema says which columns are fields: one of the source's own name too."""

    class Item(BaseModel):
        text: str
        note: str | None = None

    with ScriptedServer(lambda call: {"text": call.prompt.upper(), "note": None}) as server:
        result = extract.run(
            pipeline(schema=Item),
            pd.DataFrame({"id": [1, 2], "text": ["tea", "milk"]}),
            out=tmp_path / "run",
            endpoint=Endpoint(base_url=server.base_url),
            on_progress=lambda tally: None,
        )
    found = extract.evaluate(result, pd.DataFrame({"id": [1.0, 2.0], "text": ["TEA", "salt"]}), resamples=0)
    assert (1, 1) == (found.fields["text"].correct, found.fields["text"].wrong)
    assert "<Evaluation of " in repr(found)
    assert ["text"] == list(found.to_pandas().index)


def test_a_run_whose_every_record_failed_has_recall_zero(papers: Path, tmp_path: Path) -> None:
    """No row is no error."""
    with ScriptedServer(lambda call: "no JSON") as server:
        extract.run(
            pipeline(),
            pd.DataFrame({"id": ["a"], "text": ["tea"]}),
            out=tmp_path / "run",
            endpoint=Endpoint(base_url=server.base_url),
            on_progress=lambda tally: None,
        )
    found = extract.evaluate(tmp_path / "run", pa.table({"id": ["a"], "name": ["tea"], "number": [1]}), resamples=5)
    assert (0, None, 0, 2) == (
        found.micro.recall,
        found.micro.precision,
        found.f1,
        sum(f.withheld for f in found.fields.values()),
    )


def test_tables_of_others_are_evaluated_too(tmp_path: Path) -> None:
    """Two files, whose key is named; keys that a spreadsheet made fractions are the same keys."""
    (tmp_path / "theirs.csv").write_text("nr,total,day\n1,12.50,2024-05-01\n2,7,2024-05-02\n")
    (tmp_path / "gold.csv").write_text("nr,total,day\n1,12.5,2024-05-01\n2,7.0,2024-05-03\n")
    found = extract.evaluate(tmp_path / "theirs.csv", tmp_path / "gold.csv", key="nr", resamples=0)
    assert ["number", "date"] == [field.comparator for field in found.fields.values()]
    assert (2, 1) == (found.fields["total"].correct, found.fields["day"].correct)


def test_a_run_that_is_not_complete_is_refused(papers: Path, tmp_path: Path) -> None:
    """Figures of half a table would be read as those of the run; a damaged one names the way out."""
    shutil.copytree(papers / "one", tmp_path / "half")
    manifest = json.loads((tmp_path / "half" / "manifest.json").read_text())
    (tmp_path / "half" / "manifest.json").write_text(json.dumps(manifest | {"complete": False}))
    with pytest.raises(RunDirectoryError, match="half is not complete: 0 records pending"):
        extract.evaluate(tmp_path / "half", gold(3))
    (tmp_path / "half" / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "half" / "table" / "part-00000.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(RunDirectoryError, match=r"cannot be read: .*extract fsck"):
        extract.evaluate(tmp_path / "half", gold(3))
    with pytest.raises(RunDirectoryError, match="is no run directory"):
        extract.evaluate(tmp_path, gold(3))


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": ["k0", "k1"], **columns})


BAD: list[tuple[Any, dict[str, Any], str]] = [
    (pd.DataFrame({"nr": ["k0"], "total": [1]}), {}, "there is no key column 'id'"),
    (pd.DataFrame({"ids": ["k0"], "total": [1]}), {}, "did you mean 'ids'"),
    (pd.DataFrame({"id": ["k0", "k0"], "total": [1, 2]}), {}, "row 2: the key 'k0' comes twice, first at row 1"),
    (pd.DataFrame({"id": ["k0", None], "total": [1, 2]}), {}, "row 2: the key is empty"),
    (pd.DataFrame({"id": ["k0", "k1"], "totel": [1, 2]}), {}, "'totel' is no field of .*did you mean 'total'"),
    (pd.DataFrame({"id": ["k0"], "weight": [1]}), {}, "no column is a field of .*the fields are: kind, seller"),
    (pd.DataFrame({"id": ["x0"], "total": [1]}), {}, "no key of gold is one of .*gold has 'x0', the run 'k0'"),
    (frame(total=["12.5", "12,5"]), {}, "DataFrame, column 'total': row 2: '12,5' is no number"),
    (frame(day=["2024-01-02", "soon"]), {}, "column 'day': row 2: 'soon' is no date"),
    (frame(lines=["[]", "[{]"]), {}, "column 'lines': row 2: .* is no list"),
    (
        frame(lines=["[]", '[{"article": "a", "price": "much"}]']),
        {},
        "column 'lines.price': row 2: 'much' is no number",
    ),
    (frame(lines=[1, 2]), {}, "column 'lines': the field is a list in one table and of type int64 in the other"),
    (frame(seller=[["a"], ["b"]]), {}, "column 'seller': the field is an object in one table and a list"),
    (frame(total=[1, 2]), {"compare": {"totel": "number"}}, "--compare totel: .*did you mean 'total'"),
    (frame(total=[1, 2]), {"compare": {"total": "nummer"}}, "unknown comparator 'nummer'"),
    (frame(total=[1, 2]), {"compare": {"total": "ignore"}}, "every field is left out"),
    (frame(seller=[{"name": "a"}] * 2), {"compare": {"seller": "folded"}}, "'folded' compares single values"),
    (frame(total=[1, 2]), {"fields": ["totel"]}, "there is no field 'totel' .did you mean 'total'"),
    (frame(total=[1, 2]), {"fields": ["day"]}, "DataFrame: there is no field 'day'"),
    (frame(total=[1, 2]), {"missing": "drop"}, "missing is 'drop'"),
    (frame(total=[1, 2]), {"level": 95}, "level is 95"),
    (frame().head(0), {}, "there are no rows"),
    ({"id": []}, {}, "no table: dict"),
    ("gold.txt", {}, "there is no such file"),
]


@pytest.mark.parametrize(("given", "settings", "message"), BAD, ids=[case[2][:40] for case in BAD])
def test_bad_input_is_named(papers: Path, given: Any, settings: dict[str, Any], message: str) -> None:
    """File, row, column and value, and what was meant."""
    with pytest.raises((ConfigError, InputError), match=message):
        extract.evaluate(papers / "one", given, **{"resamples": 0, **settings})


CSVS = [
    (b"id;total\nk0;1\n", "looks like several: the cells of a .csv are separated by commas"),
    (b"id,total\nk0,1\nk1\n", "line 3: 1 cells, the header has 2"),
    (b"id,total\nk0,\xff\n", "byte ff is no utf-8"),
    (b"id,id\nk0,1\n", "the column name 'id' comes twice"),
    (b'id,total\nk0,"a\nb"\nk1,1\n', "column 'total': line 2: "),
    (b"", "the file is empty"),
]


@pytest.mark.parametrize(("content", "message"), CSVS)
def test_a_broken_csv_is_named_by_line(papers: Path, tmp_path: Path, content: bytes, message: str) -> None:
    """The line of the file, where cells hold line breaks too."""
    (tmp_path / "gold.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        extract.evaluate(papers / "one", tmp_path / "gold.csv")


def test_files_that_are_not_what_they_are_called(papers: Path, tmp_path: Path) -> None:
    """Parquet, workbooks and JSON lines that are none."""
    for name in ("gold.parquet", "gold.xlsx", "gold.jsonl"):
        (tmp_path / name).write_bytes(b"\x00PK no such thing")
        with pytest.raises(InputError, match=r"not a readable|not JSON"):
            extract.evaluate(papers / "one", tmp_path / name)
    (tmp_path / "gold.doc").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"unknown kind of file '.doc'"):
        extract.evaluate(papers / "one", tmp_path / "gold.doc")


def test_a_table_without_a_named_key_is_refused() -> None:
    """Nothing is guessed."""
    with pytest.raises(ConfigError, match="which column is the key"):
        extract.evaluate(frame(total=[1, 2]), frame(total=[1, 2]))


def test_a_child_table_of_measures_is_read_back(tmp_path: Path) -> None:
    """Items with a first part called `value` are not taken for a mark that the item is there."""

    class Measure(BaseModel):
        value: str
        unit: str

    class Sheet(BaseModel):
        measures: list[Measure]
        grid: list[list[int]]
        near: list[Measure | None]

    said = {
        "measures": [{"value": "1", "unit": "kg"}, {"value": "true", "unit": "m"}],
        "grid": [[1, 2], [], [3]],
        "near": [None, {"value": "2", "unit": "s"}],
    }
    with ScriptedServer(lambda call: said) as server:
        for name in ("csv", "parquet"):
            extract.run(
                pipeline(schema=Sheet, format=name, children="tables"),
                pd.DataFrame({"id": ["a", "b"], "text": ["x", "y"]}),
                out=tmp_path / name,
                endpoint=Endpoint(base_url=server.base_url),
                on_progress=lambda tally: None,
            )
    true = tmp_path / "gold.jsonl"
    true.write_text("\n".join(json.dumps({"id": key, **said}) for key in ("a", "b")))
    for name in ("csv", "parquet"):
        found = extract.evaluate(tmp_path / name, true, resamples=0)
        assert (1, []) == (found.exact, list(found.notes))
        assert {"measures.value", "measures.unit", "grid", "near.value"} <= set(found.fields)
        assert (4, 6, 2) == tuple(found.fields[path].correct for path in ("measures.value", "grid", "near.unit"))


def test_gold_read_from_parquet_rows(papers: Path, tmp_path: Path) -> None:
    """Gold of more records than the run: they count as missed, or are left out and said."""
    pq.write_table(gold(COUNT + 5), tmp_path / "more.parquet")
    found = extract.evaluate(papers / "one", tmp_path / "more.parquet", resamples=0)
    assert (5, COUNT + 5) == (found.absent, found.records)
    assert any(note.startswith("5 gold records are not in") for note in found.notes)
    skipped = extract.evaluate(papers / "one", tmp_path / "more.parquet", resamples=0, missing="skip")
    assert counted(extract.evaluate(papers / "one", gold(COUNT), resamples=0)) == counted(skipped)
