"""The README's first screen works as it stands."""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from extract import Verbatim, compile_schema
from schemas.receipts import Receipt

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_first_screen_is_complete() -> None:
    """Within some fifty lines: the model, three lines of Python, one command, the table and the closing line."""
    first = "\n".join(TEXT.splitlines()[:50])
    for part in ("class Receipt(BaseModel)", "extract.run(", "extract run ", "r-002", " retries"):
        assert part in first


def test_the_model_is_the_shipped_one() -> None:
    """The four-field model of the README makes the same table as the shipped one."""
    names: dict[str, Any] = {
        **{"Annotated": Annotated, "BaseModel": BaseModel, "Decimal": Decimal, "Field": Field, "Literal": Literal},
        **{"Verbatim": Verbatim, "dt": dt},
    }
    exec(compile(blocks("python")[0], "README.md", "exec", dont_inherit=True), names)
    shown, shipped = compile_schema(names["Receipt"]), compile_schema(Receipt)
    assert shipped.arrow_schema.remove_metadata() == shown.arrow_schema.remove_metadata()
    assert 4 == len(shown.arrow_schema)


@pytest.mark.model
def test_python_and_command_do_what_is_said(tmp_path: Path, local_model: None) -> None:
    """The three lines run, and the command after them finds everything answered."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "pipelines").symlink_to(ROOT / "pipelines")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    python = blocks("python")[1] + "\nprint(result.to_pandas().to_string()); print(result.report.line)"
    done = subprocess.run(
        [sys.executable, "-c", python], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "KEDAI RUNCIT SERI MAJU" in done.stdout
    assert re.search(r"\d ok, \d quarantined.*, 5 requests, [\d,]+ tokens, 0 retries\n$", done.stdout)
    command = blocks("sh")[0].split()
    assert "extract" == command[0]
    again = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert again.returncode in (0, 3)
    assert ", 0 requests, " in again.stdout


def test_every_file_that_is_linked_is_there() -> None:
    """No dead links."""
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert link.startswith("http") or (ROOT / link).exists(), link
