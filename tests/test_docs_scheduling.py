"""docs/scheduling.md, followed word for word against a scripted server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from extract.testing import Call, ScriptedServer
from pipelines.receipts import pipeline as receipts

ROOT = Path(__file__).parents[1]
DOC = ROOT / "docs" / "scheduling.md"
KEY = "sk-nightly-0123456789"
TOTAL = re.compile(receipts.checks[0].settings[0], re.IGNORECASE)  # type: ignore[union-attr]  # a ready check
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", DOC.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def first_choices(call: Call) -> dict[str, Any]:
    """An answer that takes the first value of each enum on the wire; of amounts, one that is a total."""
    schema = call.body["response_format"]["json_schema"]["schema"]
    return {
        name: next(filter(TOTAL.search, map(str, field["enum"])), field["enum"][0])
        for name, field in schema["properties"].items()
    }


@dataclass(frozen=True)
class Followed:
    """A checkout in which the blocks of the page were run, what they printed, and what the server was asked."""

    folder: Path
    done: subprocess.CompletedProcess[str]
    calls: list[Call]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    """All blocks in their order, in one shell that ends at the first failure."""
    home = tmp_path_factory.mktemp("machine")
    folder = home / "a checkout"
    for name in ("data", "pipelines", "schemas"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with ScriptedServer(first_choices) as server:
        done = subprocess.run(
            ["bash", "-e", "-c", "\n".join(BLOCKS)],
            cwd=folder,
            env=environment(home, server.base_url),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    return Followed(folder, done, server.calls)


def environment(home: Path, base_url: str) -> dict[str, str]:
    """What a machine has on which the project is installed: `extract` on the PATH, an endpoint, a key."""
    shim = home / "bin" / "extract"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m extract "$@"\n')
    shim.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXTRACT_")}
    path = {"PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return kept | path | {"EXTRACT_BASE_URL": base_url, "EXTRACT_API_KEY": KEY}


def test_the_page_can_be_followed(followed: Followed) -> None:
    """To the end, with exit code 0 and nothing on stderr but what goes to the log."""
    assert (0, "") == (followed.done.returncode, followed.done.stderr), followed.done.stdout


def test_new_rows_are_asked_alone(followed: Followed) -> None:
    """40 rows on the first night, the 20 new ones on the second, none on the third."""
    tickets = pd.read_csv(followed.folder / "data" / "tickets.csv")["text"].tolist()
    receipts = pd.read_csv(followed.folder / "data" / "receipts.csv")["text"].tolist()
    asked = [call.prompt for call in followed.calls]
    assert (sorted(tickets[:40]), sorted(tickets[40:])) == (sorted(asked[:40]), sorted(asked[40:60]))
    assert len(receipts) - 3 == len(asked[60:])
    assert set(asked[60:]) <= set(receipts)


def test_the_table_shows_the_source_as_it_is_now(followed: Followed) -> None:
    table = pd.read_parquet(followed.folder / "out" / "tickets" / "table")
    assert pd.read_csv(followed.folder / "data" / "tickets.csv")["id"].tolist() == table["id"].tolist()


def test_what_the_page_shows_is_what_comes(followed: Followed) -> None:
    """Each result that stands below a command is printed by it."""
    shown = re.findall(r"^```text\n(\d+ ok.*?)^```$", DOC.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert 2 == len(shown)
    assert [] == [output for output in shown if output not in followed.done.stdout]


def test_the_log_is_plain_lines(followed: Followed) -> None:
    log = (followed.folder / "nightly.log").read_text("utf-8")
    assert (-1, -1) == (log.find("\x1b"), log.find("\r"))
    assert re.search(r"^\d\d:\d\d:\d\d \d+/40, \d+ ok, \d+ quarantined, .* rows/s", log, re.MULTILINE), log
    assert log.endswith("\ntables in out/tickets\ndone\n")


def test_the_key_is_sent_and_written_nowhere(followed: Followed) -> None:
    assert {f"Bearer {KEY}"} == {call.headers["authorization"] for call in followed.calls}
    written = [file for file in followed.folder.rglob("*") if file.is_file()]
    assert [] == [file for file in written if KEY.encode() in file.read_bytes()]
