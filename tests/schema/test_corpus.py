"""Every model of the corpus, compiled for every profile: snapshots, meta-schemas, losses, and round trips.

`EXTRACT_SNAPSHOTS=write` rewrites the snapshots; `EXTRACT_EXAMPLES=20` makes 20 times as many instances.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from support import SHARED

from extract import compile_schema
from extract.parse import parse_json
from schema.instances import Strategy, exactly, instances
from schema.models import CASES

PROFILES = ("gemini", "page", "openai", "llamacpp", "full")
EXAMPLES = {"gemini": 15, "openai": 15}  # of an instance; 4 for other profiles
LONGER = int(os.environ.get("EXTRACT_EXAMPLES", "1"))
ACTIONS = {"checked locally", "moved to description", "rewritten", "refused"}
SNAPSHOTS = Path(__file__).parent / "snapshots"
META = SHARED / "vectors" / "gemini_profile"
META_SCHEMAS = {"gemini": ("gemini_202503", "gemini_202602"), "openai": ("openai_202602",)}

each_case = pytest.mark.parametrize("name", CASES)
each_profile = pytest.mark.parametrize("profile", PROFILES)


@cache
def compiled(name: str, profile: str) -> Any:
    case = CASES[name]
    return compile_schema(case.model, profile, **case.options)  # type: ignore[arg-type]


@cache
def drawn(name: str) -> Strategy:
    return instances(CASES[name].model, CASES[name].unroll)


def test_the_corpus_is_large() -> None:
    """Documents and odd corners."""
    assert len(CASES) >= 160


# snapshots


def test_no_snapshot_is_left_over() -> None:
    """Each is of a case."""
    assert {file.stem for file in SNAPSHOTS.iterdir()} <= set(CASES)


@each_case
def test_what_is_compiled_is_as_before(name: str) -> None:
    """Schemas, losses and columns of a case, in one file; a value that several profiles share stands once."""
    found = snapshot(name)
    file = SNAPSHOTS / f"{name}.json"
    if os.environ.get("EXTRACT_SNAPSHOTS") == "write":
        file.write_text(compact(found), encoding="utf-8")
    assert file.exists(), "no snapshot yet; write it with EXTRACT_SNAPSHOTS=write"
    difference = "\n".join(
        difflib.unified_diff(pretty(json.loads(file.read_text("utf-8"))), pretty(found), n=2, lineterm="")
    )
    assert not difference, f"{file.name} differs; if that is meant, EXTRACT_SNAPSHOTS=write\n{difference}"


def snapshot(name: str) -> dict[str, dict[str, Any]]:
    """What to look at → the profiles that share a value → the value."""
    schemas = {profile: compiled(name, profile) for profile in PROFILES}
    parts = {
        "json_schema": {profile: schema.json_schema for profile, schema in schemas.items()},
        "columns": {profile: columns(schema.arrow_schema) for profile, schema in schemas.items()},
        "wire_schema": {profile: schema.wire_schema for profile, schema in schemas.items()},
        "losses": {profile: [str(loss) for loss in schema.losses] for profile, schema in schemas.items()},
    }
    return {part: shared(values) for part, values in parts.items()}


def shared(values: dict[str, Any]) -> dict[str, Any]:
    profiles: dict[str, list[str]] = {}
    for profile, value in values.items():
        profiles.setdefault(json.dumps(value, default=str), []).append(profile)
    return {" ".join(names): json.loads(text) for text, names in profiles.items()}


def columns(schema: pa.Schema) -> list[str]:
    """Name, type, whether null may stand there, and the words that go with the column."""
    words = [(field.metadata or {}).get(b"description", b"").decode() for field in schema]
    kinds = [f"{field.name}: {field.type}{'' if field.nullable else ' not null'}" for field in schema]
    return [f"{kind} -- {said}" if said else kind for kind, said in zip(kinds, words, strict=True)]


def compact(found: dict[str, dict[str, Any]]) -> str:
    """A line for each value, so that a change shows in the history."""
    parts = []
    for part, values in found.items():
        lines = [f"  {json.dumps(names)}: {json.dumps(value, ensure_ascii=False)}" for names, value in values.items()]
        parts.append(f" {json.dumps(part)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def pretty(found: Any) -> list[str]:
    return json.dumps(found, indent=1, ensure_ascii=False).splitlines()


# what the endpoints document


@pytest.mark.shared
@each_case
@pytest.mark.parametrize("profile", META_SCHEMAS)
def test_a_wire_schema_passes_the_meta_schemas(name: str, profile: str) -> None:
    """Those that describe what the vendor documents, and what no meta-schema can say."""
    if not META.exists():
        pytest.skip("the vectors are not here")
    schema = compiled(name, profile).wire_schema
    for meta in META_SCHEMAS[profile]:
        errors = [f"{error.json_path}: {error.message[:200]}" for error in meta_schema(meta).iter_errors(schema)]
        assert not errors, meta
    for node in nodes(schema):
        if "properties" in node:
            names = list(node["properties"])
            assert set(node.get("required", ())) <= set(names)
            assert names == node.get("propertyOrdering", names)
            assert profile != "openai" or names == node["required"]


@cache
def meta_schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((META / f"{name}.json").read_text("utf-8")))


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema within a schema."""
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword in ("properties", "$defs", "patternProperties"):
        for child in schema.get(keyword, {}).values():
            yield from nodes(child)
    for keyword in ("items", "additionalProperties", "propertyNames"):
        yield from nodes(schema.get(keyword))
    for keyword in ("prefixItems", "anyOf", "oneOf", "allOf"):
        for child in schema.get(keyword, ()):
            yield from nodes(child)


# losses


@each_case
def test_a_loss_says_what_happens_and_where(name: str) -> None:
    """In one of four words, at a place of the full schema, which is a valid one; for every profile."""
    schemas = [compiled(name, profile) for profile in PROFILES]
    Draft202012Validator.check_schema(schemas[0].json_schema)
    for full, loss in [(found.json_schema, loss) for found in schemas for loss in found.losses]:
        assert loss.action in ACTIONS, loss
        path = steps(loss.path)
        if loss.keyword == "$ref":  # what is cut off is not in the full schema either, but its holder is
            path = path[:-1]
        assert places_of(full, path), f"no such place: {loss}"


def steps(path: str) -> list[str | int | None]:
    """The steps of a JSON path: names, positions, and None for any item."""
    assert path.startswith("$")
    found: list[str | int | None] = []
    rest = path[1:]
    while rest:
        if rest.startswith("[*]"):
            found, rest = [*found, None], rest[3:]
        elif rest.startswith("['"):
            name, rest = _quoted(rest[2:])
            found.append(name)
        elif rest.startswith("["):
            number, _, rest = rest[1:].partition("]")
            found.append(int(number))
        else:
            end = next((place for place, sign in enumerate(rest[1:], 1) if sign in ".["), len(rest))
            found, rest = [*found, rest[1:end]], rest[end:]
    return found


def _quoted(text: str) -> tuple[str, str]:
    """The name up to the quote that ends it, and what comes after its bracket."""
    name, place = "", 0
    while text[place] != "'":
        place += text[place] == "\\"
        name += text[place]
        place += 1
    return name, text[place + 2 :]


def places_of(schema: Any, path: list[str | int | None]) -> list[dict[str, Any]]:
    """The schemas at a path, in whichever branch of a union."""
    found = [*branches(schema, schema)]
    for step in path:
        found = [branch for node in found for child in children(node, step) for branch in branches(child, schema)]
    return found


def children(node: dict[str, Any], step: str | int | None) -> list[Any]:
    if isinstance(step, str):
        return [node["properties"][step]] if step in node.get("properties", {}) else []
    if isinstance(step, int):
        return list(node.get("prefixItems", [])[step : step + 1])
    return [node[keyword] for keyword in ("items", "additionalProperties") if isinstance(node.get(keyword), dict)]


def branches(node: Any, root: Any) -> Iterator[dict[str, Any]]:
    """A schema, or what it refers to, and its branches."""
    if "$ref" in node:
        node = {**root["$defs"][node["$ref"].rpartition("/")[2]], **{k: v for k, v in node.items() if k != "$ref"}}
    yield node
    for keyword in ("anyOf", "oneOf", "allOf"):
        for child in node.get(keyword, ()):
            yield from branches(child, root)


# round trips


@each_case
@each_profile
def test_an_instance_comes_back_unchanged(name: str, profile: str) -> None:
    """By the wire: form, JSON text, instance. By the table: row, Arrow, Parquet, instance. The types are the same too."""
    schema = compiled(name, profile)
    judge = wire_judge(schema.wire_schema)
    in_table = profile in EXAMPLES

    @settings(
        max_examples=EXAMPLES.get(profile, 4) * LONGER,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if LONGER > 1 else [])],
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn(name))
    def round_trip(instance: Any) -> None:
        by_the_wire(schema, judge, instance)
        if in_table:
            by_the_table(schema, instance)

    round_trip()


def by_the_wire(schema: Any, judge: Any, instance: Any) -> None:
    answer = schema.answer_form(instance)
    told = [f"{error.json_path}: {error.message[:200]}" for error in judge.iter_errors(exact(answer))]
    assert not told, "the wire schema refuses it"
    read = parse_json(json_text(answer))
    assert not [*judge.iter_errors(read)], "the wire schema refuses what was read from the text"
    restored = schema.restore(read)
    assert instance == restored
    assert exactly(instance) == exactly(restored)


def by_the_table(schema: Any, instance: Any) -> None:
    row = schema.row_of(instance)
    table = pa.Table.from_pylist([row], schema=schema.arrow_schema)
    table.validate()  # not in full: Arrow's own null struct with a dictionary inside would not pass
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    again = pq.read_table(pa.BufferReader(sink.getvalue()))
    assert schema.arrow_schema.equals(again.schema)
    assert exactly(instance, in_table=True) == exactly(schema.instance_of(again.to_pylist()[0]), in_table=True)


def json_text(value: Any) -> str:
    """JSON that keeps a Decimal's digits."""
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        return "{" + ",".join(f"{json.dumps(key)}:{json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(json_text(item) for item in value) + "]"
    if isinstance(value, Decimal):
        return str(value)
    assert value is None or type(value) in (bool, int, float, str), f"no JSON value: {value!r}"
    return json.dumps(value)


def wire_judge(schema: dict[str, Any]) -> Any:
    Draft202012Validator.check_schema(schema)
    return Exact(exact(schema))


def exact(node: Any) -> Any:
    """A schema or an answer with its fractions as Decimals, as they are read from a text."""
    if isinstance(node, dict):
        return {key: exact(value) for key, value in node.items()}
    if isinstance(node, list):
        return [exact(item) for item in node]
    return Decimal(repr(node)) if isinstance(node, float) else node


def is_integer(_: Any, value: Any) -> bool:
    whole = isinstance(value, Decimal) and value == value.to_integral_value()
    return whole or (isinstance(value, int) and not isinstance(value, bool))


def multiple_of(validator: Any, step: Any, value: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(value, "number") and Fraction(str(value)) % Fraction(step) != 0:
        yield ValidationError(f"{value} is not a multiple of {step}")


Exact: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"multipleOf": multiple_of},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", is_integer),
)
