"""docs/protocol.md: every test and module that it names is there, and no feature and no quirk is missing."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "protocol.md").read_text("utf-8")
CITED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")

# What the first API page names, in its order, as the first cells of the rows say it.
FIRST_PAGE = (
    "Chat Completions",
    "Chat and reasoning: multi-turn context",
    "Chat and reasoning: structured outputs",
    "Streaming output (SSE), read",
    "Streaming output (SSE), served",
    "Tool calling, by us",
    "Tool calling, served",
    "calls are stateless",
    "minimal request",
    "minimal response: `id`, `model`, `object`, `choices`",
    "minimal response without `message`",
    "parameter `model`",
    "parameter `messages`",
    "parameter `max_tokens`",
    "parameter `stream`",
    "parameter `tools`",
    "error 400 `invalid_request_error`",
    "the same 400, served",
    "error 401 `authentication_error`",
    "the same 401, served",
)
SECOND_PAGE = (
    "`{model}/v1/chat/completions`",
    "Streaming: `Content-Type: text/event-stream`",
    "Streaming: each event starts with `data:`",
    "Streaming: incremental message deltas",
    "Streaming: the final event has `finish_reason`",
    "`stream`, default true",
    "Multimodal: images",
    "Multimodal: PDFs and other documents",
    "Multimodal: audio and video",
    "Unified Media File Format",
    "large-scale long context",
    "Flexible Roles",
    'Google Search: `{"function": {"name": "googleSearch"}}`',
    "Google Search, served",
    "`tools` with several functions",
    "function `name`",
    "function `description`",
    'function `parameters`: `type` "object", `properties`',
    "parameter `type`, `description`, `enum`",
    "function `required`",
    "Google Search × function calling",
    "function calling × `response_format`",
    "`response_format`, form A",
    *(f"`response_format`: `{kind}`" for kind in ("string", "number", "integer", "boolean", "object", "array", "null")),
    *(f"objects: `{keyword}`" for keyword in ("properties", "required", "additionalProperties")),
    "strings: `enum`",
    "strings: `format` (`date-time`, `date`, `time`)",
    "numbers: `enum`",
    "numbers: `minimum`, `maximum`",
    "arrays: `items`",
    "arrays: `prefixItems`",
    "arrays: `minItems`, `maxItems`",
    "best practice: clear descriptions",
    "best practice: strong typing",
    "best practice: prompt engineering",
    "best practice: validate semantically",
    "`Authorization: Bearer`",
    "keep the key secure",
    "body `messages`",
    "body `include_thoughts`, default true",
    "thoughts, read and served",
    "body `reasoning_effort`: `low`, `high`",
    "response: `id`, `object`, `created`",
    "response: `model`",
    "response: `choices`",
    "response: conforms to the schema",
)


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The cells of the table in a section, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_"))


def test_every_test_that_is_named_exists() -> None:
    cited = sorted(set(CITED.findall(PAGE)))
    assert len(cited) > 150
    assert [] == [path for path, _ in cited if not (ROOT / path).is_file()]
    assert [] == [f"{path}::{name}" for path, name in cited if name not in names_in(path)]
    assert PAGE.count("::test_") == len(CITED.findall(PAGE))  # none is written in another way


@pytest.mark.parametrize(
    ("title", "features"),
    [("The page of gemini-3-1-pro-preview", FIRST_PAGE), ("The page of Gemini 3 Pro", SECOND_PAGE)],
)
def test_every_feature_of_the_api_pages_has_its_row(title: str, features: tuple[str, ...]) -> None:
    """Where it is, and a test that shows it."""
    found = rows(title)
    assert [] == [feature for feature in features if sum(row[0].startswith(feature) for row in found) != 1]
    assert [] == [row[0] for row in found if not (row[1] and CITED.search(row[2]))]


def test_the_modules_of_the_features_exist() -> None:
    titles = ("The page of gemini-3-1-pro-preview", "The page of Gemini 3 Pro")
    named = {name for title in titles for row in rows(title) for name in re.findall(r"`([\w/]+(?:\.py|/))`", row[1])}
    assert len(named) > 20
    assert [] == sorted(name for name in named if not (ROOT / "extract" / name).exists())


def test_every_quirk_has_its_row() -> None:
    """Once, in order, with what the client does and a test that shows it."""
    found = rows("What servers do that they should not")
    assert [f"Q{number}" for number in range(1, 80)] == [row[0] for row in found]
    assert [] == [row[0] for row in found if len(row) != 4 or not all(row) or not CITED.search(row[3])]


def test_a_quirk_with_tests_of_its_own_names_one_of_them() -> None:
    """A test called after a quirk stands in its row, or another of the same name does."""
    files = sorted([*ROOT.glob("tests/client/test_quirks_*.py"), ROOT / "tests" / "test_quirks_content.py"])
    own: dict[str, set[str]] = {}
    for path in files:
        for name in names_in(path.relative_to(ROOT).as_posix()):
            for number in re.findall(r"q(\d+)_", name):
                own.setdefault(f"Q{number}", set()).add(name)
    shown = {
        row[0]: {name for _, name in CITED.findall(row[3])} for row in rows("What servers do that they should not")
    }
    assert len(own) > 50
    assert [] == sorted(quirk for quirk, names in own.items() if not names & shown[quirk])


def test_flags_and_codes_of_the_quirks_are_those_of_the_errors_page() -> None:
    """What the table says of a row or of the quarantine is explained on the page of reasons."""
    reasons = (ROOT / "docs" / "reasons.md").read_text("utf-8")
    families = "output|parse|policy|schema|semantic"
    cells = " ".join(row[2] for row in rows("What servers do that they should not"))
    codes = set(re.findall(rf"`((?:{families})\.\w+)`", cells))
    flags = {
        flag for said in re.findall(r"flagged ((?:`[^`]+`(?:, )?)+)", cells) for flag in re.findall(r"`(\w+)", said)
    }
    assert {"parse.truncated", "output.loop"} <= codes
    assert {"fenced", "repeated", "unwrapped"} <= flags
    assert [] == sorted(code for code in codes if f"`{code}`" not in reasons)
    assert [] == sorted(flag for flag in flags if not re.search(rf"`{flag}\W", reasons))


def test_the_differences_to_the_sdk_are_counted() -> None:
    """252 interactions, 240 of them equal: the table names the others, each once."""
    title = "Recorded traffic, read by us and by the openai SDK"
    named = [name for row in rows(title) for name in row[0].split(", ")]
    whole, equal = (
        int(number) for number in re.findall(r"(?:^|\s)(\d+) (?:recorded interactions|are equal)", section(title))
    )
    assert whole - equal == len(named) == len(set(named))
