"""Schemas that others wrote: real configuration files, the JSON Schema test suite, the vendors' own examples."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support import SHARED

from extract import compile_schema
from extract.errors import SchemaError
from extract.parse import parse_json
from extract.schema import CompiledSchema
from extract.schema.profiles import PROFILES
from extract.verdict import Verdict
from schema.test_random_models import against_meta_schemas, json_text, same, silent_losses, standard

VECTORS = SHARED / "vectors"
DOCS = Path(__file__).parents[2] / "docs"
SECONDS = 1.0 if sys.gettrace() is None else 4.0  # of CPU; measuring coverage takes its own

shared = pytest.mark.skipif(not VECTORS.exists(), reason="the shared vectors are not beside this checkout")
profiles = pytest.mark.parametrize("profile", PROFILES)


@cache
def store() -> list[dict[str, Any]]:
    """The SchemaStore sample: name, schema, valid, invalid."""
    text = (VECTORS / "json_schema/schemastore/schemas.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


@cache
def suite() -> list[dict[str, Any]]:
    """The groups of the test suite: description, schema, tests."""
    files = sorted((VECTORS / "json_schema/test_suite/tests/draft2020-12").glob("*.json"))
    return [group for file in files for group in json.loads(file.read_text("utf-8"))]


@cache
def examples() -> list[dict[str, Any]]:
    """The example schemas of the vendors' profiles: name, schema, valid."""
    files = sorted((VECTORS / "gemini_profile").glob("*_cases.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def compiled(schema: Any, profile: Any, unroll: int = 0) -> CompiledSchema | SchemaError:
    """What becomes of a schema, in time, and with the schema itself left alone."""
    before = copy.deepcopy(schema)
    start = time.process_time()
    found: CompiledSchema | SchemaError
    try:
        found = compile_schema(schema, profile, unroll=unroll)
    except SchemaError as error:
        found = error
    assert SECONDS >= time.process_time() - start
    assert before == schema
    return found


def unhelpful(error: SchemaError, profile: str) -> Iterator[str]:
    """What a refusal does not say: where, for which profile, what to do."""
    if not error.path.startswith("$"):
        yield f"path {error.path!r}: {error}"
    if not error.hint:
        yield f"no hint: {error}"
    if profile not in str(error):
        yield f"no profile: {error}"


@shared
@pytest.mark.shared
@profiles
@pytest.mark.parametrize("number", range(60))
def test_a_schema_of_the_store(number: int, profile: Any) -> None:
    """Compiles or is refused with a reason; good instances go over the wire and back, bad ones are rejected here."""
    case = store()[number]
    found = compiled(case["schema"], profile)
    judge = Verdict(case["schema"])
    assert [] == [bad["file"] for bad in case["invalid"] if judge.accepts(bad["instance"])]
    assert [] == [good["file"] for good in case["valid"] if not judge.accepts(good["instance"])]
    if isinstance(found, SchemaError):
        assert [] == list(unhelpful(found, profile))
        return
    assert [] == list(silent_losses(found))
    assert [] == list(against_meta_schemas(found))
    accepts = full(found)
    assert [] == [bad["file"] for bad in case["invalid"] if accepts(bad["instance"])]
    assert [] == [good["file"] for good in case["valid"] if not accepts(good["instance"])]
    for good in case["valid"]:
        check_way(found, good["instance"])


def full(found: CompiledSchema) -> Callable[[Any], bool]:
    """The verdict of the compiled full schema; what is no object stands in it as `value`."""
    judge = Verdict(found.json_schema)
    return lambda instance: judge.accepts({"value": instance} if found.wrapped else instance)


def check_way(found: CompiledSchema, instance: Any) -> None:
    """An instance as an answer obeys the wire schema and comes back, as it is and as JSON."""
    answer = found.answer_form(instance)
    issues = Verdict(standard(found.wire_schema)).issues(answer)
    assert [] == [f"{issue.path}: {issue.message[:200]}" for issue in issues]
    assert same(as_json(instance), as_json(found.restore(answer)))
    assert same(as_json(instance), as_json(found.restore(parse_json(json_text(answer)))))


def as_json(value: Any) -> Any:
    """The same JSON with all its numbers in one form: 1.0 is 1 there."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value if isinstance(value, bool | str) or value is None else Decimal(str(value)).normalize()


@shared
@pytest.mark.shared
@profiles
def test_the_schemas_of_the_test_suite(profile: Any) -> None:
    """Each compiles or is refused with a reason, in time; what a schema accepts comes back from the wire."""
    for group in suite():
        found = compiled(group["schema"], profile)
        if isinstance(found, SchemaError):
            assert [] == list(unhelpful(found, profile)), group["description"]
            continue
        assert [] == list(silent_losses(found)), group["description"]
        assert [] == list(against_meta_schemas(found)), group["description"]
        for test in group["tests"]:
            # where a schema names no type, the wire is of the type that its keywords speak of, and says so
            narrower = any(loss.keyword == "type" and loss.action == "rewritten" for loss in found.losses)
            with contextlib.suppress(*[ValueError] * narrower):
                if test["valid"]:
                    check_way(found, test["data"])


@shared
@pytest.mark.shared
@profiles
def test_the_examples_of_the_vendors(profile: Any) -> None:
    """Each compiles or is refused with a reason, in time; what is emitted fits the vendor's own description."""
    for case in examples():
        found = compiled(case["schema"], profile)
        if isinstance(found, SchemaError):
            assert [] == list(unhelpful(found, profile)), case["name"]
        else:
            assert [] == list(silent_losses(found)), case["name"]
            assert [] == list(against_meta_schemas(found)), case["name"]


@shared
@pytest.mark.shared
@pytest.mark.parametrize("profile", ["gemini", "openai"])
def test_an_example_that_fits_its_profile_compiles(profile: str) -> None:
    """What a vendor says is supported is not refused for that vendor; a recursion needs a depth."""
    for file in sorted((VECTORS / "gemini_profile").glob(f"{profile}_*_cases.jsonl")):
        cases = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        refused = {case["name"]: str(compiled(case["schema"], profile, unroll=1)) for case in cases if case["valid"]}
        assert {} == {name: text for name, text in refused.items() if text.startswith("$")}


# --- docs/schemas.md


def make_schemas() -> Any:
    spec = importlib.util.spec_from_file_location("make_schemas", DOCS / "make_schemas.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@shared
@pytest.mark.shared
def test_the_table_of_the_docs_is_current() -> None:
    """When this fails: python docs/make_schemas.py."""
    made = make_schemas()
    page = made.PAGE.read_text("utf-8")
    assert made.with_part(page, "store", made.store_table()) == page


def test_the_profiles_of_the_docs_are_current() -> None:
    """When this fails: python docs/make_schemas.py."""
    made = make_schemas()
    page = made.PAGE.read_text("utf-8")
    assert made.with_part(page, "profiles", made.profiles_table()) == page


def examples_of_the_page() -> list[tuple[str, str]]:
    """Python blocks of docs/schemas.md that are followed by what they print."""
    page = (DOCS / "schemas.md").read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```\n\n```(?:json|text)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_docs_print_what_stands_there() -> None:
    """Each builds on those before it; JSON is compared as JSON."""
    names: dict[str, Any] = {"__name__": "schemas_page"}
    shown = examples_of_the_page()
    assert len(shown) >= 8
    for source, expected in shown:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, "schemas.md", "exec", dont_inherit=True), names)
        assert readable(expected) == readable(printed.getvalue())


def readable(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()
