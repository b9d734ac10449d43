"""Runs in small shards whose tables are derived anew, as redrives, rows by hand and table repairs do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import extract
from extract.testing import ScriptedServer
from tests.support import parts


def run(
    server: ScriptedServer, pipeline: extract.Pipeline, source: Any, out: Path, options: Any = None
) -> extract.Result:
    return extract.run(pipeline, source, out=out, endpoint=server.endpoint(), **(options or {}))


def derived_anew(server: ScriptedServer, pipeline: extract.Pipeline, source: Any, out: Path) -> dict[str, bytes]:
    """The tables that a plain run makes of the journal alone."""
    copy = out.with_name(f"{out.name}-copy")
    shutil.copytree(out, copy)
    (copy / "manifest.json").unlink()
    before = len(server.calls)
    run(server, pipeline, source, copy)
    assert before == len(server.calls)
    found = parts(copy)
    shutil.rmtree(copy)
    return found
