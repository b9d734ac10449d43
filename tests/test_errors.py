"""The exception tree: what each error carries and what it means for the run."""

from __future__ import annotations

import inspect

import pytest

from extract import errors
from extract.errors import APIError, ErrorClass, ExtractError, InputError, SchemaError


def test_every_exception_is_in_the_tree_of_the_module_and_has_a_sentence() -> None:
    """The tree at the top of the module names every class."""
    tree = errors.__doc__ or ""
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, Exception):
            assert issubclass(kind, ExtractError)
            assert name in tree
            assert kind.__doc__


def test_a_hint_follows_the_message() -> None:
    """`str` gives the message, with the hint in brackets when there is one."""
    assert str(ExtractError("it broke")) == "it broke"
    assert str(ExtractError("it broke", hint="mend it")) == "it broke (mend it)"


def test_a_schema_error_names_the_field() -> None:
    """The path stands before the message and can be read by programs."""
    error = SchemaError("type dict", path="lines.amount")
    assert str(error) == "lines.amount: type dict"
    assert error.path == "lines.amount"
    assert str(SchemaError("no model")) == "no model"


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({}, "bad"),
        ({"file": "a.csv"}, "a.csv: bad"),
        ({"file": "a.csv", "line": 3, "column": "total"}, "a.csv, line 3, column 'total': bad"),
        ({"line": 3, "column": 2, "value": "x", "hint": "h"}, "line 3, column 2: bad (h)"),
    ],
)
def test_an_input_error_names_the_place(place: dict[str, object], text: str) -> None:
    """File, line and column are in the message and in attributes."""
    error = InputError("bad", **place)  # type: ignore[arg-type]
    assert str(error) == text
    assert (error.file, error.line, error.column, error.value) == tuple(
        place.get(name) for name in ("file", "line", "column", "value")
    )


@pytest.mark.parametrize("kind", list(ErrorClass))
def test_the_class_of_an_api_error_says_what_to_do(kind: ErrorClass) -> None:
    """Rate and transient errors are tried again; auth, balance and config stop the run; the rest is one record's."""
    error = APIError("x", kind=kind)
    assert error.retryable == (kind in {"rate", "transient"})
    assert error.stops_run == (kind in {"auth", "balance", "config"})


def test_the_classes_are_those_of_the_protocol() -> None:
    """Its eight, and the schema that is too complex."""
    classes = "auth balance config request policy rate transient output schema_too_complex"
    assert set(classes.split()) == {str(kind) for kind in ErrorClass}


def test_an_empty_account_or_a_wrong_key_is_no_records_fault() -> None:
    """They stop the run and are not tried again, so nothing is quarantined for them; a bad answer does neither."""
    for kind in (ErrorClass.AUTH, ErrorClass.BALANCE):
        assert (True, False) == (APIError("x", kind=kind).stops_run, APIError("x", kind=kind).retryable)
    bad = errors.OutputError("x", kind=ErrorClass.OUTPUT)
    assert (False, False) == (bad.stops_run, bad.retryable)


def test_an_api_error_carries_what_the_server_said() -> None:
    """Status, code, request id, wait, hint and raw body are kept."""
    error = APIError(
        "no", kind=ErrorClass.RATE, status=429, code="slow", request_id="r1", retry_after=2.5, hint="wait", body=b"{}"
    )
    assert (429, "slow", "r1", 2.5, "wait", b"{}") == (
        error.status,
        error.code,
        error.request_id,
        error.retry_after,
        error.hint,
        error.body,
    )
