"""The values that cross stages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from extract.records import Issue, Outcome, Record, field_of, path_to, steps_of


def test_a_record_is_a_mapping_of_its_cells() -> None:
    """Columns are read as from a dict."""
    record = Record(key="k", position=0, cells={"a": 1, "b": None})
    assert (dict(record), len(record), record["a"], record.get("z")) == ({"a": 1, "b": None}, 2, 1, None)


def test_an_outcome_without_issues_is_ok() -> None:
    """`ok` is the absence of issues."""
    record = Record(key=1, position=0, cells={})
    assert Outcome(record).ok
    assert not Outcome(record, issues=(Issue("model", "c", "$", "m"),)).ok


@given(name=st.text(min_size=1))
def test_paths_are_written_as_jsonschema_writes_them(name: str) -> None:
    """One spelling of a path, whichever stage found the issue."""
    schema = {"properties": {name: {"items": {"type": "null"}}}}
    (error,) = Draft202012Validator(schema).iter_errors({name: [None, 1]})
    assert error.json_path == path_to(path_to("$", name), 1) or "\n" in name
    assert json.dumps(path_to("$", name))


@given(name=st.text(), number=st.integers(0, 999_999_999))
def test_a_path_is_read_as_it_was_written(name: str, number: int) -> None:
    """Any name comes back from its path, with quotes, backslashes and line ends in it, and names its field."""
    path = path_to(path_to(path_to("$", name), number), name)
    assert [name, number, name] == steps_of(path)
    assert name == field_of(Issue("semantic", "c", path, "m"))


@pytest.mark.parametrize("path", ["", "total", "$total", "$.a[x]", "$.a[-1]", "$['a", "$.a b", "$.lines[*].price"])
def test_what_is_no_path_has_no_steps(path: str) -> None:
    """A path that a check made up is told from one of a value."""
    assert steps_of(path) is None


def test_the_record_as_a_whole_is_no_field() -> None:
    """`$` has no steps; a field that is missing is named by its message."""
    assert [] == steps_of("$")
    assert field_of(Issue("model", "model.value_error", "$", "m")) is None
    assert field_of(Issue("schema", "schema.minItems", "$[0].a", "m")) is None
    missing = Issue("schema", "schema.required", "$", "'Total due' is a required property")
    assert "Total due" == field_of(missing)
