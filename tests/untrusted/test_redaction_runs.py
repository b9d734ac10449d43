"""Whole runs with `redact`: no secret on the wire or in the journal, and the real values in the tables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pytest
from pydantic import BaseModel, EmailStr, Field

import extract
from extract import Endpoint, Example, Media, Model, Prompt, Verbatim, checks
from extract.api import Result, prepare_run
from extract.errors import ConfigError
from extract.records import Record
from extract.testing import Call, ScriptedServer
from tests.media.making import pdf
from tests.support import pipeline

MAIL, PHONE, CARD, IBAN, OWN = (
    "jane.roe@example.com",
    "+49 170 1234567",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "C-004711",
)
SECRETS = (MAIL, PHONE, CARD, IBAN, OWN)
KINDS: list[Any] = ["email", "phone", "card", "iban", ("customer", r"\bC-\d{6}\b")]
TEXT = f"Jane ({OWN}) wrote from {MAIL}, call {PHONE}. Card {CARD}, account {IBAN}. Total 1,234.50 on 02.05.2018."
ROWS = pa.table({"id": ["a", "b"], "text": [TEXT, "Nothing to hide here."]})


class Person(BaseModel):
    """Who wrote."""

    mail: EmailStr | None
    phone: Annotated[str, Field(min_length=8, max_length=20, pattern=r"^\+[\d ]+$")] | None
    accounts: dict[str, str]
    note: str


def told(call: Call) -> dict[str, Any]:
    """An answer that copies what the prompt shows."""
    shown = dict(re.findall(r"\[((EMAIL|PHONE|CARD|IBAN|CUSTOMER)_\d)\]", call.prompt)).keys()
    if not shown:
        return {"mail": None, "phone": None, "accounts": {}, "note": "nothing"}
    accounts = [{"key": "[IBAN_1]", "value": "[CARD_1]"}]
    return {
        "mail": "[EMAIL_1]",
        "phone": "[PHONE_1]",
        "accounts": accounts,
        "note": "[CUSTOMER_1] wrote from [EMAIL_1].",
    }


def run(server: ScriptedServer, out: Path, rows: Any = ROWS, **changes: Any) -> Result:
    return extract.run(pipeline(**({"redact": KINDS} | changes)), rows, out=out, endpoint=server.endpoint())


def journal_bytes(out: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(out.glob("journal.db*")))


def digits(text: bytes) -> bytes:
    return re.sub(rb"[^0-9A-Za-z@.]", b"", text)


def test_no_secret_reaches_the_wire_or_the_journal_and_the_table_has_them(tmp_path: Path) -> None:
    """The bytes are read as they came to the server and as they lie in the database, in any grouping of digits."""
    with ScriptedServer(told) as server:
        result = run(server, tmp_path, schema=Person)
    sent, kept = b"".join(call.raw for call in server.calls), journal_bytes(tmp_path)
    assert b"[EMAIL_1]" in sent
    assert b"[EMAIL_1]" in kept
    for secret in SECRETS:
        for place in (sent, kept):
            assert secret.encode() not in place
            assert digits(secret.encode()) not in digits(place)
    row = result.table.to_pylist()[0]
    assert (MAIL, PHONE, [(IBAN, CARD)]) == (row["mail"], row["phone"], row["accounts"])
    assert f"{OWN} wrote from {MAIL}." == row["note"]
    assert [[], []] == result.table["_flags"].to_pylist()


def test_what_is_no_secret_is_sent_as_it_is(tmp_path: Path) -> None:
    """Amounts, dates and the words around."""
    with ScriptedServer(told) as server:
        run(server, tmp_path, schema=Person)
    expected = (
        "Jane ([CUSTOMER_1]) wrote from [EMAIL_1], call [PHONE_1]. Card [CARD_1], account [IBAN_1]. "
        "Total 1,234.50 on 02.05.2018."
    )
    assert {expected, "Nothing to hide here."} == {call.prompt for call in server.calls}
    assert "copy its text exactly" in server.calls[0].body["messages"][0]["content"]


def test_the_endpoint_is_not_told_to_refuse_placeholders(tmp_path: Path) -> None:
    """An answer held to a format or a pattern could not copy one; what comes back is held to both."""

    class Mail(BaseModel):
        """Who wrote."""

        mail: EmailStr
        phone: Annotated[str, Field(pattern=r"^\+[\d ]+$", min_length=12)]

    answer = {"mail": "[EMAIL_1]", "phone": "[PHONE_1]"}
    with ScriptedServer(lambda call: answer) as server:
        result = run(server, tmp_path, ROWS.slice(0, 1), schema=Mail, profile="full")
        wrong = run(server, tmp_path / "b", pa.table({"id": ["a"], "text": [f"{MAIL}, Tel 1234567"]}), schema=Mail)
    nodes = server.calls[0].body["response_format"]["json_schema"]["schema"]["properties"]
    assert {"mail": {"type": "string"}, "phone": {"type": "string"}} == nodes
    assert [(MAIL, PHONE)] == [(row["mail"], row["phone"]) for row in result.table.to_pylist()]
    assert ["schema.minLength"] == wrong.quarantine["reason"].to_pylist()


def test_a_second_run_is_answered_by_the_journal(tmp_path: Path) -> None:
    """The same record is always masked alike, so its request has the same name."""
    with ScriptedServer(told) as server:
        first = run(server, tmp_path, schema=Person)
        asked = len(server.calls)
        for part in tmp_path.rglob("part-*"):
            part.unlink()
        (tmp_path / "manifest.json").unlink()
        second = run(server, tmp_path, schema=Person)
    assert (2, 2) == (asked, len(server.calls))
    assert first.table.to_pylist() == second.table.to_pylist()


def test_records_that_differ_in_a_secret_alone_share_an_answer_and_keep_their_own_values(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a", "b"], "text": ["Mail a@example.com", "Mail b@example.com"]})
    with ScriptedServer(lambda call: {"name": "[EMAIL_1]", "number": 1}) as server:
        result = run(server, tmp_path, rows, redact=["email"])
    assert 1 == len(server.calls)
    assert ["a@example.com", "b@example.com"] == result.table["name"].to_pylist()


@pytest.mark.parametrize("written", ["[email_1]", "[EMAIL 1]", "EMAIL_1", "<EMAIL_1>", "[ EMAIL_1 ]", r"\[EMAIL\_1\]"])
def test_a_placeholder_that_the_model_wrote_otherwise_is_put_back_and_flagged(tmp_path: Path, written: str) -> None:
    rows = pa.table({"id": ["a"], "text": ["Mail a@example.com"]})
    with ScriptedServer(lambda call: {"name": f"by {written}.", "number": 1}) as server:
        result = run(server, tmp_path, rows, redact=["email"])
    assert ["by a@example.com."] == result.table["name"].to_pylist()
    assert [["redact.altered"]] == result.table["_flags"].to_pylist()


@pytest.mark.parametrize("text", ["Mail a@example.com", "No mail"])
def test_a_placeholder_that_stands_for_nothing_goes_to_the_quarantine(tmp_path: Path, text: str) -> None:
    rows = pa.table({"id": ["a"], "text": [text]})
    with ScriptedServer(lambda call: {"name": "[EMAIL_7]", "number": 1}) as server:
        result = run(server, tmp_path, rows, redact=["email"])
    found = result.quarantine.to_pylist()[0]
    assert ("redact.unknown", "$.name") == (found["reason"], found["path"])


def test_a_text_that_holds_what_looks_like_a_placeholder_is_not_confused(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a"], "text": ["Write [EMAIL_1] or email_2, not a@example.com or [LITERAL_1]."]})
    with ScriptedServer(lambda call: {"name": call.prompt, "number": 1}) as server:
        result = run(server, tmp_path, rows, redact=["email"])
    assert "Write [LITERAL_1] or [LITERAL_2], not [EMAIL_1] or [LITERAL_3]." == server.calls[0].prompt
    assert rows["text"].to_pylist() == result.table["name"].to_pylist()
    assert [[]] == result.table["_flags"].to_pylist()


def test_brackets_around_a_secret_stay(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a"], "text": ["x [a@example.com] y"]})
    with ScriptedServer(lambda call: {"name": call.prompt, "number": 1}) as server:
        result = run(server, tmp_path, rows, redact=["email"])
    assert ["x [a@example.com] y"] == result.table["name"].to_pylist()


def test_a_repair_shows_no_secret_either(tmp_path: Path) -> None:
    """What is wrong with an answer is said with its values, which are put back by then."""

    class Long(BaseModel):
        """A note that is not too long."""

        note: Annotated[str, Field(max_length=60)]

    rows = pa.table({"id": ["a"], "text": [f"Mail {MAIL}, call {PHONE}"]})
    answers = iter(["Mail [EMAIL_1], call [PHONE_1], and a note that is far too long to be let pass", "Mail [EMAIL_1]"])
    with ScriptedServer(lambda call: {"note": next(answers)}) as server:
        result = run(
            server, tmp_path, rows, schema=Long, redact=["email", "phone"], repair=extract.Repair(max_repairs=1)
        )
    assert (2, [f"Mail {MAIL}"]) == (len(server.calls), result.table["note"].to_pylist())
    said = server.calls[1].prompt
    assert "[EMAIL_1]" in said
    assert [] == [secret for secret in (MAIL, PHONE) for call in server.calls if secret.encode() in call.raw]


class Phones(BaseModel):
    """A model whose own names look like placeholders."""

    phone_1: str
    kind: Annotated[str, Field(json_schema_extra={"enum": ["phone_1", "phone_2"]})]


def test_what_people_fill_in_is_kept_as_they_wrote_it(tmp_path: Path) -> None:
    """In the journal too, as docs/untrusted.md says; what was asked and answered before stays masked."""
    rows, edits = pa.table({"id": ["a"], "text": [f"Write to {MAIL}, {PHONE}."]}), tmp_path / "edits.csv"
    edits.write_text(f"key,name,number\na,{MAIL},7\n")
    with ScriptedServer(lambda call: "no JSON") as server:
        run(server, tmp_path / "out", rows)
        assert digits(MAIL.encode()) not in digits(journal_bytes(tmp_path / "out"))
        result = extract.accept(tmp_path / "out", pipeline(redact=KINDS), str(edits), rows, endpoint=server.endpoint())
        assert 1 == len(server.calls)
    kept = digits(journal_bytes(tmp_path / "out"))
    assert [MAIL] == result.table["name"].to_pylist()
    assert digits(MAIL.encode()) in kept
    assert digits(PHONE.encode()) not in kept


def test_names_of_the_schema_that_look_like_placeholders_are_none(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a"], "text": [f"phone_2: {PHONE}"]})
    with ScriptedServer(lambda call: {"phone_1": "[PHONE_1]", "kind": "phone_2"}) as server:
        result = run(server, tmp_path, rows, schema=Phones, redact=["phone"])
    assert {"phone_1": PHONE, "kind": "phone_2"}.items() <= result.table.to_pylist()[0].items()
    assert [[]] == result.table["_flags"].to_pylist()


class Bound(BaseModel):
    """Fields that choose from the record."""

    mail: Annotated[str, Verbatim(r"\S+@[\w.]+\w")]
    line: Annotated[str, Verbatim("line")]
    number: Annotated[int, Verbatim("number")]


def test_bound_fields_are_offered_placeholders_and_no_piece_of_a_secret(tmp_path: Path) -> None:
    """The candidates are found in the record as it is, and judged against it."""
    rows = pa.table({"id": ["a"], "text": [f"Order 4242\n{MAIL}\nTel {PHONE}"]})
    answer = {"mail": "[EMAIL_1]", "line": "Tel [PHONE_1]", "number": "4242"}
    with ScriptedServer(lambda call: answer) as server:
        result = run(server, tmp_path, rows, schema=Bound, redact=["email", "phone"], profile="full")
    nodes = server.calls[0].body["response_format"]["json_schema"]["schema"]["properties"]
    assert (["[EMAIL_1]"], ["4242"]) == (nodes["mail"]["enum"], nodes["number"]["enum"])
    assert ["Order 4242", "[EMAIL_1]", "Tel [PHONE_1]"] == nodes["line"]["enum"]
    row = result.table.to_pylist()[0]
    assert (MAIL, f"Tel {PHONE}", 4242) == (row["mail"], row["line"], row["number"])
    assert b"1234567" not in server.calls[0].raw


def test_checks_see_the_record_as_it_is(tmp_path: Path) -> None:
    """A value that is put back stands in the record; one that is invented does not."""
    rows = pa.table({"id": ["a", "b"], "text": [f"Mail {MAIL}", "Mail x@example.com"]})
    with ScriptedServer(lambda call: {"name": "[EMAIL_1]", "number": 1}) as server:
        result = run(server, tmp_path, rows, redact=["email"], checks=[checks.verbatim("name")])
    assert [MAIL, "x@example.com"] == result.table["name"].to_pylist()
    with ScriptedServer(lambda call: {"name": "y@example.com", "number": 1}) as server:
        result = run(server, tmp_path / "b", rows, redact=["email"], checks=[checks.verbatim("name")])
    assert ["semantic.verbatim"] * 2 == result.quarantine["reason"].to_pylist()


def test_the_text_of_a_pdf_is_masked_and_the_lines_around_it_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf((f"Mail {MAIL}", "Second page"), size="0 0 600 100"))
    source = tmp_path / "rows.csv"
    source.write_text("id,file\na,a.pdf\n")
    prompt = Prompt(user="Read.", media=[Media(column="file", as_="text")])
    with ScriptedServer(lambda call: {"name": "[EMAIL_1]", "number": 1}) as server:
        result = run(server, tmp_path / "out", source, prompt=prompt, redact=["email", "phone"])
    text = server.calls[0].prompt
    assert re.search(r"--- file ([0-9a-f]{8}), page 1 of 2 ---\nMail \[EMAIL_1\]\n--- file \1, page 2", text)
    assert [MAIL] == result.table["name"].to_pylist()


def test_an_example_is_masked_like_a_record(tmp_path: Path) -> None:
    examples = [Example({"text": "Mail eve@example.org"}, {"name": "eve@example.org", "number": 1})]
    prompt = Prompt(user="{{ text }}", examples=examples)
    rows = pa.table({"id": ["a"], "text": [f"Mail {MAIL}"]})
    with ScriptedServer(lambda call: {"name": "[EMAIL_1]", "number": 2}) as server:
        result = run(server, tmp_path, rows, prompt=prompt, redact=["email"])
    turns = [message["content"] for message in server.calls[0].body["messages"][1:]]
    assert ["Mail [EMAIL_1]", json.dumps({"name": "[EMAIL_1]", "number": 1}), "Mail [EMAIL_1]"] == turns
    assert [MAIL] == result.table["name"].to_pylist()


def test_what_only_the_template_puts_together_is_masked_and_its_own_words_are_not(tmp_path: Path) -> None:
    prompt = Prompt(user="{{ user }}@{{ host }}; in doubt write to help@example.net")
    rows = pa.table({"id": ["a"], "user": ["jane"], "host": ["example.com"]})
    with ScriptedServer(lambda call: {"name": "[EMAIL_1]", "number": 1}) as server:
        result = run(server, tmp_path, rows, prompt=prompt, redact=["email"])
    assert "[EMAIL_1]; in doubt write to help@example.net" == server.calls[0].prompt
    assert ["jane@example.com"] == result.table["name"].to_pylist()


def test_parts_of_a_record_are_put_back_too(tmp_path: Path) -> None:
    def answer(call: Call) -> dict[str, Any]:
        names = call.body["response_format"]["json_schema"]["schema"]["properties"]
        return {"name": "[EMAIL_1]"} if "name" in names else {"number": 7}

    rows = pa.table({"id": ["a"], "text": [f"Mail {MAIL}"]})
    with ScriptedServer(answer) as server:
        result = run(server, tmp_path, rows, redact=["email"], split_fields=2)
    assert (2, [MAIL]) == (len(server.calls), result.table["name"].to_pylist())


def test_an_answer_that_is_a_call_is_put_back_too(tmp_path: Path) -> None:
    arguments = json.dumps({"name": "[EMAIL_1]", "number": 1})
    call = {"id": "c", "type": "function", "function": {"name": "Item", "arguments": arguments}}
    body = {
        "id": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    rows = pa.table({"id": ["a"], "text": [f"Mail {MAIL}"]})
    with ScriptedServer(lambda _: extract.testing.Reply(body)) as server:
        result = run(server, tmp_path, rows, redact=["email"], model=Model(mode="tool"))
    assert [MAIL] == result.table["name"].to_pylist()


def test_two_keys_that_stand_for_the_same_are_a_duplicate(tmp_path: Path) -> None:
    class Held(BaseModel):
        """A map."""

        held: dict[str, int]

    rows = pa.table({"id": ["a"], "text": [f"Mail {MAIL}"]})
    with ScriptedServer(lambda call: {"held": {"[EMAIL_1]": 1, "[email_1]": 2}}) as server:
        result = run(server, tmp_path, rows, schema=Held, redact=["email"], profile="full")
    assert ["parse.duplicate_key"] == result.quarantine["reason"].to_pylist()


def prepared(**changes: Any) -> Any:
    return prepare_run(pipeline(**changes), ROWS, endpoint=Endpoint(base_url="https://example.invalid/v1"))


def tool(name: str) -> str:
    """Find it."""
    return name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"redact": "email"}, "not a list"),
        ({"redact": ["mail"]}, "redact holds 'mail'"),
        ({"redact": ["email", "email"]}, "names 'email' twice"),
        ({"redact": [("a b", "x")]}, "the name 'a b'"),
        ({"redact": [("literal", "x")]}, "names 'literal' twice"),
        ({"redact": [("a", "(")]}, "cannot be searched for: missing"),
        ({"redact": [("a", "(?<=x)y")]}, "RE2 reads it"),
        ({"redact": [("a", "x*")]}, "matches an empty text"),
        ({"redact": [("a", re.compile("x", re.VERBOSE))]}, "is verbose"),
        ({"redact": ["email"], "tools": [tool]}, "redact does not go with tools"),
        ({"redact": ["email"], "prompt": Prompt(user="x", media=["text"])}, "cannot mask the files of 'text'"),
    ],
)
def test_what_cannot_be_masked_is_refused_before_the_first_request(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepared(**changes)


def test_without_redact_the_request_has_the_bytes_that_it_had() -> None:
    """And the pipeline the same fingerprint; with it, another."""
    plain, masked = prepared(), prepared(redact=["email"])
    record = Record("a", 0, {"id": "a", "text": "x"})
    assert plain.build(record).body != masked.build(record).body
    assert (None, None, "") == (plain.build.redactor, plain.judge.redactor, plain.judge.canary)
    assert prepared(redact=["phone"]).fingerprint != masked.fingerprint != plain.fingerprint
