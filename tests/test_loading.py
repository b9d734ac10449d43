"""Names on the command line find what they name, or say what there is."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from extract.errors import ConfigError
from extract.loading import load_model, load_pipeline

MODULE = """
from pydantic import BaseModel
from extract import Pipeline
class Thing(BaseModel):
    name: "Name"
class Name(BaseModel):
    first: str
pipeline = Pipeline(name="p", schema=Thing, prompt="{{ text }}")
other = Pipeline(name="other", schema=Thing, prompt="{{ text }}")
number = 7
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a package and single files; what they load is forgotten afterwards."""
    before = dict(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/things.py").write_text(MODULE)
    (tmp_path / "alone.py").write_text("from pydantic import BaseModel\nclass Only(BaseModel):\n    x: int\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "lacking.py").write_text("import nothing_of_this_name\n")
    yield tmp_path
    for name in set(sys.modules) - set(before):
        del sys.modules[name]


@pytest.mark.parametrize("name", ["flows.things", "flows/things.py", "flows.things:pipeline", "./flows/things.py"])
def test_a_pipeline_is_found_by_module_and_by_file(name: str) -> None:
    assert "p" == load_pipeline(name).name


def test_a_pipeline_is_found_by_an_absolute_path_from_anywhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert "other" == load_pipeline(f"{here}/flows/things.py:other").name


def test_module_and_file_are_one(here: Path) -> None:
    """A file below the current folder is not loaded twice."""
    assert load_model("flows.things:Thing") is load_model("flows/things.py:Thing")


def test_a_model_is_found_by_name_or_as_the_only_one() -> None:
    assert "Name" == load_model("flows/things.py:Name").__name__
    assert "Only" == load_model("alone.py").__name__ == load_model("alone").__name__


def test_a_file_does_not_take_the_place_of_a_module_of_its_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "json.py").write_text("from pydantic import BaseModel\nclass Only(BaseModel):\n    x: int\n")
    load_model("json.py")
    assert json is sys.modules["json"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flows.nothing", "there is no module 'flows.nothing'"),
        ("nothing", "there is no module 'nothing'"),
        ("flows/nothing.py", "there is no file flows/nothing.py"),
        ("flows", "has no 'pipeline'"),
        ("flows.things:nothing", "has no 'nothing' .it has: Thing, Name, pipeline, other, number"),
        ("flows.things:number", "number is a int, not a Pipeline"),
        ("lacking", "lacking cannot be imported: No module named 'nothing_of_this_name'"),
        ("lacking.py", "lacking.py cannot be imported: No module named 'nothing_of_this_name'"),
        ("flows/things", "no file"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_pipeline(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flows/things.py", "2 models .Thing, Name.*say which"),
        ("empty.py", "0 models .none"),
        ("flows/things.py:number", "not a Pydantic model, another type"),
    ],
)
def test_a_model_that_is_not_clear_is_asked_for(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_model(name)


def test_a_file_that_is_no_python_is_refused(here: Path) -> None:
    (here / "a-b").mkdir()
    (here / "a-b/data.csv").touch()
    with pytest.raises(ConfigError, match="no Python file"):
        load_pipeline("a-b/data.csv")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("\n1/0\n", "broken.py, line 2: ZeroDivisionError: division by zero"),
        ("x = (\n", "broken.py, line 1: '(' was never closed"),
        ("from extract import Limits\nLimits(concurrency=0)\n", "Limits.concurrency"),
    ],
)
def test_an_error_in_the_users_module_is_shown_with_its_place(here: Path, code: str, message: str) -> None:
    """File, line and what was raised; what we refuse ourselves says it in its own words."""
    (here / "broken.py").write_text(code)
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_pipeline("broken.py")
