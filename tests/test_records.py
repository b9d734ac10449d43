"""The values that cross stages."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from extract.records import Issue, Outcome, Record, path_to


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
