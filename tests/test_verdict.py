"""The compiled validator decides as `jsonschema` does, and no schema, pattern or answer makes either hang."""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing.jsonschema
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema.validators import extend, validator_for
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # it has no types

from extract.errors import SchemaError
from extract.parse import parse_json
from extract.verdict import MAX_DEPTH, Verdict
from tests.support import SHARED

VECTORS = SHARED / "vectors" / "json_schema"
DRAFTS = {
    "04": "http://json-schema.org/draft-04/schema#",
    "06": "http://json-schema.org/draft-06/schema#",
    "07": "http://json-schema.org/draft-07/schema#",
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}


def vectors(*parts: str) -> Path:
    path = VECTORS.joinpath(*parts)
    if not path.exists():
        pytest.skip("the shared vectors are not beside this checkout")
    return path


def documents() -> dict[str, Any]:
    """The suite's other schemas by address."""
    folder = vectors("test_suite", "remotes")
    return {
        f"http://localhost:1234/{path.relative_to(folder)}": json.loads(path.read_text("utf-8"))
        for path in folder.rglob("*.json")
    }


def engines(verdict: Verdict, instance: Any) -> set[bool]:
    """The verdicts of the face, of jsonschema as we set it up, and (where it may decide) of the compiled validator."""
    found = {verdict.accepts(instance), not verdict.issues(instance), not verdict._errors(instance, 1)}
    return found if verdict.routed else found | {verdict._fast.is_valid(instance)}


@pytest.mark.shared
def test_the_suite_is_judged_as_jsonschema_judges_it() -> None:
    """All 1,299 tests; where jsonschema has no verdict (it cannot read the pattern), the suite's own holds."""
    others = documents()
    registry = REGISTRY.with_resources(
        (address, referencing.jsonschema.DRAFT202012.create_resource(document)) for address, document in others.items()
    )
    count, unread = 0, 0
    for path in sorted(vectors("test_suite", "tests").rglob("*.json")):
        for group in json.loads(path.read_text("utf-8")):
            verdict = Verdict(group["schema"], others)
            stock = jsonschema.Draft202012Validator(group["schema"], registry=registry)
            for test in group["tests"]:
                count += 1
                try:
                    expected = stock.is_valid(test["data"])
                except Exception:  # re.error, for \p{Letter}
                    unread, expected = unread + 1, test["valid"]
                for instance in (test["data"], parse_json(json.dumps(test["data"]))):
                    assert {expected} == engines(verdict, instance), (path.name, group["description"], test)
    assert (1299, 5) == (count, unread)


@pytest.mark.shared
def test_schemas_of_real_files_are_judged_as_jsonschema_judges_them() -> None:
    """Each in its draft; the issues have the keywords and places of jsonschema's errors."""
    count = 0
    for line in vectors("schemastore", "schemas.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        verdict = Verdict(case["schema"])
        stock = validator_for(case["schema"])(case["schema"])
        for kind in ("valid", "invalid"):
            for item in case[kind]:
                count += 1
                for instance in (item["instance"], parse_json(json.dumps(item["instance"]))):
                    assert {stock.is_valid(item["instance"])} == engines(verdict, instance), (
                        case["name"],
                        item["file"],
                    )
                    found = [(issue.code, issue.path) for issue in verdict.issues(instance, 1000)]
                    errors = stock.iter_errors(item["instance"])
                    assert sorted((f"schema.{error.validator}", error.json_path) for error in errors) == sorted(found)
    assert 357 == count


# ---- beyond the vectors

NAMES = st.sampled_from(["a", "b", "ab", "", "1", "é", "a\n"])
PATTERNS = st.sampled_from(
    ["^a", "a$", "^a$", r"^\d+$", r"^\w+$", r"\s", "[^a]", "^.$", "^(?!a)", "é", r"\bA", "^[a-c]{1,2}$"]
)
NUMBERS = st.sampled_from(
    [0, 1, 2, 3, -1, 1.0, 2.0, 0.1, 0.3, 0.7, -0.0, 1e2, 1.5, 10**20, 2**53 + 1, 2**64, 10**399, 1e300, 1e-300, 99.99]
) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.sampled_from(["a\n", "٣", "é", "ab", "A b", "12", "😀", "2024-01-02"]) | st.text(max_size=4)
INSTANCES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
SIZES = st.integers(0, 3)
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object", ["integer", "null"]]),
    "enum": st.lists(INSTANCES, min_size=1, max_size=3),
    "const": INSTANCES,
    "minimum": NUMBERS,
    "maximum": NUMBERS,
    "exclusiveMinimum": NUMBERS,
    "exclusiveMaximum": NUMBERS,
    "multipleOf": st.sampled_from([1, 2, 0.1, 0.01, 0.3, 1.0, 7, 1e-5, 10**20, 1e-300, 2.5]),
    "pattern": PATTERNS,
    **dict.fromkeys(["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"], SIZES),
    "uniqueItems": st.booleans(),
    "required": st.lists(NAMES, max_size=2, unique=True),
    "format": st.sampled_from(["date", "email", "regex", "uuid"]),
    "contentMediaType": st.just("application/json"),
}


def nodes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists, maps = st.lists(inner, min_size=1, max_size=3), st.dictionaries(NAMES, inner, max_size=2)
    words = {
        **dict.fromkeys(["properties", "dependentSchemas"], maps),
        "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
        **dict.fromkeys(
            ["additionalProperties", "items", "contains", "propertyNames", "not", "if", "then", "else"], inner
        ),
        **dict.fromkeys(["anyOf", "allOf", "oneOf", "prefixItems"], lists),
        **dict.fromkeys(["minContains", "maxContains"], SIZES),
        **dict.fromkeys(["unevaluatedItems", "unevaluatedProperties"], st.booleans() | inner),
        "$ref": st.just("#/$defs/x"),
    }
    return st.fixed_dictionaries({}, optional=words).map(lambda node: dict(list(node.items())[:3])) | inner


SCHEMAS = st.recursive(
    st.booleans() | st.dictionaries(st.sampled_from(list(LEAVES)), st.none(), max_size=3).flatmap(
        lambda chosen: st.fixed_dictionaries({word: LEAVES[word] for word in chosen})
    ),
    nodes,
    max_leaves=5,
)  # fmt: skip


def exact_multiple(validator: Any, step: Any, value: Any, _: Any) -> Any:
    """jsonschema's own divides floats: 0.3 is no multiple of 0.1 there."""
    exact = [Fraction(Decimal(repr(number)) if isinstance(number, float) else number) for number in (value, step)] if (
        validator.is_type(value, "number")
    ) else [Fraction(0), Fraction(1)]  # fmt: skip
    if exact[0] % exact[1] != 0:
        yield jsonschema.ValidationError("no multiple")


STOCK: Any = extend(jsonschema.Draft202012Validator, {"multipleOf": exact_multiple})  # type: ignore[no-untyped-call]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(schema=SCHEMAS, shared=SCHEMAS, instances=st.lists(INSTANCES, min_size=5, max_size=10))
def test_any_schema_is_judged_as_jsonschema_judges_it(schema: Any, shared: Any, instances: list[Any]) -> None:
    """Both engines and jsonschema as it comes agree, but for multiples of fractions, which are exact here."""
    whole = {**schema, "$defs": {"x": shared}} if isinstance(schema, dict) else schema
    try:
        verdict = Verdict(whole)
    except SchemaError:  # it refers to itself without end
        assume("$ref" in json.dumps(whole))
        return
    for instance in instances:
        try:
            expected = STOCK(whole).is_valid(instance)
        except (OverflowError, RecursionError):
            assume(False)
        for same in (instance, parse_json(json.dumps(instance))):
            assert {expected} == engines(verdict, same)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"multipleOf": 0.1}, ["0.3", "0.7", "1e40", "-0.0"], ["0.35", "1e-40"]),
        ({"multipleOf": 0.01}, ["1" * 40 + ".25"], ["1" * 40 + ".255"]),
        ({"type": "integer"}, ["1.0", "1e400", "9" * 400], ["1.5", "true", '"1"', "1e-400"]),
        ({"minimum": 0.1}, ["0.1", "1e400"], ["0.09999999999999999999999", "-1e400"]),
        ({"const": 1}, ["1", "1.0", "1e0"], ["true", "1.00000000000000000001"]),
        ({"enum": [0.1, [True]]}, ["0.10", "[true]"], ["0.1000000000000000000001", "[1]"]),
        ({"uniqueItems": True}, ["[1, true]", '[{"a": 1}, {"a": 2}]'], ["[1, 1.0]", "[[1], [true], [1]]"]),
        ({"pattern": "^a$"}, ['"a"', '"a\\n"', "1"], ['"a\\n\\n"', '"b"']),
        ({"pattern": r"^\d$"}, ['"1"', '"٣"'], ['"x"']),
        ({"patternProperties": {"^a$": False}}, ['{"b": 1}'], ['{"a\\n": 1}']),
        ({"patternProperties": {r"^\w$": {}}, "additionalProperties": False}, ['{"é": 1}'], ['{"-": 1}']),
        ({"not": {"format": "email"}}, [], ['"x"']),
        ({"not": {"contentEncoding": "base64"}, "$schema": DRAFTS["07"]}, [], ['"!"']),
        ({"type": "integer", "$schema": DRAFTS["04"]}, ["1"], ["1.0"]),
        ({"exclusiveMinimum": True, "minimum": 1, "$schema": DRAFTS["04"]}, ["2"], ["1"]),
        ({"items": [{"type": "string"}], "additionalItems": False, "$schema": DRAFTS["06"]}, ['["a"]'], ['["a", 1]']),
        ({"dependentRequired": {"a": ["b"]}, "$schema": DRAFTS["2019-09"]}, ['{"b": 1}'], ['{"a": 1}']),
        ({"type": "integer", "$schema": "http://localhost/own"}, ["1.0"], ['"1"']),
        (True, ["1"], []),
        (False, [], ["1"]),
    ],
)  # fmt: skip
def test_numbers_patterns_and_drafts(schema: Any, good: list[str], bad: list[str]) -> None:
    """Numbers are exact at any size, patterns mean what they mean in Python, a draft is the one that is named."""
    verdict = Verdict(schema)
    expected = [({True}, text) for text in good] + [({False}, text) for text in bad]
    assert expected == [(engines(verdict, parse_json(text)), text) for text in (*good, *bad)]


def test_floats_mean_their_shortest_digits() -> None:
    """As a person wrote them: 0.3 is three times 0.1, and no more than 0.3."""
    assert {True} == engines(Verdict({"multipleOf": 0.1, "maximum": 0.3, "minimum": 0.3, "const": 0.3}), 0.3)


@pytest.mark.parametrize(
    ("format", "good", "bad"),
    [
        ("date", ["2024-02-29"], ["2024-02-30", "0000-01-01", "٢٠٢٤-01-01", "2024-1-1", ""]),
        ("time", ["09:30", "09:30:59.123Z", "09:30+02:00"], ["24:00", "9:30", "noon"]),
        ("date-time", ["2024-01-02T03:04:05Z", "2024-01-02 03:04"], ["2024-01-02", "2024-13-01T00:00", "x"]),
        ("email", ["no email"], []),
    ],
)
def test_formats_are_judged_when_asked(format: str, good: list[str], bad: list[str]) -> None:
    """Three of them, by rules of our own; else a format is an annotation."""
    verdict, loose = Verdict({"format": format}, formats=True), Verdict({"format": format})
    assert [{True}] * len(good) + [{False}] * len(bad) == [engines(verdict, text) for text in (*good, *bad)]
    assert {True} == set().union(*(engines(loose, text) for text in (*good, *bad, 1)))
    assert ["schema.format"] * len(bad) == [issue.code for text in bad for issue in verdict.issues(text)]


def test_issues_name_code_place_message_and_value() -> None:
    """In order of place, at most as many as asked for."""
    verdict = Verdict({"items": {"type": "string"}, "maxItems": 3})
    found = verdict.issues([1] * 12)
    assert [("schema.maxItems", "$"), ("schema.type", "$[0]"), ("schema.type", "$[1]")] == [
        (issue.code, issue.path) for issue in found[:3]
    ]
    assert "$[11]" == found[-1].path
    assert ("1 is not of type 'string'", 1, "schema") == (found[1].message, found[1].value, found[1].stage)
    assert 2 == len(verdict.issues([1] * 12, 2))
    assert 501 == len(Verdict({"maxLength": 3}).issues("long" * 200)[0].value)


def test_what_is_no_json_is_judged_all_the_same() -> None:
    """Half a surrogate pair, which no pattern matches, and keys that are no text."""
    assert not Verdict({"pattern": "a"}).accepts("a\ud800")
    assert Verdict({"type": "string"}).accepts("\ud800")
    assert Verdict({"type": "object"}).accepts({1: 2})


# ---- schemas that cannot be


def deep(levels: int, wrap: Callable[[Any], Any]) -> Any:
    schema: Any = {"type": "integer"}
    for _ in range(levels):
        schema = wrap(schema)
    return schema


def items(schema: Any) -> Any:
    return {"items": schema}


LOOP: dict[str, Any] = {}
LOOP["properties"] = {"a": LOOP}


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "$.properties.a['$ref']", "'#/$defs/b' leads nowhere"),
        ({"$ref": "http://localhost:1/x.json"}, "$['$ref']", "nothing is fetched"),
        ({"items": {"$ref": "#nowhere"}}, "$.items['$ref']", "leads nowhere"),
        ({"$dynamicRef": "#nowhere"}, "$['$dynamicRef']", "leads nowhere"),
        ({"$ref": "#"}, "$['$ref']", "without end"),
        ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "$.anyOf[1]['$ref']", "without end"),
        ({"properties": {"a": {"type": "text"}}}, "$.properties.a.type", "type breaks the rules"),
        ({"items": {"minimum": "1"}}, "$.items.minimum", "minimum breaks the rules"),
        ({"properties": {"a": {"pattern": "("}}}, "$.properties.a.pattern", "pattern '('"),
        ({"patternProperties": {"a)": True}}, "$.patternProperties['a)']", "pattern 'a)'"),
        ({"pattern": "(?>a)b"}, "$.pattern", "atomic group"),
        ({"pattern": "(a)?(?(1)b|c)"}, "$.pattern", "condition"),
        ({"pattern": "\ud800"}, "$.pattern", "surrogate"),
        ({"pattern": "(" * 5000 + ")" * 5000}, "$.pattern", "nested too deeply"),
        ({"pattern": "a" * 1_000_000}, "$.pattern", "1,000,000 characters"),
        ({"pattern": r"^(\w{1,200}\s){1,50}$"}, "$.pattern", "too big"),
        (deep(MAX_DEPTH, items), "$", "240 levels"),
        (deep(100_000, items), "$", "240 levels"),
        (LOOP, "$", "240 levels"),
        (deep(60, lambda schema: {"allOf": [schema, schema]}), "$", "600,000 values"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "$['$schema']", "too old a draft"),
        ({"const": object()}, "$", "of type object"),
        ({"const": float("nan")}, "$", "holds nan"),
        ({1: 2}, "$", "no text"),
        ([1], "$", "no schema"),
        ({"$id": 5}, "$['$id']", "breaks the rules"),
        ({"properties": [1]}, "$.properties", "breaks the rules"),
        ({"$ref": {}}, "$['$ref']", "breaks the rules"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_is_refused_at_once(schema: Any, path: str, message: str) -> None:
    """With its path and keyword, within a second."""
    start = time.thread_time()
    with pytest.raises(SchemaError) as caught:
        Verdict(schema)
    assert time.thread_time() - start < 3  # a second, on a machine that does nothing else
    assert path == caught.value.path
    assert message in str(caught.value)


def test_schemas_that_double_at_each_step_are_refused() -> None:
    """Forty definitions that each name the next one twice judge a value 2⁴⁰ times over."""
    steps = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    with pytest.raises(SchemaError, match="schemas judge one value"):
        Verdict({"$ref": "#/$defs/d0", "$defs": {**steps, "d40": {"type": "integer"}}})


@pytest.mark.parametrize(
    "schema",
    [
        deep(100, lambda schema: {"properties": {"a": schema}}),
        deep(MAX_DEPTH - 2, items),
        {"properties": {f"p{n}": {"type": "string", "minLength": 1, "pattern": f"^a{n}$"} for n in range(18_000)}},
        {"anyOf": [{"properties": {f"p{n}": {"const": n}}} for n in range(25_000)]},
        {"enum": [f"{n:020}" for n in range(40_000)]},
        {"properties": {f"p{n}": {"$ref": f"#/$defs/d{n % 100}"} for n in range(25_000)},
         "$defs": {f"d{n}": {"properties": {"q": {"$ref": f"#/$defs/d{(n + 1) % 100}"}}} for n in range(100)}},
        {"$ref": "#/$defs/d0", "$defs": {**{f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(900)}, "d900": {}}},
    ],
    ids=["100 levels", "238 levels", "properties", "branches", "values", "references", "chain"],
)  # fmt: skip
def test_a_megabyte_and_a_hundred_levels_are_read_in_time(schema: Any) -> None:
    """Built within a second or so of CPU, and fit to judge."""
    start = time.thread_time()
    verdict = Verdict(schema)
    assert time.thread_time() - start < 3  # a second, on a machine that does nothing else
    assert isinstance(verdict.accepts({"a": {"a": 1}}), bool)


def test_other_documents_are_found_by_address_and_never_fetched() -> None:
    """A reference into a document that is given, which may refer back; what is not referred to need not be sound."""
    shared: dict[str, Any] = {
        "$defs": {"money": {"type": "number", "minimum": 0}},
        "properties": {"x": {"$ref": "#/nowhere"}},
    }
    other: dict[str, Any] = {
        "http://localhost:1/money.json": shared["$defs"],
        "http://localhost:1/bad.json": {"pattern": "("},
    }
    verdict = Verdict({"properties": {"a": {"$ref": "http://localhost:1/money.json#/money"}}}, other)
    assert [{True}, {False}] == [engines(verdict, {"a": amount}) for amount in (1, -1)]


JUNK = st.sampled_from([1, "x", None, [], {}, ["a", "a"], [1], True, -1, "(", "#", "http://[", {"a": 1}])
KEYWORDS = "$id $ref $schema $anchor $dynamicRef $defs type enum const pattern patternProperties properties allOf not if items prefixItems"
KEYWORDS += " dependentSchemas dependencies required minimum multipleOf maxLength additionalProperties unevaluatedItems format id $vocabulary"


@settings(max_examples=500, deadline=None)
@given(
    words=st.dictionaries(st.sampled_from(KEYWORDS.split()), JUNK, max_size=4),
    below=st.sampled_from(["", "properties", "items", "allOf"]),
    draft=st.sampled_from([*DRAFTS.values(), None, "x"]),
)
def test_any_nonsense_is_a_schema_or_a_schema_error(words: dict[str, Any], below: str, draft: str | None) -> None:
    """And what is taken judges."""
    inner: Any = {"properties": {"a": words}, "items": words, "allOf": [words]}
    try:
        verdict = Verdict({**({"$schema": draft} if draft else {}), **({below: inner[below]} if below else words)})
    except SchemaError:
        return
    assert [True, False].count(verdict.accepts({"a": 1})) == 1
    assert isinstance(verdict.issues(["a"]), list)


# ---- hostile answers


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|aa)+$", "^(?=(a+)+$)", r"^(?:(a+)+)\1!x", "(a*)*b", "(?!(a+)+$)x"])
@pytest.mark.parametrize("text", ["a" * 40 + "!", "a" * 100_000 + "!"], ids=["40", "100000"])
def test_no_pattern_hangs(pattern: str, text: str) -> None:
    """In either path: exponential time for `re`."""
    words: list[Any] = [{"pattern": pattern}, {"patternProperties": {pattern: False}, "additionalProperties": False}]
    words += [{"patternProperties": {pattern: True}, "unevaluatedProperties": False}]
    start = time.thread_time()
    for schema in words:
        verdict = Verdict(schema)
        assert not verdict.accepts(text if "pattern" in schema else {text: 1})
    assert time.thread_time() - start < 3


NODE = {"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [
    {"type": "integer"},
    {"type": "object", "properties": {"left": {"$ref": "#/$defs/n"}, "op": {"const": "add"}}, "required": ["op"]},
    {"type": "object", "properties": {"left": {"$ref": "#/$defs/n"}, "op": {"const": "mul"}}, "required": ["op"]},
]}}}  # fmt: skip
MANY = [{"a": n, "b": ["x"] * 3} for n in range(60_000)]


@pytest.mark.parametrize(
    ("schema", "answer", "code"),
    [
        (NODE, deep(99, lambda inner: {"left": inner, "op": "mul"}), "schema.unexplained"),
        (NODE, "no", "schema.anyOf"),
        ({"items": {"type": "string"}}, MANY, "schema.type"),
        ({"uniqueItems": True}, [*MANY, MANY[0]], "schema.uniqueItems"),
        ({"anyOf": [{"items": {"type": "string"}}, {"minItems": 10**7}]}, MANY, "schema.unexplained"),
        ({"items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}, MANY, "schema.anyOf"),
        ({"unevaluatedItems": False}, MANY, "schema.unexplained"),
    ],
    ids=["deep union", "union", "items", "unique", "branches", "unions", "unevaluated"],
)
def test_no_answer_hangs(schema: Any, answer: Any, code: str) -> None:
    """jsonschema may take exponential or quadratic time for its messages; then the verdict stands without them."""
    verdict = Verdict(schema)
    start = time.thread_time()
    assert code == verdict.issues(answer)[0].code
    assert time.thread_time() - start < 3


def test_a_recursive_schema_with_a_named_draft_keeps_our_rules() -> None:
    """A reference to a root with `$schema` would fall back to jsonschema's own keywords."""
    schema = {
        "$schema": DRAFTS["07"],
        "properties": {"a": {"$ref": "#"}, "n": {"multipleOf": 0.1}, "s": {"pattern": r"\p{L}"}},
    }
    assert {True} == engines(Verdict(schema), {"a": {"a": {"n": Decimal("0.3"), "s": "é"}}})
    assert {False} == engines(Verdict(schema), {"a": {"a": {"n": Decimal("0.35")}}})


def test_a_part_in_another_draft_is_judged_in_that_draft() -> None:
    """By jsonschema, which knows both at once."""
    part = {"$id": "http://localhost/new", "$schema": DRAFTS["2020-12"], "prefixItems": [{"type": "string"}]}
    verdict = Verdict({"$schema": DRAFTS["07"], "definitions": {"x": part}, "$ref": "#/definitions/x"})
    assert {"$schema"} == verdict.routed
    assert [True, False] == [verdict.accepts(answer) for answer in (["a"], [1])]


def test_one_verdict_serves_many_threads() -> None:
    """The same answers from all of them at once."""
    verdict = Verdict({"properties": {"a": {"pattern": r"^\w+$"}}, "additionalProperties": {"type": "integer"}})
    answers = [({"a": "x"}, 0), ({"a": "-"}, 1), ({"b": "x"}, 1), ({"a": "-", "b": "x"}, 2)] * 50
    found: list[list[int]] = []

    def judge() -> None:
        found.append([len(verdict.issues(answer)) for answer, _ in answers])

    threads = [threading.Thread(target=judge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[count for _, count in answers]] * 8 == found


def test_a_date_is_ten_characters_in_one_form() -> None:
    """YYYY-MM-DD of a day that there is, in plain digits: no week, no blank, no other hyphen or digit passes."""
    verdict = Verdict({"format": "date"}, formats=True)
    base, form = "2024-02-29", re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
    near = {base[:at] + char + base[at + 1 :] for at in range(10) for char in "0123456789-WTZ :+.\u0660\uff11x\n"}
    other = {"2024-W10-2", "20240229", "2024-065", "2024-W10", "0000-01-01", "2023-02-29", "", f"{base} ", f" {base}"}
    for text in near | other:
        try:
            is_day = bool(form.fullmatch(text) and dt.date.fromisoformat(text))
        except ValueError:
            is_day = False
        assert is_day == verdict.accepts(text), text
