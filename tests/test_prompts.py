"""Templates: what they render, what they refuse, and that cells are data."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.errors import InputError, PromptError
from extract.prompts import Example, Prompt, read_examples
from extract.records import Record

HOSTILE = [
    "{{ 7*7 }}",
    "{% raw %}",
    "{% endraw %}",
    "{# x #}",
    "{{ ''.__class__ }}",
    "{{ text }}",
    "</s>",
    "{0.__class__}",
]


def record(**cells: Any) -> Record:
    return Record(key="k", position=0, cells=cells)


def said(prompt: Prompt, **cells: Any) -> str:
    return str(prompt.messages(record(**cells))[-1]["content"])


def test_messages_are_system_examples_and_the_record() -> None:
    """Examples are earlier turns, rendered with the same template; the answer is JSON in its own script."""
    prompt = Prompt(
        system="You read {{ kind }}.",
        user="Text: {{ text }}\n",
        examples=[{"record": {"text": "é", "kind": "x"}, "answer": {"name": "é", "n": None}}],
    )
    assert prompt.messages(record(text="t", kind="receipts")) == [
        {"role": "system", "content": "You read receipts."},
        {"role": "user", "content": "Text: é\n"},
        {"role": "assistant", "content": '{"name": "é", "n": null}'},
        {"role": "user", "content": "Text: t\n"},
    ]


def test_values_of_an_example_are_written_as_json() -> None:
    """A Decimal is a number, a date its ISO text, as the model should answer."""
    answer = {"total": Decimal("2.50"), "day": dt.date(2024, 1, 2), "at": dt.datetime(2024, 1, 2, 3), "p": Path("a")}
    prompt = Prompt(user="{{ text }}", examples=[Example({"text": "e"}, answer)])
    (_, turn, _) = prompt.messages(record(text="t"))
    assert json.loads(turn["content"]) == {"total": 2.5, "day": "2024-01-02", "at": "2024-01-02T03:00:00", "p": "a"}


@pytest.mark.parametrize("cell", HOSTILE)
def test_a_hostile_cell_stays_text(cell: str) -> None:
    """What a cell holds is never run as a template, in records and in examples."""
    prompt = Prompt(user="<{{ text }}>", examples=[{"record": {"text": cell}, "answer": {}}])
    assert [f"<{cell}>", "{}", f"<{cell}>"] == [turn["content"] for turn in prompt.messages(record(text=cell))]


@given(cell=st.text() | st.lists(st.sampled_from(HOSTILE)).map("".join))
def test_any_cell_stays_text(cell: str) -> None:
    """Rendering a bare column gives the cell, whatever it holds."""
    assert cell == said(Prompt(user="{{ text }}"), text=cell)
    assert cell == said(Prompt(user='{{ record["a b"] }}'), **{"a b": cell})


@pytest.mark.parametrize(
    "template",
    [
        "{{ text.__class__ }}",
        "{{ text.__class__.__mro__[1].__subclasses__() }}",
        "{{ text['__class__'] }}",
        "{{ text|attr('__class__') }}",
        "{{ ''.__class__ ~ text }}",
        "{{ '{0.__class__}'.format(text) }}",
        "{{ text.format(record) }}",
        "{{ record.update({'a': 1}) }}{{ text }}",
        "{{ cycler.__init__.__globals__ }}{{ text }}",
        "{% for i in range(10000000000) %}{{ text }}{% endfor %}",
        "{{ self.__init__.__globals__ }}{{ text }}",
        "{{ text + 1 }}",
        "{{ 1 / (text|length - text|length) }}",
        "{{ text.missing }}",
        "{{ record.missing }}{{ text }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}{{ text }}",
    ],
)
def test_the_sandbox_refuses(template: str) -> None:
    """Internals cannot be reached, nothing can be changed, and what fails is a PromptError."""
    with pytest.raises(PromptError, match=r"cannot be rendered|no valid template"):
        said(Prompt(user=template), text="{0.__class__}")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(user="{{ txt }}"), "a column 'txt' .*did you mean 'text'"),
        (Prompt(user="{{ zzz }}"), "the source has: text, Total due"),
        (Prompt(user="{{ text }}", system="{{ zzz }}"), "a column 'zzz'"),
        (Prompt(user='{{ record["Total do"] }}'), "did you mean 'Total due'"),
        (Prompt(user="no column"), "would be the same.*{{ text }}"),
        (Prompt(user="{{ text"), "user prompt is no valid template"),
        (Prompt(user="{{ text }}", system="{% if %}"), "system prompt is no valid template"),
        (Prompt(user="{{ text|nosuch }}"), "no valid template: No filter named 'nosuch'"),
        (Prompt(user="{% include 'x' %}{{ text }}"), "cannot include"),
        (Prompt(user="{{ text }}", examples=[{"record": {}, "answer": {}}]), "example 1 lacks the column 'text'"),
        (Prompt(user="{{ text }}", examples=[{"record": {"text": ""}}]), "example 1 is no example"),
        (Prompt(user="{{ text }}", examples=[5]), "example 1 is no example"),  # type: ignore[list-item]
        (Prompt(user="{{ text }}", examples=[{"record": 5, "answer": {}}]), "'record' is no object"),
        (Prompt(user="{{ text }}", examples=[{"record": {"text": ""}, "answer": []}]), "'answer' is no object"),
        (Prompt(user="{{ text + '' }}", examples=[{"record": {"text": 5}, "answer": {}}]), "cannot be rendered"),
    ],
)
def test_what_cannot_work_is_said_before_any_call(prompt: Prompt, message: str) -> None:
    """`check` names columns, templates and examples that do not fit."""
    with pytest.raises(PromptError, match=f"(?s){message}"):
        prompt.check(["text", "Total due"])


@pytest.mark.parametrize(
    ("user", "columns", "used"),
    [
        ("{{ b }} {{ a }}", ["a", "b", "c"], ("a", "b")),
        ('{{ record["a b"] }}', ["a b", "c"], ("a b",)),
        ("{{ record }}", ["a", "b"], ("a", "b")),
        ("{% for k, v in record.items() %}{{ k }}: {{ v }}\n{% endfor %}", ["a", "b"], ("a", "b")),
        ("{% for i in range(2) %}{{ a }}{% endfor %}", ["a", "b"], ("a",)),
        ("{{ range }}", ["range", "b"], ("range",)),
        ('{{ record["x"] }}', ["record", "b"], ("record", "b")),
        ("{% for record in a %}{{ record['x'] }}{% endfor %}", ["a", "b"], ("a",)),
        ("{% set x = 5 %}{{ x }}{{ a }}", ["a"], ("a",)),
    ],
)
def test_the_columns_of_a_prompt(user: str, columns: list[str], used: tuple[str, ...]) -> None:
    """What the template names, by name or as `record["…"]`; all when it uses the whole record."""
    prompt = Prompt(user=user)
    prompt.check(columns)
    assert used == prompt.text_columns(columns)


def test_a_source_without_columns_gets_a_usable_hint() -> None:
    """The hint shows a template even then."""
    with pytest.raises(PromptError, match=r"\{\{ text \}\}"):
        Prompt(user="x").check([])


def test_a_column_that_hides_a_helper() -> None:
    """A column called `range` or `record` is the column."""
    assert said(Prompt(user="{{ range }} {{ record }}"), range="R", record="C") == "R C"


def test_only_the_nearest_examples_are_sent_the_closest_last() -> None:
    """`nearest` picks by likeness to the record; more than there are means all, in order."""
    examples = [
        {"record": {"text": text}, "answer": {"n": n}} for n, text in enumerate(["red fox", "blue sea", "red sea"])
    ]

    def answers(nearest: int | None) -> list[int]:
        turns = Prompt(user="{{ text }}", examples=examples, nearest=nearest).messages(record(text="the red sea"))
        return [json.loads(turn["content"])["n"] for turn in turns if turn["role"] == "assistant"]

    assert answers(2)[-1] == 2
    assert len(answers(2)) == 2
    assert answers(0) == []
    assert answers(9) == answers(None) == [0, 1, 2]


def test_impossible_options_are_refused() -> None:
    """Media are not supported yet; a negative number of examples makes no sense."""
    with pytest.raises(PromptError, match="media"):
        Prompt(user="{{ text }}", media=["image"]).check(["text", "image"])
    with pytest.raises(PromptError, match="nearest is -1"):
        Prompt(user="{{ text }}", nearest=-1)
    Prompt(user="{{ text }}", nearest=0, examples=[{"record": {"text": 1}, "answer": {}}]).check(["text"])


def test_examples_from_a_file(tmp_path: Path) -> None:
    """JSONL with or without BOM, blank lines passed over; strange line ends in text do not split it."""
    path = tmp_path / "e.jsonl"
    line = json.dumps({"record": {"text": "a\u2028b"}, "answer": {"n": 1}}, ensure_ascii=False)
    path.write_bytes(b"\xef\xbb\xbf" + f"{line}\n\n{line}\r\n".encode())
    example = Example({"text": "a\u2028b"}, {"n": 1})
    assert [example, example] == read_examples(path)
    assert (example, example) == Prompt(user="{{ text }}", examples=str(path)).loaded_examples
    assert (example,) == Prompt(user="{{ text }}", examples=[example]).loaded_examples


def test_a_bad_examples_file_is_named_with_its_line(tmp_path: Path) -> None:
    """File and line of what cannot be read."""
    path = tmp_path / "e.jsonl"
    with pytest.raises(InputError, match=r"e\.jsonl: the examples cannot be read: No such file"):
        read_examples(path)
    path.write_text('{"record": {}, "answer": {}}\n{"record": \n')
    with pytest.raises(InputError, match=r"e\.jsonl, line 2: not JSON"):
        read_examples(path)
    path.write_text('\n{"record": {}}\n')
    with pytest.raises(PromptError, match=r"e\.jsonl, line 2 is no example"):
        read_examples(path)


def test_a_null_cell_is_no_text() -> None:
    """Null renders as nothing, not as the word None."""
    record = Record("a", 0, {"text": "t", "note": None})
    assert "t//" == Prompt(user="{{ text }}/{{ note }}/").messages(record)[-1]["content"]
