"""The real files beside the checkout: each goes through or is refused with the reason that its table tells."""

from __future__ import annotations

import csv
from typing import Any

import pyarrow.parquet as pq
import pytest

from extract.media import Attachments, Media, MediaError
from extract.media.part import digest_of
from extract.records import Record
from extract.sources import open_source
from tests.media.making import opened
from tests.support import SHARED

DATA = SHARED / "data"
pytestmark = [pytest.mark.shared, pytest.mark.skipif(not DATA.exists(), reason="needs ../shared")]

BROKEN = {
    "truncated.jpg": "media.broken",
    "empty.png": "media.empty",
    "truncated.pdf": "media.broken",
    "text_named_pdf.pdf": "media.type",
}


def rows() -> list[dict[str, Any]]:
    """The records of media_files, each with its gold."""
    with (DATA / "media_files" / "records.csv").open(newline="") as file:
        records = {row["id"]: row for row in csv.DictReader(file)}
    gold = pq.read_table(DATA / "media_files" / "gold.parquet").to_pylist()
    return [each | records[each["id"]] for each in gold]


def attached(row: dict[str, Any], **settings: Any) -> Any:
    """The parts of a row, or the code of its issue."""
    attach = Attachments([Media(column="path", **settings)], DATA / "media_files")
    try:
        return attach.parts_for(Record(row["id"], 0, row))["path"]
    except MediaError as error:
        return error.issue.code


def test_every_file_goes_through_or_has_its_reason() -> None:
    """Whole files go as they are; encrypted, cut, empty and false ones are refused; a misnamed one is flagged."""
    found = rows()
    assert 110 == len(found)
    for row in found:
        name = row["path"].rpartition("/")[2]
        parts = attached(row)
        if row["encrypted"]:
            assert "media.encrypted" == parts
        elif name in BROKEN:
            assert BROKEN[name] == parts
        elif name == "png_named_jpg.jpg":
            assert [("image/png", ("media.misnamed",))] == [(part.mime, part.flags) for part in parts]
        else:
            assert [(row["mime"], row["bytes"], ())] == [(part.mime, part.size, part.flags) for part in parts], name
            assert parts[0].digest == digest_of(parts[0].data())


def test_pages_sizes_and_text_are_those_of_the_table() -> None:
    """Pages of PDFs as images, pixels of images, and which PDFs have text."""
    for row in rows():
        if row["kind"] == "pdf" and not row["encrypted"]:
            pages = attached(row, as_="images", dpi=36)
            assert row["pages"] == len(pages)
            text = attached(row, as_="text")
            assert row["has_text"] == (text != "media.no_text")
        elif row["kind"] == "image":
            (part,) = attached(row, as_="images")
            assert (row["width"], row["height"]) == opened(part.data()).size


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.93])
def test_real_sound_that_is_cut_is_refused(kept: float) -> None:
    """MP3, FLAC and WAV, and films: none loses its end unseen."""
    cut = [row for row in rows() if row["kind"] in ("audio", "video")]
    assert 75 == len(cut)
    attach = Attachments([Media(column="data")])
    for row in cut:
        data = (DATA / "media_files" / row["path"]).read_bytes()
        with pytest.raises(MediaError) as caught:
            attach.parts_for(Record(row["id"], 0, {"data": data[: int(len(data) * kept)]}))
        assert "media.broken" == caught.value.issue.code, row["path"]


@pytest.mark.parametrize("name", ["invoices_pdf", "pdf_tables"])
def test_documents_give_their_pages_and_their_text(name: str) -> None:
    """Every page is a picture, and nearly all words of the table's text are in ours."""
    with (DATA / name / "records.csv").open(newline="") as file:
        records = list(csv.DictReader(file))
    for row in records:
        cells = Record(row["id"], 0, {"path": row["pdf"]})
        pages = Attachments([Media(column="path", as_="images", dpi=20)], DATA / name).parts_for(cells)["path"]
        assert int(row["pages"]) == len(pages)
        (text,) = Attachments([Media(column="path", as_="text")], DATA / name).parts_for(cells)["path"]
        words = set(row["text"].split())
        assert len(words & set(str(text.text).split())) > 0.8 * len(words), row["id"]


def test_the_folder_itself_is_a_source() -> None:
    """One record a file, and its file column leads to the same bytes."""
    source = open_source(DATA / "media_files" / "files")
    gold = {row["path"].removeprefix("files/"): row for row in rows()}
    records = list(source.records())
    assert sorted(gold) == [record.key for record in records]
    for record in records:
        assert gold[str(record.key)]["bytes"] == record["bytes"]
        assert (record["text"] is None) == (record["file"] == record.key)
