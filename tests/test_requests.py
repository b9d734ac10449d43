"""Record → the exact request."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from extract.api import prepare_run
from extract.config import Endpoint, Model
from extract.dialects import DIALECTS
from extract.errors import PromptError
from extract.prompts import Example, Prompt
from extract.records import Issue, Record
from extract.requests import RequestBuilder, Unaskable, estimated_tokens
from extract.schema import compile_schema
from extract.verbatim import Verbatim, contains


class Item(BaseModel):
    name: str


class Receipt(BaseModel):
    total: Annotated[Decimal, Verbatim("money")]
    day: Annotated[dt.date | None, Verbatim("date", day_first=True)]


def builder(schema: type[BaseModel] = Item, prompt: Prompt | None = None, **changes: Any) -> RequestBuilder:
    settings: dict[str, Any] = {"model": Model(), "model_name": "m", "dialect": DIALECTS["openai"]}
    settings |= {"text_columns": ["text"]}
    return RequestBuilder(
        prompt=prompt or Prompt(user="{{ text }}"), schema=compile_schema(schema), **settings | changes
    )


def record(text: Any, key: Any = "k", **more: Any) -> Record:
    return Record(key=key, position=0, cells={"text": text}, **more)


def wire(build: RequestBuilder, text: Any) -> dict[str, Any]:
    found = json.loads(build(record(text)).body)
    return dict(found["response_format"]["json_schema"]["schema"]["properties"])


def test_the_body_is_complete_and_explicit() -> None:
    """Model, messages, stream and max_tokens always; options only when they are set; then the schema."""
    schema = compile_schema(Item)
    body = json.loads(builder()(record("t")).body)
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "t"}],
        "stream": False,
        "max_tokens": 1024,
        "response_format": schema.response_format,
    }
    model = Model(
        max_tokens=5, temperature=0, top_p=0.5, seed=1, stop=["\n"], reasoning_effort="low", extra_body={"x": 1}
    )
    body = json.loads(builder(model=model, dialect=replace(DIALECTS["kie"], form="B"))(record("t")).body)
    assert body.pop("response_format") == schema.wire_schema
    assert body == {
        "messages": [{"role": "user", "content": "t"}],
        "stream": False,
        "max_tokens": 5,
        "temperature": 0,
        "top_p": 0.5,
        "seed": 1,
        "stop": ["\n"],
        "reasoning_effort": "low",
        "include_thoughts": False,  # else this dialect gives thoughts, which are paid for
        "x": 1,
    }


def test_a_request_has_the_same_name_streamed_or_not() -> None:
    """The answer is the same, so it is not asked for again when the way it comes is changed."""
    plain, streamed = builder()(record("t")), builder(model=Model(stream=True))(record("t"))
    assert plain.hash == streamed.hash
    assert {"stream": True, "stream_options": {"include_usage": True}}.items() <= json.loads(streamed.body).items()


def test_the_hash_names_the_exact_request() -> None:
    """Equal records share it, unless told otherwise; text, model and path count."""
    build = builder()
    assert build(record("t", key=1)).hash == build(record("t", key=2)).hash
    assert build(record("t")).hash != build(record("u")).hash
    own = builder(share_answers=False)
    assert own(record("t", key=1)).hash != own(record("t", key=2)).hash
    assert own(record("t", key=1)).hash != own(record("t", key="1")).hash
    paths = [builder(dialect=DIALECTS["kie"], model_name=name)(record("t")) for name in ("a", "b")]
    assert paths[0].body == paths[1].body
    assert paths[0].hash != paths[1].hash


def test_candidates_are_an_enum_of_the_record() -> None:
    """Each record has its own; null where the model allows it; nothing found leaves only null."""
    properties = wire(builder(Receipt), "Bread 2.50, total 2,50 on 02/05/2018 or 12/31/2018")
    assert {"type": "string", "enum": ["2.50", "2,50"]} == properties["total"]
    assert {"type": ["string", "null"], "enum": ["02/05/2018", None]} == properties["day"]
    assert {"type": "null"} == wire(builder(Receipt), "2.50")["day"]
    assert "enum" not in json.dumps(compile_schema(Receipt).wire_schema)


@given(text=st.text(alphabet="0123456789.,:/-'() \n\tRM$€aJjanury%") | st.text())
def test_what_is_offered_stands_in_the_record(text: str) -> None:
    """Every enum on the wire holds spans of the record's own text, white space folded."""
    try:
        properties = wire(builder(Receipt), text)
    except Unaskable:
        return
    for node in properties.values():
        assert all(contains(text, span) for span in node.get("enum", []) if span is not None)


def test_above_the_limit_the_field_goes_plain() -> None:
    """One candidate too many and the wire carries none."""
    model = create_model("M", a=(Annotated[Decimal, Verbatim("money", limit=2)], ...))
    assert ["1.00", "2.00"] == wire(builder(model), "1.00 2.00")["a"]["enum"]
    assert {"type": "string"} == wire(builder(model), "1.00 2.00 3.00")["a"]


def test_a_record_on_which_a_pattern_takes_too_long_is_not_asked() -> None:
    """It is the record's text that the pattern cannot cope with; others are asked."""
    model = create_model("M", a=(Annotated[str, Verbatim(r"((?:a+)+)b")], ...))
    assert ["aa"] == wire(builder(model), "aab")["a"]["enum"]
    with pytest.raises(Unaskable) as caught:
        builder(model)(record("a" * 5000 + "c"))
    assert ("verbatim.slow_pattern", "$.a") == (caught.value.issue.code, caught.value.issue.path)


def test_a_record_without_any_candidate_is_not_asked() -> None:
    """A field that must be there and cannot be is found before paying."""
    with pytest.raises(Unaskable) as caught:
        builder(Receipt)(record("no figure"))
    assert ("prompt", "verbatim.no_candidate", "$.total") == (
        caught.value.issue.stage,
        caught.value.issue.code,
        caught.value.issue.path,
    )


def test_what_may_be_absent_does_not_stop_the_request() -> None:
    """Items of a list and parts of an object that may be null need no candidate."""
    inner = create_model("Inner", x=(Annotated[Decimal, Verbatim("money")], ...))
    model = create_model("M", a=(list[inner], ...), b=(inner | None, ...), c=(inner, ...))  # type: ignore[valid-type]
    with pytest.raises(Unaskable) as caught:
        builder(model)(record("nothing"))
    assert "$.c.x" == caught.value.issue.path
    model = create_model("M", a=(list[inner], ...), b=(inner | None, ...))  # type: ignore[valid-type]
    assert {"type": "string"} == wire(builder(model), "nothing")["b"]["properties"]["x"]


def test_a_record_that_cannot_be_asked_says_why() -> None:
    """A problem of its source, a template that fails on it, text that is none."""
    problem = Issue("source", "csv.cells", "$", "too few")
    cases = [
        (builder(), record("t", problem=problem), "csv.cells"),
        (builder(prompt=Prompt(user="{{ text + 1 }}")), record("t"), "prompt.render"),
        (builder(), record("half \ud800"), "prompt.text"),
    ]
    for build, row, code in cases:
        with pytest.raises(Unaskable) as caught:
            build(row)
        assert code == caught.value.issue.code


def example(text: str, **answer: Any) -> Prompt:
    return Prompt(user="{{ text }}", examples=[{"record": {"text": text}, "answer": answer}])


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (example("1.00", total="2.00", day=None), "example 1 breaks the schema at .*total"),
        (example("1.00", total="1.00"), "'day' is a required"),
        (example("1.00", total="1.00", day=None, more=1), "unexpected"),
        (example("none", total="1.00", day=None), "example 1: the record holds nothing"),
    ],
)
def test_an_example_that_breaks_the_schema_or_invents_is_refused(prompt: Prompt, message: str) -> None:
    """Examples are held to what the model is held to."""
    with pytest.raises(PromptError, match=message):
        builder(Receipt, prompt).check_examples()
    builder(Receipt, example("1.00", total="1.00", day=None)).check_examples()


def test_a_value_in_an_example_becomes_its_span() -> None:
    """The reader writes values, the wire carries spans: a number finds the writing of its own record."""
    prompt = example("paid 1.234,50 on 02/05/2018", total=1234.5, day="2018-05-02")
    (fitted,) = builder(Receipt, prompt).with_wire_examples().prompt.loaded_examples
    assert {"total": "1.234,50", "day": "02/05/2018"} == fitted.answer
    prompt = example("paid 1.00", total="1.00", day=None)
    assert {"total": "1.00", "day": None} == builder(Receipt, prompt).with_wire_examples().prompt.loaded_examples[
        0
    ].answer


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (example("1.00", total=2, day=None), "does not stand in the example's record"),
        (example("1.00", total="much", day=None), "does not stand in the example's record"),
        (example("1.00 1,00", total=1, day=None), "more than once"),
    ],
)
def test_a_value_without_one_span_is_refused(prompt: Prompt, message: str) -> None:
    """Invented or ambiguous values of an example are named."""
    with pytest.raises(PromptError, match=message):
        builder(Receipt, prompt).with_wire_examples()


class Ticket(BaseModel):
    topic: Literal["pay", "ship", "other"]
    note: str


def tickets(*topics: str, **options: Any) -> RequestBuilder:
    examples = [{"record": {"text": f"{topic} x"}, "answer": {"topic": topic, "note": "n"}} for topic in topics]
    return builder(Ticket, Prompt(user="{{ text }}", examples=examples, **options))


def test_an_enum_can_be_narrowed_to_the_nearest_examples() -> None:
    """Only what the chosen examples answer is offered, in the enum's own order."""
    build = tickets("ship", "pay", "other", nearest=2, narrow=["topic"]).with_wire_examples()
    assert ["pay", "ship"] == wire(build, "pay ship")["topic"]["enum"]
    assert ["pay", "ship", "other"] == wire(tickets("ship", nearest=1), "x")["topic"]["enum"]


def test_only_an_enum_can_be_narrowed() -> None:
    """A field that is none, or that is not there, is refused before any call."""
    for name in ("note", "missing"):
        with pytest.raises(PromptError, match=f"narrow names '{name}'"):
            tickets("ship", nearest=1, narrow=[name]).with_wire_examples()
    with pytest.raises(PromptError, match="narrow needs nearest"):
        tickets("ship", narrow=["topic"])


def test_tokens_are_estimated_from_the_body() -> None:
    """Four bytes each."""
    request = builder()(record("t" * 400))
    assert len(request.body) // 4 == estimated_tokens(request)


@pytest.mark.parametrize("cell", [None, ""])
def test_a_record_without_any_text_is_not_asked(cell: Any) -> None:
    """A null or empty cell costs nothing: the record goes to the quarantine unasked."""
    with pytest.raises(Unaskable) as caught:
        builder()(record(cell))
    assert "prompt.empty" == caught.value.issue.code


def test_narrow_offers_only_what_the_examples_sent_answer() -> None:
    """`narrow` cuts an enum to the answers of the nearest examples, in the enum's order."""
    schema = create_model("M", kind=(Literal["a", "b", "c", "d"], ...))
    texts = {"red apple": "c", "red apples": "a", "green car": "b", "blue car": "d"}
    examples = [{"record": {"text": text}, "answer": {"kind": kind}} for text, kind in texts.items()]
    prompt = Prompt(user="{{ text }}", examples=examples, nearest=2, narrow=["kind"])
    build = builder(schema, prompt).with_wire_examples()
    assert ["a", "c"] == wire(build, "a red apple")["kind"]["enum"]
    assert ["b", "d"] == wire(build, "a fast car")["kind"]["enum"]
    assert ["a", "b", "c", "d"] == build.schema.wire_schema["properties"]["kind"]["enum"]


def test_narrow_on_a_field_without_enum_is_refused() -> None:
    """`narrow` names enum fields only, and needs `nearest`."""
    examples = [{"record": {"text": "t"}, "answer": {"name": "n"}}]
    with pytest.raises(PromptError, match="no enum field"):
        builder(prompt=Prompt(user="{{ text }}", examples=examples, nearest=1, narrow=["name"])).with_wire_examples()
    with pytest.raises(PromptError, match="needs nearest"):
        Prompt(user="{{ text }}", narrow=["name"])


def test_an_example_may_answer_with_the_value() -> None:
    """A bound value of an example becomes the span that reads as it; two that fit, or none, are refused."""

    class Bill(BaseModel):
        total: Annotated[Decimal, Verbatim("money", labelled=True)]

    def answer(text: str, total: Any) -> Any:
        examples = [{"record": {"text": text}, "answer": {"total": total}}]
        build = builder(Bill, Prompt(user="{{ text }}", examples=examples)).with_wire_examples()
        return build.prompt.loaded_examples[0].answer["total"]

    assert "TOTAL 7.20" == answer("tea 4.20\nTOTAL 7.20", "7.20")
    assert "TOTAL 7.20" == answer("tea 4.20\nTOTAL 7.20", Decimal("7.2"))
    assert "CASH 7.20" == answer("TOTAL 7.20\nCASH 7.20", "CASH 7.20")
    with pytest.raises(PromptError, match="more than once"):
        answer("TOTAL 7.20\nCASH 7.20", "7.20")
    with pytest.raises(PromptError, match="does not stand"):
        answer("TOTAL 7.20", "9.99")


def test_spans_that_the_field_itself_forbids_are_not_offered() -> None:
    """A discount is no total that is at least 0; without any other candidate the record is not asked."""

    class Bill(BaseModel):
        total: Annotated[Decimal, Verbatim("money")] = Field(ge=0, lt=100)

    assert ["12.00"] == wire(builder(Bill), "TOTAL 12.00\nDISCOUNT -5.00\nCARD NO 100.00")["total"]["enum"]
    with pytest.raises(Unaskable):
        builder(Bill)(record("DISCOUNT -5.00"))


def test_an_example_is_written_as_the_model_takes_it() -> None:
    """Maps, unions and bytes as in Python; the request shows them in the form of the wire."""
    model = create_model("M", a=(dict[str, int], ...), b=(dt.date | str, ...))
    answer = {"a": {"x": 1}, "b": "soon"}
    wired = {"a": [{"key": "x", "value": 1}], "b": {"tag": "text", "date": None, "text": "soon"}}
    for form in (answer, wired):  # either form is taken
        prompt = Prompt(user="{{ text }}", examples=[Example({"text": "t"}, form)])
        assert wired == dict(builder(model, prompt).with_wire_examples().prompt.loaded_examples[0].answer)
    wrong = Prompt(user="{{ text }}", examples=[Example({"text": "t"}, {"a": 5, "b": "x"})])
    with pytest.raises(PromptError, match=r"example 1 breaks the schema at \$\.a"):
        builder(model, wrong).with_wire_examples()


class Noted(BaseModel):
    day: Annotated[dt.date | None, Verbatim("date", day_first=True)]
    note: str | None = "none"
    parts: list[Receipt] = []


def test_an_example_of_a_call_leaves_out_what_is_null() -> None:
    """Also in an example that answers with spans; a null that is not the default stays, as absence would not say it."""
    part = {"total": "9,50", "day": None}
    answer = {"day": None, "note": None, "parts": [part]}
    prompt = Prompt(user="{{ text }}", examples=[{"record": {"text": "bread 9,50"}, "answer": answer}])
    schema = compile_schema(Noted, "function")
    build = replace(builder(Noted, prompt, model=Model(mode="tool")), schema=schema).with_wire_examples()
    assert [example.answer for example in build.prompt.loaded_examples] == [
        {"note": None, "parts": [{"total": "9,50"}]}
    ]
    body = json.loads(build(record("bread 9,50")).body)  # no date stands there, and the field may be left out
    assert body["tools"][0]["function"]["parameters"]["properties"]["day"]["nullable"] is True


def test_the_receipts_can_be_asked_for_as_calls() -> None:
    """Their examples hold spans and nulls, and are told as the arguments of a call."""
    from pipelines.receipts import pipeline

    called = replace(pipeline, model=pipeline.model.replaced({"mode": "tool"}))
    examples = prepare_run(called, endpoint=Endpoint.local()).build.prompt.loaded_examples
    given = pipeline.prompt.loaded_examples  # type: ignore[union-attr]  # it is a Prompt
    assert [set(example.answer) for example in examples] == [
        {name for name, value in example.answer.items() if value is not None} for example in given
    ]
    assert {"company": "MISTER PRINT", "date": "2021-02-08", "total": "Amount due 8.36"} == examples[1].answer


def test_a_file_without_text_says_how_files_go() -> None:
    """A folder of pictures with a prompt over its text has nothing to ask; the message names the way."""
    cells = {"text": None, "file": "a.png", "media_type": "image/png"}
    with pytest.raises(Unaskable, match=r"Prompt\(media=\['file'\]\)"):
        builder()(Record(key="a.png", position=0, cells=cells))
    with pytest.raises(Unaskable, match=r"is empty$"):
        builder()(Record(key="k", position=0, cells={"text": None, "file": "a.png"}))
