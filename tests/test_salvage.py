"""What an answer's text may look like beside its JSON: what is taken, by which flag, and what is refused."""

from __future__ import annotations

import json
import os
import random
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from extract.mend import mend
from extract.parse import ParseError, parse_at
from extract.records import Completion, Outcome, Record, Usage
from extract.salvage import MAX_REMARKS, MAX_REPEATS, Root, read_answer
from extract.schema import compile_schema
from extract.validate import Judge, root_of

RECORD = Record(key="k", position=0, cells={"text": "x"})


class Party(BaseModel):
    name: str
    country: str


class Line(BaseModel):
    text: str
    count: int | None = None


class Bill(BaseModel):
    number: str
    seller: Party
    total: Decimal
    lines: list[Line]
    note: str | None = None


class Node(BaseModel):
    """An object that holds what could be one itself."""

    name: str
    child: Party | None = None


BILL = {
    "number": "1",
    "seller": {"name": "A", "country": "DE"},
    "total": 1.5,
    "lines": [{"text": 'x{"', "count": 1}, {"text": "z", "count": None}],
    "note": None,
}
TEXT = json.dumps(BILL)
OTHER = json.dumps(BILL | {"number": "2"})
ROOT = root_of(compile_schema(Bill))
JUDGE = Judge(compile_schema(Bill), (), ["text"])
MENDING = Judge(compile_schema(Bill), (), ["text"], mend_json=True)
ROW = JUDGE(RECORD, Completion(TEXT, "stop", "m", Usage(), b"")).row


def judge(content: str | None, judge_of: Judge = JUDGE) -> Outcome:
    return judge_of(RECORD, Completion(content, "stop", "m", Usage(), b""))


def codes(outcome: Outcome) -> list[str]:
    assert outcome.ok == (outcome.row is not None)
    return [issue.code for issue in outcome.issues]


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (TEXT, ()),
        (f" \n{TEXT}\n ", ()),
        (f"```json\n{TEXT}\n```", ("fenced",)),
        (f"```\n{TEXT}", ("fenced",)),
        (f"{TEXT}\n```\n", ("fenced",)),
        (f"~~~~JSON\r\n{TEXT}\r\n~~~~", ("fenced",)),
        (f"Here it is:\n```json\n{TEXT}\n```\nAnything else?", ("fenced", "prose_around")),
        (f"The answer is {TEXT}", ("prose_around",)),
        (f"\ufeff{TEXT}", ("prose_around",)),
        (f"Fill in {{number}} and {{{{ note }}}} as in [1]: {TEXT} [see 2]", ("prose_around",)),
        (f"{TEXT}\nI hope that this helps.", ("trailing_text",)),
        (f'{TEXT}."\n}}', ("trailing_text",)),
        (f"{TEXT}]}}}}", ("trailing_text",)),
        (f"{TEXT}{TEXT}", ("repeated",)),
        (f"```json\n{TEXT}\n```\n```json\n{json.dumps(BILL, indent=1)}\n```", ("fenced", "repeated")),
        (f"[{TEXT}]", ("root_unlisted",)),
        (f'{{"response": {TEXT}}}', ("unwrapped:response",)),
        (f'```json\n[{TEXT}]\n``` {{"', ()),
        (f'Sure: {{"result": {TEXT}}}.', ("prose_around", "unwrapped:result")),
    ],
)
def test_the_one_object_of_a_text_is_found(text: str, flags: tuple[str, ...]) -> None:
    """Fences, prose, tails, repeats, a list or key around it: the same row, and the flag says what was there."""
    outcome = judge(text)
    if text.endswith('{"'):  # a second object begins
        assert ["parse.json"] == codes(outcome)
        return
    assert () == outcome.issues
    assert ROW == outcome.row
    assert flags == outcome.flags
    assert outcome == judge(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("I cannot do that.", "parse.json"),
        ("Here you are: {}", "parse.json"),
        ("null", "schema.type"),
        ("5", "schema.type"),
        (f"{TEXT} {OTHER}", "parse.ambiguous"),
        (f"Either {TEXT} or {OTHER}.", "parse.ambiguous"),
        (f"Not {{}} but {TEXT}", "parse.ambiguous"),
        (f"[{TEXT}] {TEXT}", "parse.ambiguous"),
        (f"[{TEXT}, {TEXT}]", "schema.type"),
        (f"Either [{TEXT}, {OTHER}]", "schema.type"),
        (f"{TEXT[:-1]},}} {TEXT}", "parse.json"),
        (f"{{'a': 1}} {TEXT}", "parse.json"),
        (f"{{a: 1}} {TEXT}", "parse.json"),
        (f'{TEXT} {{"number": ', "parse.json"),
        (f'"parent": {TEXT}', "parse.json"),
        (f'"parent" : {TEXT}', "parse.json"),
        (f"12, {TEXT}", "parse.json"),
        (f": {TEXT}", "parse.json"),
        (f"] {TEXT}", "parse.json"),
        (f"true}} {TEXT}", "parse.json"),
        (f'{TEXT}, "note": "b"}}', "parse.json"),
        (f"{TEXT}: 5", "parse.json"),
        (f"{TEXT} 5}}", "parse.json"),
        (f'{{"error": {{"message": {TEXT}}}}}', "schema.additionalProperties"),
        (f'{{"seller": {TEXT}}}', "schema.required"),
        (f'{{"a": {TEXT}, "b": {TEXT}}}', "schema.additionalProperties"),
        (f'{{"{"k" * 41}": {TEXT}}}', "schema.additionalProperties"),
        (f"```json\n{TEXT[:-1]}, }}\n```", "parse.json"),
        ('x {"number": NaN}', "parse.number"),
        ('```json\n{"number": 1, "number": 1}\n```', "parse.duplicate_key"),
        ('```json\n{"number": "\\ud800"}\n```', "parse.surrogate"),
        ("```json\n" + '{"a":' * 200 + "1" + "}" * 200 + "\n```", "parse.depth"),
        ("{x} " * (MAX_REMARKS + 1) + TEXT, "parse.json"),
        (TEXT * (MAX_REPEATS + 1), "parse.ambiguous"),
    ],
)
def test_what_would_be_a_guess_is_refused(text: str, code: str) -> None:
    """Two answers, a broken one, a piece of one, and whatever else could stand for something else."""
    assert code in codes(judge(text))


@pytest.mark.parametrize("cut", range(1, len(TEXT)))
def test_an_answer_cut_anywhere_is_never_completed(cut: int) -> None:
    """Though the model says "stop", and with a fence before it; the code says that it was cut."""
    for text in (TEXT[:cut], f"```json\n{TEXT[:cut]}"):
        assert ["parse.truncated"] == codes(judge(text))


@pytest.mark.parametrize(
    "text", ['{"a": tru', '{"a": 1.', '{"a": 1e', '{"a": -', '{"a": "\\', '{"a": "\\u12', '{"a": [{', "["]
)
def test_a_cut_literal_is_a_cut_answer(text: str) -> None:
    """Within a number, a word or an escape."""
    found = codes(judge(f"It is: {text}" if text != "[" else '[{"a'))
    assert ["parse.truncated"] == found


def test_what_is_wrong_before_the_end_is_not_called_cut() -> None:
    """The code is for counting."""
    for text in ('{"a" 1', '{"a": 1 "b": 2}', '{"a": nulx', "{'a"):
        assert ["parse.json"] == codes(judge(text))


@pytest.mark.parametrize(
    ("found", "flags"),
    [
        ("a\nb", ("raw_newline",)),
        ("a\r\nb", ("raw_newline",)),
        ("a\tb", ("control_character",)),
        ("\x00", ("control_character",)),
        ("\x1f\n", ("raw_newline", "control_character")),
    ],
)
def test_control_characters_are_part_of_their_string(found: str, flags: tuple[str, ...]) -> None:
    """As they stand; between the values a newline is just space, and an escaped one is nothing odd."""
    text = json.dumps(BILL, indent=1).replace('"A"', f'"{found}"')
    outcome = judge(text)
    assert found == (outcome.row or {})["seller"]["name"]
    assert flags == outcome.flags
    assert ("fenced", *flags) == judge(f"```json\n{text}\n```").flags
    assert () == judge(json.dumps(BILL, indent=1).replace('"A"', '"a\\nb\\u0000"')).flags


def test_a_newline_is_not_taken_out_to_please_the_schema() -> None:
    """Which newline is the gateway's would be a guess: an enum with one in it is refused."""
    schema = {"type": "object", "properties": {"a": {"enum": ["DE", "FR"]}}, "required": ["a"]}
    outcome = judge('{"a": "D\nE"}', Judge(compile_schema(schema), (), ["text"]))
    assert ["schema.enum"] == codes(outcome)
    assert ("raw_newline",) == outcome.flags


def test_a_property_of_the_schema_is_no_wrapper() -> None:
    """Nor is any key where the schema allows others."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"response": {"type": "object"}, "a": {"type": "integer"}},
    }
    judge_of = Judge(compile_schema(schema | {"required": ["a"]}, "full"), (), ["text"])
    assert ["schema.required"] == codes(judge('{"response": {"a": 1}}', judge_of))
    free = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert not Root.of(free, free).is_like({"a": 1})
    closed = Root.of(free, free | {"additionalProperties": False})
    assert (True, False, False) == (closed.is_like({"a": 1}), closed.is_like({}), closed.is_like({"a": 1, "b": 1}))


def test_what_could_be_the_inside_of_an_answer_is_not_unwrapped() -> None:
    """A schema whose root may stand within itself: the outer half may just be lost."""
    judge_of = Judge(compile_schema(Node), (), ["text"])
    assert (True, False) == (ROOT.alone, judge_of.root.alone)
    inner = '{"name": "b", "country": "c"}'
    whole = f'{{"name": "a", "child": {inner}}}'
    for start in range(1, len(whole)):
        assert not judge(whole[start:], judge_of).ok
    for text in (f"[{whole}]", f'{{"nachild": {whole}}}', f"{whole}}}", f'{whole}."\n}}'):
        assert not judge(text, judge_of).ok
    assert ("fenced", "prose_around") == judge(f"It is: ```json\n{whole}\n```. Yes.", judge_of).flags


@pytest.mark.parametrize(
    ("schema", "alone"),
    [
        ({"properties": {"a": {"type": "object"}}, "required": ["a"]}, False),
        ({"properties": {"a": {"type": ["object", "null"]}}, "required": ["a"]}, False),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, False),
        ({"properties": {"a": {"$ref": "#/$defs/B"}}, "required": ["a"], "$defs": {"B": {"type": "string"}}}, True),
        (
            {"properties": {"a": {"$ref": "#/$defs/B"}}, "required": ["a"], "$defs": {"B": {"properties": {"a": {}}}}},
            False,
        ),
        ({"properties": {"a": {"properties": {"b": {}}, "additionalProperties": False}}, "required": ["a"]}, True),
        ({"properties": {"a": {"properties": {"b": {}}, "additionalProperties": False}}}, False),
        ({"properties": {"a": {"type": "string"}}}, True),
        ({"$ref": "#/$defs/B", "$defs": {"B": {"properties": {"a": {}}}}}, False),
    ],
)
def test_a_root_is_alone_if_nothing_within_could_pass_for_it(schema: dict[str, Any], alone: bool) -> None:
    """Told from the schema on the wire; when in doubt, not."""
    assert alone == Root.of(schema, schema).alone


def test_a_bare_list_where_an_object_around_it_was_asked_for() -> None:
    """A list is asked for in a field of its own, which models leave out; a number is no list."""
    judge_of = Judge(compile_schema(list[int], "gemini"), (), ["text"])
    for text, flags in (("[1, 2]", ()), ("```json\n[1, 2]\n```", ("fenced",)), ("They are [1, 2].", ("prose_around",))):
        outcome = judge(text, judge_of)
        assert {"value": [1, 2]} == outcome.row
        assert (*flags, "root_listed") == outcome.flags
    assert ["parse.ambiguous"] == codes(judge("As in [1]: [1, 2]", judge_of))
    assert ["schema.type"] == codes(judge("5", Judge(compile_schema(int), (), ["text"])))
    assert ["schema.type"] == codes(judge("[5]", Judge(compile_schema(int), (), ["text"])))


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (TEXT[:-1] + ",}", ("repaired",)),
        (TEXT[:-1], ("repaired",)),
        (TEXT.replace("}]", "},]"), ("repaired",)),
        (TEXT.replace('"number"', "number").replace('"lines"', "lines"), ("repaired",)),
        (TEXT.replace('"number": "1"', "'number': '1'"), ("repaired",)),
        (TEXT.replace("null}", "None}"), ("repaired",)),
        (f"Here:\n```json\n{TEXT[:-1]},}}\n```\nBye", ("fenced", "prose_around", "repaired")),
        (f"```json\n{TEXT[:-1]}\n```", ("fenced", "repaired")),
        (TEXT[:-1] + ',}."\n}', ("trailing_text", "repaired")),
        (f'{{"response": {TEXT[:-1]},}},}}', ("repaired", "unwrapped:response")),
    ],
)
def test_nearly_json_is_mended_when_asked_for(text: str, flags: tuple[str, ...]) -> None:
    """Commas too many, quotes and brackets missing; otherwise it is refused."""
    assert not judge(text).ok
    outcome = judge(text, MENDING)
    assert () == outcome.issues
    assert ROW == outcome.row
    assert flags == outcome.flags


@pytest.mark.parametrize("cut", range(1, len(TEXT) - 1))
def test_mending_never_makes_up_what_was_cut(cut: int) -> None:
    """No text, number, item or property is completed: only the last bracket can be missing."""
    assert not judge(TEXT[:cut], MENDING).ok


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace('"number": "1"', '"number": "1" "x"'),
        TEXT.replace('"number": "1"', '"number": yes'),
        TEXT.replace('"number": "1"', "\"number\": 'it's'"),
        TEXT.replace('"number": "1",', '"number": "1",,'),
        TEXT.replace("1.5", "1.5.1"),
        TEXT.replace("1.5", "NaN"),
        TEXT.replace('"number"', '"total"')[:-1] + ",}",
        TEXT[:-1] + ",} or " + OTHER[:-1] + ",}",
        f"{TEXT[:-1]},}} {OTHER}",
        f"{TEXT} {OTHER}",
        '"parent": ' + TEXT[:-1] + ",}",
        TEXT + '}{"',
        "]" + TEXT[1:],
        "no brackets",
        "{" * 300,
    ],
)
def test_what_no_rule_mends_stays_refused(text: str) -> None:
    """And what is mended is read as strictly as all else."""
    assert not judge(text, MENDING).ok


def test_mending_judges_again() -> None:
    """A mended answer obeys the schema or is refused, with its flag."""
    outcome = judge(TEXT.replace("1.5", '"much",')[:-1] + ",}", MENDING)
    assert ["parse.json"] == codes(outcome)
    outcome = judge(TEXT.replace("1.5", '"much"')[:-1] + ",}", MENDING)
    assert ["schema.type"] == codes(outcome)
    assert ("repaired",) == outcome.flags


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("{a: 1,}", '{"a":1}'),
        ("{'a': 'it\\'s \"b\"'}", '{"a":"it\'s \\"b\\""}'),
        ('{"a": [1, 2}', '{"a":[1,2]}'),
        ('[{"a": 1]', '[{"a":1}]'),
        ('{"a": {"b": true', '{"a":{"b":true}}'),
        ('{"a": "x"', '{"a":"x"}'),
        ("{a: True, b: False, c: None}", '{"a":true,"b":false,"c":null}'),
        ('{"a": 12', None),
        ('{"a": "x', None),
        ('{"a": "x",', None),
        ('{"a"', None),
        ('{"a":', None),
        ("{", None),
        ('{"a": ["x"', None),
        ('["x"', None),
        ('{"a": 1] x', None),
        ("{,}", "{,}"),
        ("[,]", "[,]"),
        ("[" * 101 + "]" * 101, None),
        ("{" + " " * 300_000 + "}", None),
    ],
)
def test_the_rules_of_mending(text: str, mended: str | None) -> None:
    """Each by itself; what they make of other text is for the strict reader to refuse."""
    found = mend(text, 0)
    assert mended == (found.text if found else None)


# properties

PLAIN = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
BILLS = st.builds(
    lambda number, note, lines, total: BILL | {"number": number, "note": note, "lines": lines, "total": total},
    PLAIN,
    st.none() | PLAIN,
    st.lists(
        st.builds(lambda text, count: {"text": text, "count": count}, PLAIN, st.integers(0, 9) | st.none()), max_size=3
    ),
    st.integers(-99, 99),
)
PROSE = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="{}[]\"':,`~"), max_size=30).filter(
    lambda text: not re.match(r"\s*-?(NaN|Infinity|\d)", text)  # which is refused for what it is
)
DECORATIONS = st.sampled_from(
    [
        ("```json\n", "\n```", ("fenced",)),
        ("", '."\n}', ("trailing_text",)),
        ("", "]}}", ("trailing_text",)),
        ("[", "]", ("root_unlisted",)),
        ('{"response": ', "}", ("unwrapped:response",)),
        ("Here {you} are:\n", "", ("prose_around",)),
    ]
)


@given(bill=BILLS, decoration=DECORATIONS, escaped=st.booleans())
def test_a_decoration_changes_nothing_but_the_flags(bill: Any, decoration: Any, escaped: bool) -> None:
    """Whatever the values are, brackets, quotes and fences in them included."""
    before, after, flags = decoration
    text = json.dumps(bill, ensure_ascii=escaped)
    plain, found = judge(text), judge(before + text + after)
    assert () == plain.issues == plain.flags
    assert plain.row == found.row
    assert flags == found.flags


@given(bill=BILLS, before=PROSE, after=PROSE)
def test_prose_changes_nothing_but_the_flags(bill: Any, before: str, after: str) -> None:
    """Any text without brackets, quotes and commas."""
    text = json.dumps(bill)
    found = judge(before + text + after)
    assert judge(text).row == found.row
    blank = (not before.strip(), not after.strip())
    if blank == (True, True):
        assert found.flags in ((), ("prose_around",), ("trailing_text",))  # space for Python that is none for JSON
    else:
        assert (("prose_around",) if not blank[0] else ("trailing_text",)) == found.flags


@given(one=BILLS, other=BILLS, between=PROSE, around=st.sampled_from(["", "```", "So:\n"]))
def test_two_objects_are_taken_only_if_they_are_equal(one: Any, other: Any, between: str, around: str) -> None:
    """Two that differ are never decided between."""
    outcome = judge(f"{around}{json.dumps(one)}{between}{json.dumps(other)}")
    if one == other:
        assert judge(json.dumps(one)).row == outcome.row
        assert "repeated" in outcome.flags
    else:
        assert ["parse.ambiguous"] == codes(outcome)


def test_true_is_not_one() -> None:
    """Python says that they are equal; JSON does not."""
    root = Root(frozenset("a"), frozenset("a"), alone=True)
    assert {"a": [1, {"b": 1}]} == read_answer('{"a":[1,{"b":1}]} {"a":[1.0,{"b":1}]}', root).value
    for other in ('{"a":[true,{"b":1}]}', '{"a":[1,{"b":true}]}', '{"a":[1]}', '{"a":{"b":1}}', '{"b":[1,{"b":1}]}'):
        with pytest.raises(ParseError, match="differ"):
            read_answer('{"a":[1,{"b":1}]} ' + other, root)


# hostile input

MUTATIONS = int(os.environ.get("EXTRACT_MUTATIONS", "5000"))
AROUND = [
    ("", ""),
    ("", ""),
    ("```json\n", "\n```"),
    ("Here [1] {x}:\n", "\nDone."),
    ("", '."\n}'),
    ('{"response": ', "}"),
    ("[", "]"),
]
PIECES = [
    '"',
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\",
    "\n",
    "\x00",
    "```",
    "NaN",
    "1e999",
    "9" * 5000,
    "\ud800",
    "[" * 300,
    "null",
    "'",
    " ",
]


def mutated(text: str, dice: random.Random, edits: int) -> str:
    for _ in range(edits):
        at = dice.randrange(len(text) + 1)
        to = min(len(text), at + dice.randrange(1, 1 + dice.choice([2, 20, len(text) + 1])))
        match dice.randrange(6):
            case 0:
                text = text[:at]
            case 1:
                text = text[at:]
            case 2:
                text = text[:at] + text[to:]
            case 3:
                text = text[:at] + dice.choice(PIECES) + text[at:]
            case 4:
                text = text[:at] + text[at:to] + text[at:]
            case _:
                flipped = chr(ord(text[at]) ^ (1 << dice.randrange(7))) if at < len(text) else "x"
                text = text[:at] + flipped + text[at + 1 :]
    return text


def values_in(text: str) -> list[Any]:
    """What a reader finds that begins at any outermost bracket, and in wrappers of one: all that the text really says."""
    found, position = [], 0
    while position < len(text):
        if text[position] in "{[":
            try:
                value, position = parse_at(text, position)
                found.append(value)
                found += value if isinstance(value, list) else list(value.values()) if len(value) == 1 else []
                continue
            except ParseError:
                pass
        position += 1
    return found


@pytest.mark.parametrize("model", [Bill, Node])
def test_mutated_answers_are_never_taken_for_others(model: type[BaseModel]) -> None:
    """No exception, none slow, and no row but the unmutated one or what the mutated JSON says: after one edit, all of it.

    That is what a strict reader makes of it, but for control characters in its strings. `EXTRACT_MUTATIONS` is how many.
    """
    dice = random.Random(20)
    compiled = compile_schema(model)
    plain = TEXT if model is Bill else '{"name": "a{", "child": {"name": "b", "country": "c"}}'
    judge_of, mending = Judge(compiled, (), ["text"]), Judge(compiled, (), ["text"], mend_json=True)
    right = judge(plain, judge_of).row
    salvaged = changed = 0
    for _ in range(MUTATIONS):
        before, after = dice.choice(AROUND)
        edits = dice.choice([1, 1, 2, 3])
        inner = mutated(plain, dice, edits)
        text = before + inner + after
        start = time.thread_time()  # nothing waits in there, and others may be at work on this machine
        outcome = judge(text, judge_of)
        judge(text, mending)
        assert time.thread_time() - start < 1
        if outcome.ok and outcome.row != right:
            changed += 1
            said = json_of(text) or json_of(inner)
            if edits > 1:  # one may have put something behind the object, which is prose then
                said = said or json_of(text, whole=False) or json_of(inner, whole=False)
            assert said is not None, text
            assert judge(json.dumps(said, default=float), judge_of).row == outcome.row
        salvaged += outcome.ok and bool(outcome.flags)
    assert min(salvaged, changed) > MUTATIONS / 200


def json_of(text: str, *, whole: bool = True) -> Any:
    """What the text says as JSON, with control characters in strings or without; not `whole`: from its first brace on."""
    text = text.strip() if whole else text[max(0, text.find("{")) :]
    try:
        value, end = parse_at(text, 0)
    except ParseError:
        return None
    return None if whole and end < len(text) else value


def test_mutated_decorations_change_no_row() -> None:
    """What is around the answer may break in any way: the answer is taken, or none is."""
    dice = random.Random(21)
    for _ in range(MUTATIONS):
        before, after = (mutated(part, dice, 2) for part in dice.choice(AROUND))
        outcome = judge(before + TEXT + after)
        assert not outcome.ok or ROW == outcome.row, before + TEXT + after


HUGE = 4_000_000
HOSTILE = {
    "braces": "{",
    "lists": "[",
    "backticks": "`",
    "marks of remarks": "[x",
    "placeholders": "{x}",
    "open placeholders": "{x",
    "objects": '{"a":1}',
    "open keys": '{"',
    "open items": '["',
    "quotes": '"',
    "escapes": '\\"',
    "single quotes": "{'",
    "open objects": '{"a":',
    "fences": "```json",
    "braces and space": "{ ",
    "lists of remarks": "[{x}",
    "members": 'x":',
    "empty lists": "[]",
    "empty objects": "{}",
    "tails": TEXT + "]" * 1000,
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("judge_of", [JUDGE, MENDING], ids=["strict", "mending"])
def test_hostile_megabytes_take_less_than_a_second(piece: str, judge_of: Judge) -> None:
    """Four of them, the most that is looked at: every scan is linear, or ends early."""
    text = piece * (HUGE // len(piece))
    for content in (text, TEXT + text[: HUGE - len(TEXT)], text[: HUGE - len(TEXT)] + TEXT):
        start = time.process_time()
        judge(content, judge_of)
        assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("text", "message"),
    [("I cannot help with that.", "no JSON in the answer"), ("{name: 1}", "character 1"), ("[1] is no", "character 4")],
)
def test_plain_words_are_told_as_no_json(text: str, message: str) -> None:
    """Where in them a value is missing is no help; where there is a bracket, the place is told."""
    with pytest.raises(ParseError) as error:
        read_answer(text, ROOT)
    assert "parse.json" == error.value.issue.code
    assert message in error.value.issue.message
