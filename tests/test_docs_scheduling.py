"""docs/scheduling.md, followed word for word against a scripted server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from extract.testing import Call, ScriptedServer

ROOT = Path(__file__).parents[1]
DOC = ROOT / "docs" / "scheduling.md"
KEY = "sk-nightly-0123456789"
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", DOC.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def first_choices(call: Call) -> dict[str, Any]:
    """An answer that takes the first value of each enum on the wire."""
    schema = call.body["response_format"]["json_schema"]["schema"]
    return {name: field["enum"][0] for name, field in schema["properties"].items()}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(first_choices) as running:
        yield running


@pytest.fixture
def environment(tmp_path: Path, server: ScriptedServer) -> dict[str, str]:
    """What a machine has on which the project is installed: `extract` on the PATH, an endpoint, a key."""
    shim = tmp_path / "bin" / "extract"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m extract "$@"\n')
    shim.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXTRACT_")}
    path = {"PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return kept | path | {"EXTRACT_BASE_URL": server.base_url, "EXTRACT_API_KEY": KEY}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a checkout"
    for name in ("data", "pipelines", "schemas"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def follow(blocks: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-e", "-c", "\n".join(blocks)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_the_page_can_be_followed(checkout: Path, environment: dict[str, str], server: ScriptedServer) -> None:
    """All shell blocks in their order: exit code 0, new rows are asked alone, the key stays out of every file."""
    done = follow(BLOCKS, checkout, environment)
    assert (0, "") == (done.returncode, done.stderr), done.stdout

    tickets = pd.read_csv(checkout / "data" / "tickets.csv")["text"].tolist()
    asked = [call.prompt for call in server.calls]
    assert set(tickets[:40]) == set(asked[:40])
    assert set(tickets[40:]) == set(asked[40:60])
    receipts = pd.read_csv(checkout / "data" / "receipts.csv")["text"]
    assert (60 + len(receipts) - 3) == len(asked)
    assert {f"Bearer {KEY}"} == {call.headers["authorization"] for call in server.calls}

    table = pd.read_parquet(checkout / "out" / "tickets" / "table")
    assert pd.read_csv(checkout / "data" / "tickets.csv")["id"].tolist() == table["id"].tolist()
    written = [file for file in checkout.rglob("*") if file.is_file()]
    assert [] == [file for file in written if KEY.encode() in file.read_bytes()]


def test_what_the_page_shows_is_what_comes(checkout: Path, environment: dict[str, str]) -> None:
    """Each output that stands below a command is printed by it."""
    text = DOC.read_text("utf-8")
    shown = re.findall(r"^```text\n(\d+ ok.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert 2 == len(shown)
    printed = follow(BLOCKS, checkout, environment).stdout
    assert [] == [output for output in shown if output not in printed]


def test_the_log_is_plain_lines(checkout: Path, environment: dict[str, str]) -> None:
    follow(BLOCKS[:3], checkout, environment)
    log = (checkout / "nightly.log").read_text("utf-8")
    assert "\x1b" not in log
    assert "\r" not in log
    assert re.search(r"^\d\d:\d\d:\d\d \d+/40, \d+ ok, \d+ quarantined, .* rows/s", log, re.MULTILINE), log
    assert log.endswith("\ntables in out/tickets\n")
