"""A pipeline: what is wrong with it is told when it is made, or before the first request."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import pyarrow as pa
import pytest
from pydantic import BaseModel

from extract import Endpoint, Issue, Limits, Model, Pipeline, Prompt, Retry, Samples, Verbatim, checks, tool_of
from extract.checks import tables
from extract.errors import ConfigError, PromptError
from extract.pipeline import LOCAL_CONCURRENCY, LOCAL_MODEL, Prepared, default_out
from extract.preparing import prepare
from extract.sources import open_source
from tests.support import Item, pipeline

TABLE = pa.table({"id": ["a"], "text": ["x"], "place": ["y"]})
REMOTE = Endpoint(base_url="https://example.invalid/v1")


def prepared(endpoint: Endpoint = REMOTE, **changes: Any) -> Prepared:
    given = pipeline(**changes)
    return prepare(given, open_source(TABLE, given.key), endpoint)


def described(name: str) -> str:
    """Find a name."""
    return name


def strict(value: Any, record: Any) -> list[Issue]:
    return [Issue("semantic", "x", "$", "no")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "a pipeline's name"),
        ({"name": "../x"}, "a pipeline's name"),
        ({"name": "a b"}, "a pipeline's name"),
        ({"format": "xlsx"}, "unknown format 'xlsx'"),
        ({"shard_rows": 0}, "shard_rows is 0"),
        ({"keep_reasoning": 1}, "keep_reasoning is 1"),
        ({"tools": strict}, r"not a list .a list of functions: tools=\[strict\]"),
        ({"tools": tool_of(described)}, r"not a list .a list of functions: tools=\[described\]"),
        ({"tools": "lookup"}, "tools is 'lookup', not a list"),
        ({"tools": ["x"]}, "'x' is no tool .a typed function"),
        ({"tools": [Item]}, "Item'> is no tool"),
    ],
)
def test_an_impossible_pipeline_cannot_be_made(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pipeline(**changes)


def test_a_template_alone_is_a_prompt() -> None:
    assert Prompt(user="{{ text }}") == pipeline().prompt


class Nested(BaseModel):
    """A thing with parts."""

    id: str
    parts: list[Item]


class Bound(BaseModel):
    """A thing that looks in a column."""

    name: Annotated[str, Verbatim("line", column="nothing")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "{{ texd }}"}, "did you mean 'text'"),
        ({"prompt": "{{ text"}, "no valid template"),
        ({"key": "nr"}, "no column 'nr' for the key"),
        ({"columns": ["plaze"]}, "no column 'plaze' to pass through .did you mean 'place'"),
        ({"columns": ["zzz"]}, "there are: id, text, place"),
        ({"schema": Nested}, "'id' is also a column of the source"),
        ({"schema": Bound}, "Verbatim looks in a column 'nothing'"),
        ({"checks": ["x"]}, "a check is a function"),
        ({"checks": [checks.verbatim("nmae")]}, "'nmae' that the schema has not .did you mean 'name'"),
        ({"checks": [checks.one_of_column("name", "nothing")]}, "reads a column 'nothing'"),
        ({"checks": [tables.unique("name")]}, r"unique\(name\) is a check of the table .it belongs in table_checks"),
        ({"table_checks": [tables.unique("id", repair=True)]}, r"unique\(id\) has repair=True, and id is a column"),
        ({"table_checks": [tables.foreign_key("id", "name", repair=True)]}, "id is a column of the source"),
        (
            {"columns": ["place"], "table_checks": [tables.unique("id", "place", repair=True)]},
            "id, place are columns of the source, which no model is asked",
        ),
        ({"limits": Limits(max_cost_usd=1)}, "needs the model's prices"),
    ],
)
def test_what_does_not_fit_is_told_before_any_request(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, PromptError), match=message):
        prepared(**changes)


def test_a_table_check_with_repair_may_look_at_columns_beside_fields() -> None:
    """The fields are asked again; without repair it may look at columns alone."""
    assert prepared(table_checks=[tables.unique("id", "name", repair=True), tables.unique("id")])
    assert prepared(table_checks=[tables.foreign_key("name", "id", repair=True)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": Samples(n=3, escalate_below=0.6)}, r"name a second model in models=\["),
        ({"samples": Samples(n=3, escalate_below=0.6), "models": [Model(name="a")]}, "name a second model"),
        ({"model": Model(name="a"), "models": [Model(name="b"), Model(name="c")]}, "model and models are both given"),
        ({"samples": 3}, r"samples is 3 .samples=Samples\(n=3\)"),
        ({"repair": True}, r"repair is True .repair=Repair\(max_repairs=2\)"),
        ({"evidence": "yes"}, "evidence is 'yes' .True, or evidence=Evidence"),
        ({"limits": {"concurrency": 3}}, r"limits is .* .limits=Limits\(concurrency=8\)"),
        ({"model": "gemini"}, "model is 'gemini' .model=Model"),
        ({"endpoint": "https://me:secret@example.org"}, r"endpoint is str .endpoint=Endpoint"),
        ({"checks": checks.verbatim("name")}, "checks is the check semantic.verbatim of name, not a list"),
        ({"checks": "name"}, "checks is 'name', not a list"),
        ({"table_checks": tables.unique("name")}, r"table_checks is the check unique\(name\), not a list"),
        (
            {"table_checks": [checks.between("name", 1, 2)]},
            r"the check semantic.between of name is no table check .* belongs in checks=",
        ),
    ],
)
def test_what_is_no_setting_is_told_with_what_to_write(changes: dict[str, Any], message: str) -> None:
    """And no object is dumped."""
    with pytest.raises(ConfigError, match=message) as error:
        pipeline(**changes)
    assert " at 0x" not in str(error.value)
    assert "secret" not in str(error.value)


def test_a_reserved_field_name_is_refused() -> None:
    """The table has columns of its own about the call."""
    from pydantic import create_model

    kind = create_model("Kind", **{"row": (str, ...)})  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="'row' is also a column"):
        prepared(schema=kind, key=None)


def test_checks_reach_into_lists_and_nested_models() -> None:
    assert prepared(schema=Nested, key=None, columns=["text"], checks=[checks.verbatim("parts.name")])
    with pytest.raises(ConfigError, match=r"'parts.nam' that the schema has not .did you mean 'parts.name'"):
        prepared(schema=Nested, key=None, checks=[checks.verbatim("parts.nam")])


def test_the_local_model_gets_few_calls_at_a_time() -> None:
    """Fewer than the pipeline says, never more; and it has a name of its own."""
    assert LOCAL_CONCURRENCY == prepared(Endpoint.local(), limits=Limits(concurrency=50)).limits.concurrency
    assert 2 == prepared(Endpoint.local(), limits=Limits(concurrency=2)).limits.concurrency
    assert 50 == prepared(limits=Limits(concurrency=50)).limits.concurrency
    assert LOCAL_MODEL == prepared(Endpoint.local()).model_name
    assert "small" == prepared(Endpoint.local("/models/small.gguf")).model_name


def test_the_dialect_says_where_the_model_goes() -> None:
    kie = prepared(Endpoint(base_url="https://example.invalid", dialect="kie"), model=Model(name="m"))
    assert (False, "A", "m") == (kie.build.dialect.model_in_body, kie.build.dialect.form, kie.model_name)


def lenient(value: Any, record: Any) -> list[Issue]:
    return []


class Callable_:
    def __call__(self, value: Any, record: Any) -> list[Issue]:
        return []


CHANGES: list[dict[str, Any]] = [
    {},
    {"key": None},
    {"columns": ["text"]},
    {"format": "csv"},
    {"shard_rows": 7},
    {"share_answers": False},
    {"neutralise_formulas": False},
    {"prompt": "Say {{ text }}"},
    {"prompt": Prompt(user="{{ text }}", system="s")},
    {"prompt": Prompt(user="{{ text }}", examples=[{"record": {"text": "x"}, "answer": {"name": "x", "number": 1}}])},
    {"model": Model(name="other")},
    {"model": Model(max_tokens=7)},
    {"keep_reasoning": True},
    {"tools": [described]},
    {"tools": [tool_of(described, name="other")]},
    {"checks": [lenient]},
    {"checks": [strict]},
    {"checks": [checks.verbatim("name")]},
    {"checks": [checks.verbatim("number")]},
    {"checks": [Callable_()]},
    {"checks": [partial(lenient, record=None)]},
    {"checks": [eval("lambda value, record: []")]},
    {"checks": [eval("lambda value, record: [1]")]},
]


def test_whatever_can_change_a_row_changes_the_fingerprint() -> None:
    found = [prepared(**changes).fingerprint for changes in CHANGES]
    assert len(CHANGES) == len(set(found))
    assert found == [prepared(**changes).fingerprint for changes in CHANGES]


def test_what_cannot_change_a_row_does_not() -> None:
    """How hard the endpoint is driven, and where it is."""
    same = [{}, {"limits": Limits(concurrency=3)}, {"retry": Retry(max_attempts=2)}, {"name": "other"}]
    assert 1 == len({prepared(**changes).fingerprint for changes in same})
    assert prepared().fingerprint == prepared(Endpoint(base_url="https://other.invalid")).fingerprint


def test_settings_can_be_changed_by_name() -> None:
    """As texts, from the command line; "none" empties one; the rest stays."""
    changed = pipeline(model=Model(name="m", seed=7)).with_settings(
        {"model.max_tokens": "9", "model.seed": "none", "limits.concurrency": "3", "retry.max_attempts": "2"}
    )
    assert Model(name="m", seed=None, max_tokens=9) == changed.model
    assert (3, 20.0) == (changed.limits.concurrency, changed.limits.timeout)
    assert 2 == changed.retry.max_attempts


@pytest.mark.parametrize("name", ["name", "model", "model.", "endpoint.api_key", "limits.nothing"])
def test_other_names_cannot_be_set(name: str) -> None:
    with pytest.raises(ConfigError):
        pipeline().with_settings({name: "1"})


def test_the_run_directory_is_named_for_the_pipeline() -> None:
    assert "out/items" == str(default_out(pipeline()))
    assert isinstance(pipeline(), Pipeline)


def test_what_the_dialect_writes_is_part_of_the_fingerprint() -> None:
    """The same form, but another body: its requests have no answers yet, so consent is asked for."""
    table = pa.table({"text": ["t"]})
    kinds = [Endpoint(dialect=dialect, form="A", base_url="http://127.0.0.1/v1") for dialect in ("openai", "kie")]
    run = Pipeline(name="items", schema=Item, prompt="{{ text }}")
    assert 2 == len({prepare(run, open_source(table, None), endpoint).fingerprint for endpoint in kinds})
