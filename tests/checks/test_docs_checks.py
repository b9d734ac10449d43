"""docs/checks.md: every check is there with its code, its severity and its rule for null, and every example runs."""

from __future__ import annotations

import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from extract import checks
from extract.checks import tables

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "checks.md").read_text("utf-8")
READY = [
    name
    for name in checks.__all__
    if inspect.isfunction(getattr(checks, name)) and name not in ("run_check", "name_of")
]
OF_TABLES = ["unique", "foreign_key", "total", "shift", "pandera"]


def test_the_examples_print_what_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one session, from the top of the page to its end."""
    for library in ("pint", "py3langid"):
        import_module(library)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shops.csv").write_text("name\nACME Limited\nBeta\n")
    blocks = re.findall(r"^```pycon\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "checks.md", "checks.md", 0)
    told: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=told.append)
    assert "" == "".join(told)
    assert len(test.examples) > 40
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "checks.md", "exec"), {"__name__": "checks_page"})


@pytest.mark.parametrize("name", READY)
def test_every_check_has_a_row_an_example_and_its_options(name: str) -> None:
    """With the code under which its findings are filed."""
    (row,) = re.findall(rf"^\| `{name}\((.*?)\)` \| `semantic\.{name}` \| (.+?) \| .+ \|$", PAGE, re.MULTILINE)
    options = inspect.signature(getattr(checks, name)).parameters
    keywords = [each.name for each in options.values() if each.kind is each.KEYWORD_ONLY and each.name != "severity"]
    assert [] == [keyword for keyword in keywords if f"{keyword}=" not in row[0]]
    assert f"show(checks.{name}(" in PAGE
    default = "warn" if name == "language" else "repair"
    assert default == options["severity"].default


@pytest.mark.parametrize("name", OF_TABLES)
def test_every_table_check_has_a_row(name: str) -> None:
    """With its code and options; all are rejections unless told."""
    (row,) = re.findall(rf"^\| `tables\.{name}\((.*?)\)` \| `table\.{name}` \| .+ \|$", PAGE, re.MULTILINE)
    options = inspect.signature(getattr(tables, name)).parameters
    shared = ("severity", "name", "repair")
    keywords = [each.name for each in options.values() if each.kind is each.KEYWORD_ONLY and each.name not in shared]
    assert [] == [keyword for keyword in keywords if f"{keyword}=" not in row]
    assert ("reject", False) == (options["severity"].default, options["repair"].default)
