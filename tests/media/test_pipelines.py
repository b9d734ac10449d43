"""Files in a whole run: sent as data URLs, counted into the request, kept nowhere twice, or quarantined with the reason."""

from __future__ import annotations

import base64
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel

import extract
from extract import Limits, Media, Pipeline, Prompt
from extract.media import part
from extract.testing import Call, ScriptedServer
from tests.media.making import pdf, picture
from tests.support import NO_WAIT

PNG, OTHER, THIRD = (picture() for _ in range(3))
PDF = pdf(("hello there",))


class Seen(BaseModel):
    what: str


def pipeline(**changes: Any) -> Pipeline:
    settings: dict[str, Any] = {"name": "seen", "schema": Seen, "key": "id", "retry": NO_WAIT}
    settings |= {"prompt": Prompt(user="What is it?", media=["file"])}
    return Pipeline(**(settings | changes))


def urls(call: Call) -> list[str]:
    parts = call.body["messages"][-1]["content"]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


def source(folder: Path, *names: str) -> Path:
    path = folder / "in.csv"
    path.write_text("id,file\n" + "".join(f"k{number},{name}\n" for number, name in enumerate(names)))
    return path


def see(call: Call) -> Any:
    return {"what": "a file"}


def test_files_go_as_data_urls_and_bad_ones_to_the_quarantine(tmp_path: Path) -> None:
    """One form for all media; what cannot be sent costs nothing."""
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.pdf").write_bytes(PDF)
    (tmp_path / "c.png").write_bytes(b"")
    names = ("a.png", "b.pdf", "c.png", "d.png", "../out.png", "https://example.org/x.png")
    with ScriptedServer(see) as server:
        result = extract.run(pipeline(), source(tmp_path, *names), out=tmp_path / "out", endpoint=server.endpoint())
        sent = sorted(url for call in server.calls for url in urls(call))
    expected = [
        "data:application/pdf;base64," + base64.b64encode(PDF).decode(),
        "data:image/png;base64," + base64.b64encode(PNG).decode(),
        "https://example.org/x.png",
    ]
    assert expected == sent
    assert {"media.empty": 1, "media.missing": 1, "media.outside": 1} == result.report.reasons


def test_a_changed_file_is_another_request_and_an_unchanged_one_none(tmp_path: Path) -> None:
    """The bytes count, not the path: a complete run sees that a picture was exchanged."""
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.png").write_bytes(OTHER)
    rows = source(tmp_path, "a.png", "b.png")
    with ScriptedServer(see) as server:
        asked = []
        for change in (None, None, THIRD):
            if change:
                (tmp_path / "a.png").write_bytes(change)
            extract.run(pipeline(), rows, out=tmp_path / "out", endpoint=server.endpoint())
            asked.append(len(server.calls))
    assert [2, 2, 3] == asked


def test_files_are_not_stored(tmp_path: Path) -> None:
    """Neither in the journal nor in the tables."""
    data = picture((200, 200))
    (tmp_path / "a.png").write_bytes(data)
    with ScriptedServer(see) as server:
        extract.run(pipeline(), source(tmp_path, "a.png"), out=tmp_path / "out", endpoint=server.endpoint())
    held = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    found = b"".join(path.read_bytes() for path in held)
    assert base64.b64encode(data)[:200] not in found
    assert data[:100] not in found


def test_a_file_that_changes_while_it_waits_is_quarantined_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent is what the request names."""
    monkeypatch.setattr(part, "KEEP_BYTES", 0)
    for name in "abcdefgh":
        (tmp_path / f"{name}.png").write_bytes(picture())
    rows = source(tmp_path, *(f"{name}.png" for name in "abcdefgh"))

    def script(call: Call) -> Any:
        if call.number == 4:  # by then the request of the last record is long made, and waits for the others
            time.sleep(0.5)
            (tmp_path / "h.png").write_bytes(PNG)
        return {"what": "a file"}

    run = pipeline(limits=Limits(concurrency=1))
    with ScriptedServer(script) as server:
        result = extract.run(run, rows, out=tmp_path / "out", endpoint=server.endpoint())
        assert {"media.changed": 1} == result.report.reasons
        again = extract.run(run, rows, out=tmp_path / "out", endpoint=server.endpoint())
    assert [8, 0] == [again.report.ok, again.report.quarantined]


def test_what_was_noticed_is_on_the_row(tmp_path: Path) -> None:
    """A name that lies about its content goes through, and the row says so, from the journal too."""
    (tmp_path / "a.jpg").write_bytes(PNG)
    with ScriptedServer(see) as server:
        run, rows = pipeline(), source(tmp_path, "a.jpg")
        found = []
        for rows_a_shard in (2, 3):  # another layout: the tables are derived anew
            changed = replace(run, shard_rows=rows_a_shard)
            result = extract.run(changed, rows, out=tmp_path / "out", endpoint=server.endpoint())
            found.append(result.table["_flags"].to_pylist())
        assert 1 == len(server.calls)
    assert [[["media.misnamed"]]] * 2 == found


def test_a_folder_of_files_is_a_source(tmp_path: Path) -> None:
    """One record a file, its path the key."""
    docs = tmp_path / "docs"
    (docs / "more").mkdir(parents=True)
    (docs / "a.pdf").write_bytes(PDF)
    (docs / "more" / "b.png").write_bytes(PNG)
    (docs / "c.txt").write_text("only text")
    prompt = Prompt(user="{{ name }}: {{ text }}", media=[Media(column="file", optional=True)])
    with ScriptedServer(see) as server:
        run = pipeline(prompt=prompt, key=None)
        result = extract.run(run, docs, out=tmp_path / "out", endpoint=server.endpoint())
    assert ["a.pdf", "c.txt", "more/b.png"] == result.table["path"].to_pylist()
    assert 2 == sum(isinstance(call.body["messages"][-1]["content"], list) for call in server.calls)


def test_a_model_without_eyes_gets_the_text(tmp_path: Path) -> None:
    """as_="text": no image goes out; a picture has no text."""
    (tmp_path / "a.pdf").write_bytes(PDF)
    (tmp_path / "b.png").write_bytes(PNG)
    prompt = Prompt(user="What is it?", media=[Media(column="file", as_="text")])
    with ScriptedServer(see) as server:
        rows = source(tmp_path, "a.pdf", "b.png")
        result = extract.run(pipeline(prompt=prompt), rows, out=tmp_path / "out", endpoint=server.endpoint())
        (only,) = server.calls
    assert "hello there" in only.body["messages"][-1]["content"]
    assert {"media.no_text": 1} == result.report.reasons


def test_bytes_in_a_table_are_files_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a"], "file": [PNG]})
    with ScriptedServer(see) as server:
        extract.run(pipeline(), frame, out=tmp_path / "out", endpoint=server.endpoint())
        assert ["data:image/png;base64," + base64.b64encode(PNG).decode()] == urls(server.calls[0])


def test_files_go_with_every_round_of_tools(tmp_path: Path) -> None:
    """The model sees the file when it decides what to look up."""

    def look(name: str) -> int:
        """Look it up."""
        return 1

    (tmp_path / "a.png").write_bytes(PNG)
    with ScriptedServer(lambda call: "no" if "tools" in call.body else {"what": "x"}) as server:
        run, rows = pipeline(tools=[look]), source(tmp_path, "a.png")
        extract.run(run, rows, out=tmp_path / "out", endpoint=server.endpoint())
        assert [1, 1] == [len(urls(call)) for call in server.calls]


@pytest.mark.parametrize("column", ["nothing", "id"])
def test_a_column_that_cannot_hold_files_is_refused_first(tmp_path: Path, column: str) -> None:
    frame = pd.DataFrame({"id": [1], "file": ["a.png"]})
    run = pipeline(prompt=Prompt(user="x", media=[column]))
    with ScriptedServer(see) as server:
        with pytest.raises(extract.ConfigError):
            extract.run(run, frame, out=tmp_path / "out", endpoint=server.endpoint())
        assert [] == server.calls


def test_the_journal_has_a_row_for_each_file(tmp_path: Path) -> None:
    """Two records with the same file share one answer."""
    (tmp_path / "a.png").write_bytes(PNG)
    with ScriptedServer(see) as server:
        rows = source(tmp_path, "a.png", "a.png")
        extract.run(pipeline(), rows, out=tmp_path / "out", endpoint=server.endpoint())
    connection = sqlite3.connect(tmp_path / "out" / "journal.db")
    assert [(1,)] == connection.execute("SELECT count(*) FROM answers").fetchall()
    connection.close()
