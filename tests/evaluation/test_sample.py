"""A sample to label: stratified, seeded, safe in a spreadsheet, and read back as gold."""

from __future__ import annotations

import csv
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import extract
from extract import Endpoint
from extract.errors import ConfigError, InputError
from extract.evaluation import draw_sample
from extract.evaluation.sample import _namer, _shares
from extract.evaluation.sides import Side
from extract.testing import ScriptedServer
from tests.evaluation.conftest import COUNT
from tests.evaluation.making import truth
from tests.support import pipeline

SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1)


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(1, 150), st.booleans())
def test_every_stratum_has_its_share(sizes: dict[str, int], number: int, equal: bool) -> None:
    """As many as asked for, never more than there are, one of each while that is possible, near to the ideal."""
    shares = _shares(sizes, number, equal)
    assert min(number, sum(sizes.values())) == sum(shares.values())
    assert all(shares[name] <= size for name, size in sizes.items())
    assert number < len(sizes) or min(shares.values()) >= 1
    if equal and number >= len(sizes):
        full = [share for name, share in shares.items() if share < sizes[name]]
        assert not full or max(shares.values()) - min(full) <= 1


def test_shares_by_hand() -> None:
    """In proportion, and the rare one is there."""
    assert {"big": 18, "mid": 9, "rare": 1} == _shares({"big": 600, "mid": 300, "rare": 2}, 28, False)
    assert {"big": 13, "mid": 13, "rare": 2} == _shares({"big": 600, "mid": 300, "rare": 2}, 28, True)


def read(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_sample_shows_source_and_values(papers: Path, tmp_path: Path) -> None:
    """The source's columns, each field as predicted beside an empty gold cell, and nothing checked."""
    draw_sample(papers / "one", 20).write(tmp_path / "labels.csv")
    rows = read(tmp_path / "labels.csv")
    assert ["id", "stratum", "status", "text", "channel", "predicted.kind", "gold.kind"] == list(rows[0])[:7]
    assert ["predicted.tags", "gold.tags", "predicted.total_confidence", "checked"] == list(rows[0])[-4:]
    assert {"gold.seller.name", "gold.seller.city", "gold.day", "gold.total", "gold.lines"} < set(rows[0])
    assert {""} == {
        value for row in rows for name, value in row.items() if name.startswith("gold.") or name == "checked"
    }
    assert all(row["text"] == f"paper {row['id'][1:]}" for row in rows)
    assert all((row["predicted.total"] == "") == (row["status"] != "ok") for row in rows)
    assert {"parse.json", "ok"} == {row["status"] for row in rows}


def test_the_same_seed_draws_the_same(papers: Path) -> None:
    """And another one others."""
    one, same, other = (draw_sample(papers / "one", 20, seed=seed).rows for seed in (1, 1, 2))
    assert one == same
    assert one != other


STRATA = [
    ("reason", {"ok", "parse.json"}),
    ("kind", {"kind: invoice", "kind: credit", "kind: other", "(quarantined)"}),
    ("day", {"null", "a value", "(quarantined)"}),
    ("lines", {"null", "a value", "(quarantined)"}),
]


@pytest.mark.parametrize(("by", "names"), STRATA)
def test_strata(papers: Path, by: str, names: set[str]) -> None:
    """Reasons, labels, whether there is a value."""
    found = draw_sample(papers / "one", 30, by=by)
    assert names == set(found.strata)
    assert (30, COUNT) == tuple(map(sum, zip(*found.strata.values(), strict=True)))
    assert Counter(row[1] for row in found.rows) == {name: drawn for name, (drawn, _) in found.strata.items()}


@pytest.mark.parametrize("by", ["total", "confidence", "total_confidence"])
def test_numbers_are_cut_into_fifths(papers: Path, by: str) -> None:
    """About as many records in each."""
    sizes = [size for name, (_, size) in draw_sample(papers / "one", 30, by=by).strata.items() if name[0].isdigit()]
    assert 5 == len(sizes)
    assert max(sizes) - min(sizes) <= 2


ENDINGS = [".csv", ".xlsx"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_prefilled_and_checked_labels_are_the_predictions(papers: Path, tmp_path: Path, ending: str) -> None:
    """What people check unchanged is right in every field; what they leave unchecked does not count."""
    path = tmp_path / f"labels{ending}"
    draw_sample(papers / "one", 30, by="kind", prefill=True).write(path)
    checked = mark(path, 12)
    found = extract.evaluate(papers / "one", path, resamples=0)
    assert (12, sum(status == "ok" for status in checked)) == (found.records, found.in_table)
    assert 1 == found.f1
    assert found.in_table / 12 == found.exact
    assert f"12 of 30 rows of {path} are checked" in found.notes


def mark(path: Path, number: int, **cells: str) -> list[str]:
    """Check the first rows, as a spreadsheet would save them, and write `cells` into the first; their status."""
    if path.suffix == ".xlsx":
        book = import_module("openpyxl").load_workbook(path)
        sheet = book.active
        names = [cell.value for cell in sheet[1]]
        for row in range(2, number + 2):
            sheet.cell(row, names.index("checked") + 1).value = "x"
        for name, value in cells.items():
            sheet.cell(2, names.index(name) + 1).value = value
        book.save(path)
        return [sheet.cell(row, names.index("status") + 1).value for row in range(2, number + 2)]
    rows = read(path)
    for row in rows[:number]:
        row["checked"] = "Yes"
    rows[0].update(cells)
    pd.DataFrame(rows).to_csv(path, index=False)
    return [row["status"] for row in rows[:number]]


def test_labels_in_full_are_gold(papers: Path, tmp_path: Path) -> None:
    """Labelled with the truth, a sample of all records gives the figures of gold itself."""
    path = tmp_path / "labels.csv"
    draw_sample(papers / "one", COUNT).write(path)
    rows = read(path)
    for row in rows:
        true = truth(int(row["id"][1:]))
        row |= {"gold.kind": true["kind"], "gold.total": str(true["total"]), "gold.day": str(true["day"] or "")}
        row |= {"gold.seller.name": true["seller"]["name"], "gold.seller.city": true["seller"]["city"] or ""}
        row |= {"gold.lines": pd.Series([true["lines"]]).to_json(orient="records")[1:-1], "checked": "1"}
        row |= {"gold.tags": str(true["tags"]).replace("'", '"')}
    pd.DataFrame(rows).to_csv(path, index=False)
    expected = extract.evaluate(papers / "one", papers / "gold.parquet", resamples=0)
    found = extract.evaluate(papers / "one", path, resamples=0)
    assert expected.as_dict()["fields"] == found.as_dict()["fields"]


TYPOS = [
    ({"gold.total": "12,5o"}, "column 'gold.total': (line|row) 2: '12,5o' is no number"),
    ({"gold.lines": "[{]"}, "column 'gold.lines': (line|row) 2: .* is no list"),
    ({"gold.day": "1.5.2024"}, "column 'gold.day': (line|row) 2: '1.5.2024' is no date"),
    ({"checked": "maybe"}, "column 'checked': (line|row) 2: 'maybe' says neither yes nor no"),
]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("cells", "message"), TYPOS)
def test_typos_are_named(papers: Path, tmp_path: Path, ending: str, cells: dict[str, str], message: str) -> None:
    """File, row, column and value."""
    path = tmp_path / f"labels{ending}"
    draw_sample(papers / "one", 5, prefill=True).write(path)
    mark(path, 2, **cells)
    with pytest.raises(InputError, match=rf"labels\{ending}, {message}"):
        extract.evaluate(papers / "one", path)


def test_a_label_that_is_nearly_one_is_said(papers: Path, tmp_path: Path) -> None:
    """It may be a label that was never predicted: a note, not an error."""
    draw_sample(papers / "one", 40, prefill=True).write(tmp_path / "labels.csv")
    mark(tmp_path / "labels.csv", 40, **{"gold.kind": "invocie"})
    found = extract.evaluate(papers / "one", tmp_path / "labels.csv", resamples=0)
    assert any(
        "line 2, column 'gold.kind': 'invocie' was never predicted; did you mean 'invoice'?" in n for n in found.notes
    )


def test_nothing_checked_and_unknown_columns_are_refused(papers: Path, tmp_path: Path) -> None:
    """A sheet that nobody filled in, and a gold column that was renamed."""
    path = tmp_path / "labels.csv"
    draw_sample(papers / "one", 5).write(path)
    with pytest.raises(InputError, match=r"no row is checked .write x"):
        extract.evaluate(papers / "one", path)
    mark(path, 5)
    path.write_text(path.read_text().replace("gold.kind", "gold.kidn"))
    with pytest.raises(InputError, match=r"'kidn' is no field of .*did you mean 'kind'"):
        extract.evaluate(papers / "one", path)


FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "-2+3 apples",
    "\t=1",
    "'=x",
    "#N/A",
    "_x0041_",
    "a\x0bb\rc\nd",
    "\u202e",
]


class Words(BaseModel):
    """One text."""

    word: str


@pytest.mark.parametrize("ending", ENDINGS)
def test_texts_are_no_formulas_and_come_back_as_they_were(tmp_path: Path, ending: str) -> None:
    """Of the source and of the model; unchanged labels are right against the run."""
    frame = pd.DataFrame({"id": range(len(FORMULAS)), "text": FORMULAS})
    with ScriptedServer(lambda call: {"word": call.prompt}) as server:
        extract.run(
            pipeline(schema=Words),
            frame,
            out=tmp_path / "run",
            endpoint=Endpoint(base_url=server.base_url),
            on_progress=lambda tally: None,
        )
    path = tmp_path / f"labels{ending}"
    draw_sample(tmp_path / "run", 99, prefill=True, source=frame).write(path)
    if ending == ".xlsx":
        sheet = import_module("openpyxl").load_workbook(path).active
        assert {"s", "n"} == {cell.data_type for row in sheet.iter_rows() for cell in row}  # no f, no e
        mark(path, len(FORMULAS))
    else:
        cells = [cell for row in read(path) for cell in row.values()]
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "@", "-", "\t")]
        frame_of = pd.read_csv(path, dtype=str, keep_default_na=False, lineterminator="\n")
        frame_of["checked"] = "x"
        frame_of.to_csv(path, index=False, lineterminator="\n")
    found = extract.evaluate(tmp_path / "run", path, resamples=0)
    assert (len(FORMULAS), 1.0) == (found.records, found.exact)


def test_formulas_that_people_write_are_refused(papers: Path, tmp_path: Path) -> None:
    """Their value is not in the file for sure."""
    draw_sample(papers / "one", 5, prefill=True).write(tmp_path / "labels.xlsx")
    mark(tmp_path / "labels.xlsx", 5, **{"gold.total": "=A1*2"})
    with pytest.raises(InputError, match=r"column 'gold.total': row 2: a formula: =A1"):
        extract.evaluate(papers / "one", tmp_path / "labels.xlsx")


def test_long_texts_in_a_workbook(tmp_path: Path) -> None:
    """A text of the source is cut, and says so; a value that is too long for a cell is refused."""
    frame = pd.DataFrame({"id": [1], "text": ["x" * 40_000]})
    with ScriptedServer(lambda call: {"word": call.prompt if call.prompt[0] == "y" else "z"}) as server:
        for name, source in (("x", frame), ("y", frame.replace("x", "y", regex=True))):
            extract.run(
                pipeline(schema=Words),
                source,
                out=tmp_path / name,
                endpoint=Endpoint(base_url=server.base_url),
                on_progress=lambda tally: None,
            )
    import_module("openpyxl")
    draw_sample(tmp_path / "x", 1, source=frame).write(tmp_path / "x.xlsx")
    cut = pd.read_excel(tmp_path / "x.xlsx")["text"][0]
    assert (32_767, True) == (len(cut), cut.endswith(" … [cut here, 40,000 characters]"))
    with pytest.raises(ConfigError, match=r"a text of 40,000 characters is too long for a cell .write a .csv"):
        draw_sample(tmp_path / "y", 1, source=frame).write(tmp_path / "y.xlsx")
    assert not (tmp_path / "y.xlsx").exists()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"by": "kinds"}, "there is no such field .did you mean 'kind'"),
    ({"number": 0}, "a sample of 0 records"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_what_cannot_be_drawn(papers: Path, settings: dict[str, Any], message: str) -> None:
    """Before anything is written."""
    with pytest.raises(ConfigError, match=message):
        draw_sample(papers / "one", **{"number": 5, **settings})


def test_labels_are_never_written_over(papers: Path, tmp_path: Path) -> None:
    """A file that is there may hold hours of work."""
    (tmp_path / "labels.csv").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        draw_sample(papers / "one", 5).write(tmp_path / "labels.csv")
    assert "mine" == (tmp_path / "labels.csv").read_text()
    with pytest.raises(ConfigError, match=r"labels are a .csv or an .xlsx"):
        draw_sample(papers / "one", 5).write(tmp_path / "labels.doc")


def test_a_source_that_is_gone_is_said(papers: Path, tmp_path: Path) -> None:
    """The passed-through columns are there still."""
    frame = pd.DataFrame({"id": [1, 2], "text": ["a 1", "b 2"], "shop": ["s", "t"]})
    with ScriptedServer(lambda call: {"word": call.prompt}) as server:
        extract.run(
            pipeline(schema=Words, columns=["shop"]),
            frame,
            out=tmp_path / "run",
            endpoint=Endpoint(base_url=server.base_url),
            on_progress=lambda tally: None,
        )
    found = draw_sample(tmp_path / "run", 2)
    assert ["the source 'DataFrame' is not here: without it only passed-through columns are shown"] == list(found.notes)
    assert ["id", "stratum", "status", "shop"] == list(found.names)[:4]
    assert {"s", "t"} == {row[3] for row in found.rows}
    other = frame.assign(id=[1, 9])
    assert ["1 records of the sample are not in DataFrame"] == list(
        draw_sample(tmp_path / "run", 2, source=other).notes
    )


def test_fewer_records_than_strata_are_of_the_largest() -> None:
    """Each of them once."""
    assert {"a": 0, "b": 1, "c": 1} == _shares({"a": 1, "b": 5, "c": 3}, 2, equal=False)


def test_a_fifth_begins_with_the_value_that_it_is_named_by() -> None:
    """From it on, and below the next."""
    rows = {f"k{at}": {"id": f"k{at}", "n": at} for at in range(10)}
    side = Side("a run", "id", {"n": pa.int64()}, rows, {name: name for name in rows})
    name = _namer(side, "n")
    assert ["1: below 2", "2: from 2 below 4", "5: from 8"] == [name({"n": value}) for value in (1, 2, 9)]
