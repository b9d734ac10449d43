"""`df.extract`: registered in whatever order pandas and extract are imported; its defaults; what a notebook shows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel

from extract import Limits, Model, Result, RunStopped, progress, run
from extract.report import Tally
from extract.testing import ScriptedServer
from tests.support import NO_WAIT, Item, item, pipeline

PROMPT = "{{ text }}"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def frame(count: int = 3) -> pd.DataFrame:
    numbers = range(1, count + 1)
    return pd.DataFrame({"id": [f"k{n}" for n in numbers], "text": [f"item {n}" for n in numbers], "colour": "red"})


def said(*arguments: str) -> tuple[str, str]:
    """What a Python of its own prints."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "imports",
    ["import pandas, extract", "import extract, pandas", "import pandas.core.frame, extract.config; import pandas"],
)
def test_it_is_registered_whichever_is_imported_first(imports: str) -> None:
    code = f"{imports}\nimport pandas\nprint(type(pandas.DataFrame().extract).__name__)"
    assert ("ExtractAccessor\n", "") == said("-W", "error", "-c", code)


def test_neither_import_pulls_in_the_other() -> None:
    """`import extract` alone stays fast."""
    code = "import extract, sys; print([name for name in ('pandas', 'pyarrow', 'pydantic') if name in sys.modules])"
    assert ("[]\n", "") == said("-c", code)


def test_rows_become_a_result() -> None:
    with ScriptedServer(item) as server:
        result = frame().extract(Item, PROMPT, key="id", endpoint=server.endpoint())
    assert isinstance(result, Result)
    assert result.ok
    table = result.to_pandas()
    assert [1, 2, 3] == table["number"].tolist()
    assert 0 == len(result.quarantine)
    assert "3 ok" in result._repr_html_()


def test_a_row_without_a_good_answer_is_in_the_quarantine() -> None:
    def script(call: Any) -> Any:
        return "no JSON" if call.prompt == "item 2" else item(call)

    with ScriptedServer(script) as server:
        result = frame().extract(Item, PROMPT, key="id", endpoint=server.endpoint(), retry=NO_WAIT)
    assert not result.ok
    assert [("k2", "parse.json", "no JSON")] == [
        (row["key"], row["reason"], row["raw_answer"]) for row in result.quarantine.to_pylist()
    ]
    assert {"parse.json": 1} == result.report.reasons


def test_all_columns_that_are_no_fields_pass_through_by_default() -> None:
    """A column with the name of a field gives way to the field."""
    rows = frame().assign(name="its own")
    with ScriptedServer(item) as server:
        result = rows.extract(Item, PROMPT, key="id", endpoint=server.endpoint())
    names = [name for name in result.table.column_names if not name.startswith("_")]
    assert ["id", "text", "colour", "name", "number"] == names
    assert "item 1" == result.table["name"][0].as_py()
    assert "red" == result.table["colour"][0].as_py()


@pytest.mark.parametrize(("columns", "expected"), [(["colour"], ["id", "colour"]), ([], ["id"])])
def test_columns_can_be_chosen(columns: list[str], expected: list[str]) -> None:
    with ScriptedServer(item) as server:
        result = frame().extract(Item, PROMPT, key="id", columns=columns, endpoint=server.endpoint())
    assert [*expected, "name", "number"] == [name for name in result.table.column_names if not name.startswith("_")]


def test_without_a_key_rows_are_numbered_from_1() -> None:
    rows = frame().set_index("id")
    with ScriptedServer(item) as server:
        result = rows.extract(Item, PROMPT, endpoint=server.endpoint())
    assert [1, 2, 3] == result.table.column(0).to_pylist()


class LineItem(BaseModel):
    number: int


def test_the_run_directory_is_named_for_the_schema(tmp_path: Path) -> None:
    with ScriptedServer(lambda call: {"number": 1}) as server:
        result = frame().extract(LineItem, PROMPT, key="id", endpoint=server.endpoint())
    assert (Path("out") / "line_item", True) == (result.path, (tmp_path / "out" / "line_item" / "table").is_dir())


def test_name_and_folder_can_be_given(tmp_path: Path) -> None:
    with ScriptedServer(item) as server:
        named = frame().extract(Item, PROMPT, key="id", name="mine", endpoint=server.endpoint())
        placed = frame().extract(Item, PROMPT, key="id", out=tmp_path / "there", endpoint=server.endpoint())
    assert (Path("out") / "mine", tmp_path / "there") == (named.path, placed.path)


def test_the_same_call_asks_nothing_and_new_rows_are_asked_alone() -> None:
    with ScriptedServer(item) as server:
        settings = {"key": "id", "endpoint": server.endpoint()}
        frame(3).extract(Item, PROMPT, **settings)
        again = frame(3).extract(Item, PROMPT, **settings)
        assert (3, 0) == (len(server.calls), again.report.requests)
        more = frame(5).extract(Item, PROMPT, **settings)
    assert (5, 2) == (more.report.ok, more.report.requests)
    assert {"item 4", "item 5"} == {call.prompt for call in server.calls[3:]}


def test_settings_checks_and_options_are_handed_on() -> None:
    def odd(value: Any, record: Any) -> str | None:
        return None if value.number % 2 else f"{record['id']} is even"

    with ScriptedServer(item) as server:
        result = frame(5).extract(
            *(Item, PROMPT),
            **{"key": "id", "checks": [odd], "endpoint": server.endpoint(), "retry": NO_WAIT},
            **{"model": Model(name="m", max_tokens=7), "limits": Limits(concurrency=1), "limit": 3, "max_failed": 1},
        )
    assert ({"semantic.odd": 1}, 2, True) == (result.report.reasons, result.report.ok, result.ok)
    assert {("m", 7)} == {(call.body["model"], call.body["max_tokens"]) for call in server.calls}
    assert 1 == server.most_in_flight


def test_it_works_inside_a_running_loop() -> None:
    """As in a notebook's cell: the call waits, though a loop runs in this very thread."""

    async def cell(server: ScriptedServer) -> Result:
        return frame().extract(Item, PROMPT, key="id", endpoint=server.endpoint())

    with ScriptedServer(item) as server:
        assert 3 == asyncio.run(cell(server)).report.ok


class Kernel:
    """IPython as it looks from inside a Jupyter kernel, or a terminal."""

    def __init__(self, in_kernel: bool) -> None:
        self.config = {"IPKernelApp": {}} if in_kernel else {}


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tqdm bars that were made, in a Jupyter kernel."""
    made: list[Any] = []

    class Bar:
        def __init__(self, total: int, initial: int, unit: str) -> None:
            self.total, self.n, self.closed, self.text = total, initial, False, ""
            made.append(self)

        def set_postfix_str(self, text: str, refresh: bool) -> None:
            self.text = text

        def update(self, step: int) -> None:
            self.n += step

        def close(self) -> None:
            self.closed = True

    auto = types.ModuleType("tqdm.auto")
    auto.tqdm = Bar  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    in_ipython(monkeypatch, in_kernel=True)
    return made


def in_ipython(monkeypatch: pytest.MonkeyPatch, *, in_kernel: bool) -> None:
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: Kernel(in_kernel)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)


def test_a_notebook_shows_a_bar_unasked(bars: list[Any]) -> None:
    with ScriptedServer(item) as server:
        frame().extract(Item, PROMPT, key="id", endpoint=server.endpoint())
    assert [(3, 3, True, "3 ok, 0 quarantined")] == [(bar.total, bar.n, bar.closed, bar.text) for bar in bars]


def test_the_bar_is_closed_when_the_run_stops(bars: list[Any]) -> None:
    limits = Limits(max_requests=2, concurrency=1)
    with ScriptedServer(item) as server, pytest.raises(RunStopped, match="cap of this run"):
        frame().extract(Item, PROMPT, key="id", endpoint=server.endpoint(), limits=limits)
    assert [True] == [bar.closed for bar in bars]


def test_a_watcher_of_ones_own_takes_the_place_of_the_bar(bars: list[Any]) -> None:
    seen: list[int] = []

    def watch(tally: Tally) -> None:
        seen.append(tally.done)

    with ScriptedServer(item) as server:
        run(pipeline(), frame(), out="own", endpoint=server.endpoint(), on_progress=watch)
    assert ([], 3) == (bars, max(seen))


def test_elsewhere_nothing_is_shown(bars: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in IPython on a terminal, nor in a kernel without tqdm."""
    with ScriptedServer(item) as server:
        with monkeypatch.context() as patch:
            in_ipython(patch, in_kernel=False)
            run(pipeline(), frame(), out="terminal", endpoint=server.endpoint())
        monkeypatch.setattr(progress, "find_spec", lambda name: None)
        run(pipeline(), frame(), out="bare", endpoint=server.endpoint())
    assert [] == bars
