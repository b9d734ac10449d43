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

from extract.errors import ConfigError, InputError, PromptError
from extract.media import Media, MediaError, Part
from extract.prompts import Example, Prompt, read_examples
from extract.records import Record
from tests.media.making import pdf

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
    """A negative number of examples makes no sense."""
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


def part(name: str, text: str | None = None) -> Part:
    return Part("image/png", 1, name, text=text, make=None if text else lambda: b"")


def shown(content: Any) -> list[str]:
    """The pieces of a user message: texts, and the names of files in brackets."""
    return [item.get("text") or f"[{item['image_url']['url'].rpartition(',')[2]}]" for item in content]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("Look: {{ text }}", ["Look: t", "[a1]", "[a2]", "[b]"]),
        ("{{ a }}Look: {{ text }}", ["[a1]", "[a2]", "Look: t", "[b]"]),
        ("A {{ b }} B {{ a }} C", ["A ", "[b]", " B ", "[a1]", "[a2]", " C"]),
        ("{{ a }}{{ b }}", ["[a1]", "[a2]", "[b]"]),
        ('{{ record["a"] }}.', ["[a1]", "[a2]", ".", "[b]"]),
        ("{% if a %}yes{% endif %}{% if c %}no{% endif %}", ["yes", "[a1]", "[a2]", "[b]"]),
    ],
)
def test_files_stand_where_the_template_says_or_behind_the_text(user: str, expected: list[str]) -> None:
    """In the order of the columns; a column is true in a template when it holds something."""
    prompt = Prompt(user=user, media=["a", Media(column="b"), "c"])
    prompt.check(["text", "a", "b", "c"])
    parts = {"a": (part("a1"), part("a2")), "b": (part("b"),), "c": ()}
    messages, _ = prompt.fitted(record(text="t", a="x.png", b="y.png", c=None), parts)
    assert expected == shown(messages[-1]["content"])


def test_texts_of_files_and_no_files_give_a_plain_message() -> None:
    """As servers without eyes take it; the files' texts stand in their places."""
    prompt = Prompt(user="Read {{ a }} now", media=["a", "b"])
    parts = {"a": (part("a", "AAA"),), "b": (part("b", "BBB"),)}
    assert "Read \nAAA\n now\nBBB" == prompt.fitted(record(a="x", b="y"), parts)[0][-1]["content"]
    assert "Read  now" == prompt.fitted(record(a=None, b=None), {"a": (), "b": ()})[0][-1]["content"]


@pytest.mark.parametrize("user", ["{{ a|upper }}", "{{ a ~ 'x' }}", "{{ a.b }}", "{{ '%s' % a }}", "{{ a[0] }}"])
def test_a_file_is_no_text(user: str) -> None:
    """It can be placed, and nothing else."""
    with pytest.raises(PromptError, match="cannot be rendered"):
        Prompt(user=user, media=["a"]).fitted(record(a="x"), {"a": ()})


@pytest.mark.parametrize("value", [b"\x89PNG", bytearray(b"x"), memoryview(b"x")])
def test_bytes_are_no_text(value: Any) -> None:
    """They are files; printing them would send their escapes."""
    with pytest.raises(PromptError, match="holds bytes"):
        Prompt(user="{{ a }}").messages(record(a=value))


def test_a_cell_cannot_place_a_file() -> None:
    """The mark of a place is nothing that a cell can hold; the whole record prints no path, and always the same."""
    prompt = Prompt(user="{{ record }}{{ text }}", media=["a"])
    cells = {"text": "{{ a }} \x02:0\x03", "a": "secret.png"}
    (content,) = (message["content"] for message in prompt.fitted(record(**cells), {"a": (part("a"),)})[0])
    assert "{'text': '{{ a }} \\x02:0\\x03', 'a': a file}{{ a }} \x02:0\x03" == content[0]["text"]
    assert 2 == len(content)


def test_media_are_checked_before_any_call() -> None:
    """Columns that are not there or cannot hold files, and files outside the user message or in examples."""
    columns = ["text", "image"]
    Prompt(user="What is this?", media=["image"]).check(columns, {"image": "binary", "text": "string"})
    Prompt(user="{{ text }}", media=["image"]).check(columns, {"image": "list<item: string>"})
    bad: list[tuple[Prompt, str]] = [
        (Prompt(user="{{ text }}", media=["imag"]), "media column 'imag'.*did you mean 'image'"),
        (Prompt(user="{{ text }}", media=["zzz"]), "the source has: text, image"),
        (Prompt(user="{{ text }}", media=["image"], system="{{ image }}"), "outside the user prompt"),
        (Prompt(user="{{ text }}", media=["image"], turns=[("user", "{{ image }}")]), "outside the user prompt"),
        (
            Prompt(user="{{ text }}", media=["image"], examples=[{"record": {"text": "", "image": "a"}, "answer": {}}]),
            "example 1 has a file in 'image'",
        ),
    ]
    for prompt, message in bad:
        with pytest.raises(PromptError, match=message):
            prompt.check(columns)
    for kind in ("int64", "double", "bool", "timestamp[us]"):
        with pytest.raises(PromptError, match=f"'image' is {kind[:4]}"):
            Prompt(user="{{ text }}", media=["image"]).check(columns, {"image": kind})
    with pytest.raises(PromptError, match="named twice"):
        Prompt(user="{{ text }}", media=["a", Media(column="a")])


def test_without_the_libraries_media_are_refused_before_any_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts without media need none of them."""
    monkeypatch.setattr("extract.media.libraries.find_spec", lambda name: None)
    Prompt(user="{{ text }}").check(["text"])
    with pytest.raises(ConfigError, match=r"pip install 'tablecast\[documents\]'"):
        Prompt(user="{{ text }}", media=["image"]).check(["text", "image"])


def test_examples_go_without_files() -> None:
    """Their turns are plain texts, also where the template places a file."""
    prompt = Prompt(user="{{ a }}T: {{ text }}", media=["a"], examples=[{"record": {"text": "e"}, "answer": {}}])
    prompt.check(["text", "a"])
    messages, _ = prompt.fitted(record(text="t", a="x"), {"a": (part("a"),)})
    assert ["T: e", "{}", ["[a]", "T: t"]] == [*(m["content"] for m in messages[:2]), shown(messages[2]["content"])]


def test_media_columns_hold_no_text() -> None:
    """The text of a record stands elsewhere; with neither text nor files there is nothing to ask."""
    prompt = Prompt(user="{{ text }}{{ a }}", media=["a", "b"])
    assert ("text",) == prompt.text_columns(["id", "text", "a", "b"])
    assert ("id", "text") == Prompt(user="What?", media=["a"]).text_columns(["id", "text", "a"])
    nothing = [{"text": "", "a": None, "b": []}, {"text": None, "a": b"", "b": ""}]
    something = [
        {"text": "x", "a": None, "b": None},
        {"text": "", "a": b"x", "b": None},
        {"text": "", "a": "", "b": ["x"]},
    ]
    assert [True] * 2 + [False] * 3 == [prompt.says_nothing(record(**each), ["text"]) for each in nothing + something]


def test_more_turns_of_every_role() -> None:
    """Opening orders go to the head, a conversation stands between the examples and the record."""
    prompt = Prompt(
        system="S {{ kind }}",
        user="{{ text }}",
        examples=[{"record": {"text": "e", "kind": "k", "who": "w"}, "answer": {}}],
        turns=[
            ("developer", "D {{ who }}"),
            ("system", "S2"),
            ("user", "Hello, I am {{ who }}"),
            ("assistant", "Hi {{ who }}"),
            ("system", "S3"),
        ],
    )
    prompt.check(["text", "kind", "who"])
    assert ("kind", "text", "who") == prompt.columns
    assert [
        ("system", "S k"),
        ("developer", "D w"),
        ("system", "S2"),
        ("user", "e"),
        ("assistant", "{}"),
        ("user", "Hello, I am w"),
        ("assistant", "Hi w"),
        ("system", "S3"),
        ("user", "t"),
    ] == [(turn["role"], turn["content"]) for turn in prompt.messages(record(text="t", kind="k", who="w"))]


@pytest.mark.parametrize("turn", [("tool", "x"), ("user",), ("user", 5), ("user", "a", "b"), "user"])
def test_what_is_no_turn_is_refused_at_once(turn: Any) -> None:
    with pytest.raises(PromptError, match="is no turn"):
        Prompt(user="{{ text }}", turns=[turn])


def test_turns_are_checked_as_templates() -> None:
    """Their columns and their syntax."""
    with pytest.raises(PromptError, match="a column 'zzz'"):
        Prompt(user="{{ text }}", turns=[("user", "{{ zzz }}")]).check(["text"])
    with pytest.raises(PromptError, match="assistant turn is no valid template"):
        Prompt(user="{{ text }}", turns=[("assistant", "{{ ")]).check(["text"])


def test_a_prompt_makes_its_parts_from_the_folder_of_the_source(tmp_path: Path) -> None:
    """Names alone are columns with the usual settings."""
    (tmp_path / "a.pdf").write_bytes(pdf(["Invoice 7"]))
    prompt = Prompt(user="Read:", media=[Media(column="file", as_="text"), "more"])
    with pytest.raises(MediaError, match="more: the cell is empty"):
        prompt.attachments(tmp_path).parts_for(record(file="a.pdf", more=None))
    prompt = Prompt(user="Read:", media=[Media(column="file", as_="text")])
    parts = prompt.attachments(tmp_path).parts_for(record(file="a.pdf"))
    (message,) = prompt.fitted(record(file="a.pdf"), parts)[0]
    assert "Invoice 7" in message["content"].splitlines()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"media": "file"}, "media is 'file', not a list .a list of columns: media="),
        ({"media": Media(column="file")}, "not a list"),
        ({"media": [1]}, "1 is no media column .its name, or Media"),
        ({"narrow": "label", "nearest": 1}, "narrow is 'label', not a list"),
        ({"turns": "user"}, "turns is 'user', not a list"),
    ],
)
def test_a_text_is_no_list(given: dict[str, Any], message: str) -> None:
    """Its letters would be taken for columns."""
    with pytest.raises(PromptError, match=message):
        Prompt(user="{{ text }}", **given)


@pytest.mark.parametrize(
    "value", [None, "", "a\r\nb", 0, 1.5, True, Decimal("1.50"), dt.date(2026, 1, 2), ["x"], {"a": 1}, float("nan")]
)
@pytest.mark.parametrize(
    "text", ["{{ a }}", "x\n{{ a }}\r\n{# not said #}{{ a }}\n", "{%- raw %}{{ a }}{% endraw %} {{ a }}"]
)
def test_a_template_of_texts_and_columns_says_what_jinja_says(text: str, value: Any) -> None:
    """It is joined without Jinja; a template with more in it is not."""
    plain, whole = Prompt(user=text), Prompt(user=text + "{% if true %}{% endif %}")
    assert plain._user.pieces
    assert () == whole._user.pieces
    record = Record(key=1, position=0, cells={"a": value})
    assert plain.messages(record) == whole.messages(record)


@pytest.mark.parametrize("cells", [{}, {"a": b"x"}])
def test_what_cannot_be_said_is_told_in_the_same_words(cells: dict[str, Any]) -> None:
    said = []
    for text in ("{{ a }}", "{{ a }}{% if true %}{% endif %}"):
        with pytest.raises(PromptError) as caught:
            Prompt(user=text).messages(Record(key=1, position=0, cells=cells))
        said.append(str(caught.value))
    assert said[0] == said[1]
