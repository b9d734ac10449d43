"""Runs that search on our own server: what a folder holds reaches the records, and its files the evidence table."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from pydantic import BaseModel

import extract
from extract import Endpoint, Limits, Model, Pipeline
from extract.server import Assistant, Corpus, LocalServer
from extract.server.engine import Prompt, Written
from extract.server.weights import WeightsNotFound, find_weights
from tests.support import NO_WAIT


class Opening(BaseModel):
    """When a museum opens."""

    opens: Literal["9:15", "10:00", "?"]


@dataclass
class Reader:
    """A text model that answers with the first time of day that its prompt holds, as the schema has it."""

    model: str = "reader"
    slots: int = 2
    prompts: list[Prompt] = field(default_factory=list)

    async def write(self, prompt: Prompt) -> AsyncGenerator[str | Written, None]:
        self.prompts.append(prompt)
        found = re.search(r"\d+:\d\d", " ".join(str(said["content"]) for said in prompt.messages))
        text = found[0] if found else "?"
        yield text if prompt.schema is None else json.dumps({"opens": text})
        yield Written("stop", 10, 5)


SOURCES = {
    "clocks": ("9:15", "corpus:/clocks.md", "Opening hours"),
    "trams": ("10:00", "corpus:/old%20trams.html", "T"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (found := tmp_path / "notes").mkdir()
    (found / "clocks.md").write_text("# Opening hours\n\nThe museum of clocks opens at 9:15.")
    (found / "old trams.html").write_text("<title>T</title><p>The museum of trams opens at 10:00.")
    (found / "other.txt").write_text("Nothing of that kind.")
    return found


def museums(**model: Any) -> Pipeline:
    settings = Model(search=True, max_tokens=32, **model)
    limits = Limits(concurrency=2, timeout=120)
    return Pipeline(name="museums", schema=Opening, prompt="{{ text }}", model=settings, retry=NO_WAIT, limits=limits)


def found_by(pipeline: Pipeline, base_url: str, out: Path) -> extract.Result:
    source = pd.DataFrame({"text": list(SOURCES)})
    return extract.run(pipeline, source, out=out, endpoint=Endpoint(base_url=base_url))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("with_schema", "requests"), [(False, 4), (True, 2)])
def test_a_search_on_our_server_reaches_the_record_and_the_evidence(
    tmp_path: Path, folder: Path, with_schema: bool, requests: int, stream: bool
) -> None:
    """In a round before the record, or in one request with the schema: value, URL and title are the folder's."""
    model = Reader()
    with LocalServer(engine=Assistant(model, corpus=Corpus(folder))) as server:
        run = museums(search_with_schema=with_schema, stream=stream)
        result = found_by(run, server.base_url, tmp_path / "out")
        again = found_by(run, server.base_url, tmp_path / "out")
    for each in (result, again):
        assert [opens for opens, _, _ in SOURCES.values()] == each.table["opens"].to_pylist()
        shown = each.evidence.select(["url", "title"]).to_pylist()
        assert [{"url": url, "title": title} for _, url, title in SOURCES.values()] == shown
    assert [requests, requests, 0] == [len(model.prompts), result.report.requests, again.report.requests]


def test_a_search_that_finds_nothing_leaves_no_evidence(tmp_path: Path, folder: Path) -> None:
    """The record is made without."""
    with LocalServer(engine=Assistant(Reader(), corpus=Corpus(folder))) as server:
        source = pd.DataFrame({"text": ["zebra"]})
        result = extract.run(museums(), source, out=tmp_path / "out", endpoint=Endpoint(base_url=server.base_url))
    assert (["?"], 0) == (result.table["opens"].to_pylist(), result.evidence.num_rows)


def test_a_search_on_a_server_without_a_folder_is_refused(tmp_path: Path) -> None:
    """Each record has the reason; nothing was written for it."""
    model = Reader()
    with LocalServer(engine=Assistant(model)) as server:
        result = found_by(museums(), server.base_url, tmp_path / "out")
    reasons = {row["reason"]: "--search-corpus DIR" in row["message"] for row in result.quarantine.to_pylist()}
    assert ({"api.request": True}, []) == (reasons, model.prompts)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The command, on a free port; yields the address that it says."""
    command = [sys.executable, "-m", "extract", "serve", "--port", "0", "--search-corpus", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != "EXTRACT_SERVE_KEY"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            assert child.stderr is not None
            told = next(line for line in child.stderr if "http://" in line)
            yield told[told.index("http://") :].split()[0]
        finally:
            child.terminate()
            child.communicate(timeout=30)


@pytest.mark.model
@pytest.mark.parametrize("with_schema", [False, True])
def test_the_command_with_a_search_corpus_gives_sources(tmp_path: Path, folder: Path, with_schema: bool) -> None:
    """`extract serve --search-corpus`: whatever the model makes of it, the evidence names the files."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    try:
        find_weights(None)
    except WeightsNotFound as error:
        pytest.skip(str(error))
    with serving(folder) as base_url:
        result = found_by(museums(search_with_schema=with_schema), base_url, tmp_path / "out")
    assert 2 == result.report.ok
    assert [url for _, url, _ in SOURCES.values()] == result.evidence["url"].to_pylist()
