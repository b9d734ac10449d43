"""Quirks of what a model writes, each as bytes over a socket through a whole run: a row with its flags, or the reason."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from pydantic import BaseModel

import extract
from extract import checks
from extract.api import Result
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.support import pipeline, rows_csv


class Bill(BaseModel):
    """A bill."""

    name: str
    total: Decimal
    count: int
    day: dt.date | None
    kind: Literal["DE", "FR"]


BILL = {"name": "ACME", "total": 0.3, "count": 2, "day": None, "kind": "DE"}
TEXT = json.dumps(BILL)
OTHER = json.dumps(BILL | {"name": "BETA"})

Ask = Callable[..., dict[str, Any]]


def whole_run(folder: Path, script: Callable[[Call], Any], count: int, **changes: Any) -> Result:
    source = rows_csv(folder / "bills.csv", count)
    with ScriptedServer(script) as server:
        return extract.run(
            pipeline(**({"schema": Bill} | changes)), source, out=folder / "out", endpoint=server.endpoint()
        )


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """What became of one record whose answer is that: its row with `_flags`, or its quarantine."""

    def once(content: str | None, *, schema: Any = Bill, use: Any = (), **message: Any) -> dict[str, Any]:
        result = whole_run(tmp_path, lambda _: Reply(completion(content, **message)), 1, schema=schema, checks=use)
        rows: list[dict[str, Any]] = (result.table if result.ok else result.quarantine).to_pylist()
        assert 1 == len(rows) == result.table.num_rows + result.quarantine.num_rows
        return rows[0]

    return once


def said(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in BILL} | {"_flags": row["_flags"]}


def expected(*flags: str, **changes: Any) -> dict[str, Any]:
    return BILL | {"total": Decimal("0.3"), "_flags": list(flags)} | changes


def test_the_plain_answer_has_no_flags(ask: Ask) -> None:
    """Nothing was salvaged."""
    assert expected() == said(ask(TEXT))


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_q25_stop_without_content(ask: Ask, content: str | None) -> None:
    """A reason of its own."""
    assert "output.empty" == ask(content)["reason"]


def test_q27_a_refusal(ask: Ask) -> None:
    """With what the model said; an empty one is none."""
    found = ask(None, refusal="I cannot help with that.")
    assert ("policy.refusal", "I cannot help with that.") == (found["reason"], found["value"])


def test_q27_an_empty_refusal_is_none(ask: Ask) -> None:
    """As one host fills every field."""
    assert expected() == said(ask(TEXT, refusal=""))


def test_q30_thoughts_ate_max_tokens(ask: Ask) -> None:
    """The answer was cut before it began, and the message says what to raise."""
    found = ask("", finish_reason="length", reasoning_content="Let me think")
    assert "output.truncated" == found["reason"]
    assert "thoughts count too" in found["message"]


def test_q33_a_raw_newline_in_a_string(ask: Ask) -> None:
    """Kept as part of the value."""
    assert expected("raw_newline", name="AC\nME") == said(ask(TEXT.replace("ACME", "AC\nME")))


def test_q33_a_raw_newline_that_breaks_a_value(ask: Ask) -> None:
    """Refused: that it is not the model's would be a guess."""
    assert "schema.enum" == ask(TEXT.replace("DE", "D\nE"))["reason"]


def test_q34_a_code_block(ask: Ask) -> None:
    """Its marks are not part of the answer."""
    assert expected("fenced") == said(ask(f"```json\n{TEXT}\n```"))


def test_q35_prose_around(ask: Ask) -> None:
    """Braces that are no JSON among it."""
    found = ask(f"For {{name}} I read:\n\n{TEXT}\n\nTell me if {{this}} helps.")
    assert expected("prose_around") == said(found)


def test_q35_two_answers(ask: Ask) -> None:
    """Neither is taken."""
    assert "parse.ambiguous" == ask(f"Either {TEXT} or {OTHER}")["reason"]


def test_q36_a_stray_tail(ask: Ask) -> None:
    """What stands after the end is left."""
    assert expected("trailing_text") == said(ask(f'{TEXT}."\n}}'))


def test_q36_the_same_object_twice(ask: Ask) -> None:
    """Is one answer."""
    assert expected("repeated") == said(ask(f"{TEXT}\n{json.dumps(BILL, indent=2)}"))


def test_q36_another_object_behind(ask: Ask) -> None:
    """Is none."""
    assert "parse.ambiguous" == ask(TEXT + OTHER)["reason"]


@pytest.mark.parametrize("cut", [1, 10, 30, len(TEXT) - 1])
def test_q37_cut_though_it_says_stop(ask: Ask, cut: int) -> None:
    """A reason of its own, so that it can be counted; nothing is completed."""
    assert "parse.truncated" == ask(TEXT[:cut])["reason"]


def test_q39_control_characters(ask: Ask) -> None:
    """Kept as part of the value."""
    assert expected("control_character", name="AC\x01ME") == said(ask(TEXT.replace("ACME", "AC\x01ME")))


@pytest.mark.parametrize(
    "text", [TEXT[:-1] + ",}", TEXT.replace('"name"', "name"), TEXT.replace('"', "'")], ids=["comma", "key", "quotes"]
)
def test_q40_nearly_json_is_refused(ask: Ask, text: str) -> None:
    """Unless mending was asked for, which a judge does."""
    assert "parse.json" == ask(text)["reason"]


def test_q41_a_value_that_fits_and_is_made_up(ask: Ask) -> None:
    """The schema cannot know; a check of the record does."""
    assert "semantic.verbatim" == ask(TEXT, use=[checks.verbatim("name")])["reason"]


def test_q42_a_list_around_the_object(ask: Ask) -> None:
    """Of one item, it is taken out."""
    assert expected("root_unlisted") == said(ask(f"[{TEXT}]"))


@pytest.mark.parametrize("text", [f"[{TEXT}, {TEXT}]", "[]", "5", '"ACME"', "null"])
def test_q42_another_root(ask: Ask, text: str) -> None:
    """Is not the object that was asked for."""
    assert "schema.type" == ask(text)["reason"]


def test_q42_a_key_around_the_object(ask: Ask) -> None:
    """A single one that the schema has not."""
    assert expected("unwrapped:response") == said(ask(f'{{"response": {TEXT}}}'))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"count": "2"}, "schema.type"),
        ({"count": 2.5}, "schema.type"),
        ({"total": "0.3"}, "schema.type"),
        ({"total": "N/A"}, "schema.type"),
        ({"total": None}, "schema.type"),
        ({"name": None}, "schema.type"),
        ({"day": "null"}, "schema.format"),
        ({"day": "N/A"}, "schema.format"),
        ({"day": ""}, "schema.format"),
        ({"day": "31.12.2024"}, "schema.format"),
        ({"day": "12/31/2024"}, "schema.format"),
        ({"day": 20241231}, "schema.type"),
        ({"kind": "de"}, "schema.enum"),
    ],
)
def test_q43_nothing_is_coerced(ask: Ask, changes: dict[str, Any], reason: str) -> None:
    """Numbers and nulls as text, dates in other forms: refused."""
    assert reason == ask(json.dumps(BILL | changes))["reason"]


def test_q43_a_whole_number_may_have_a_point(ask: Ask) -> None:
    """1.0 is an integer of JSON Schema; the cell is one."""
    assert expected() == said(ask(TEXT.replace("2", "2.0")))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"total": NaN}', "parse.number"),
        ('{"total": -Infinity}', "parse.number"),
        ('{"total": 1e999}', "parse.number"),
        ('{"name": "a", "name": "b"}', "parse.duplicate_key"),
        ('{"name": "\\ud800"}', "parse.surrogate"),
        (f'{{"count": {"9" * 5000}}}', "parse.number"),
        ('{"name": ' * 2000 + "1" + "}" * 2000, "parse.depth"),
    ],
    ids=["nan", "infinity", "1e999", "duplicate", "surrogate", "digits", "depth"],
)
def test_q67_what_python_reads_in_silence(ask: Ask, text: str, reason: str) -> None:
    """Each is the record's fault, and no crash; within a code block too."""
    assert reason == ask(text)["reason"]


def test_q67_one_bad_record_stops_nothing(tmp_path: Path) -> None:
    """The others have their rows, in their order."""
    bad = {2: '{"name": ' * 2000, 3: '{"name": "\\ud800"}', 5: TEXT[:20], 6: TEXT + OTHER}

    def script(call: Call) -> Reply:
        return Reply(completion(bad.get(int(call.prompt.split()[-1]), f"```\n{TEXT}\n```")))

    result = whole_run(tmp_path, script, 8)
    assert ["k1", "k4", "k7", "k8"] == result.table["id"].to_pylist()
    assert [["fenced"]] * 4 == result.table["_flags"].to_pylist()
    assert ["parse.depth", "parse.surrogate", "parse.truncated", "parse.ambiguous"] == (
        result.quarantine["reason"].to_pylist()
    )


def test_q68_money_is_exact(ask: Ask) -> None:
    """A Decimal of the answer's own digits, salvaged or not."""
    for text in (TEXT, f"```\n{TEXT}\n```"):
        row = ask(text.replace("0.3", "12345678901234567890.12"))
        assert Decimal("12345678901234567890.12") == row["total"]


def test_a_tool_call_in_place_of_the_answer(ask: Ask) -> None:
    """Has a reason of its own."""
    call = {"id": "c", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    assert "output.tool_call" == ask(None, finish_reason="tool_calls", tool_calls=[call])["reason"]


def test_the_same_answers_give_the_same_tables_again(tmp_path: Path) -> None:
    """From the journal, flags included, without a call."""

    def script(call: Call) -> Reply:
        return Reply(completion([f"```\n{TEXT}\n```", f"[{TEXT}]", TEXT + TEXT][int(call.prompt.split()[-1]) % 3]))

    def table() -> pa.Table:
        return whole_run(tmp_path, script, 6).table

    first = table()
    assert [["root_unlisted"], ["repeated"], ["fenced"]] * 2 == first["_flags"].to_pylist()
    assert first.equals(table())
