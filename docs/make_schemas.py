"""Writes the tables of docs/schemas.md, one from a run over the SchemaStore sample: `python docs/make_schemas.py`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from extract import compile_schema
from extract.errors import SchemaError
from extract.schema import Loss
from extract.schema.profiles import PROFILES

PAGE = Path(__file__).parent / "schemas.md"
SCHEMAS = Path(__file__).parents[1] / ".." / "shared/vectors/json_schema/schemastore/schemas.jsonl"
OUTCOMES = ("exact", "rewritten", "relaxed", "refused")
SHORT = {"checked locally": "checked here", "moved to description": "described", "rewritten": "rewritten"}
LONGEST_REASON = 90  # characters


class Cell(NamedTuple):
    """What became of one schema in one profile: an outcome, counts of losses by action, the main reason."""

    outcome: str
    counts: Counter[str]
    reason: str

    def __str__(self) -> str:
        counts = ", ".join(f"{self.counts[action]} {word}" for action, word in SHORT.items() if self.counts[action])
        return "; ".join(part for part in (f"**{self.outcome}**", counts, self.reason) if part)


def cell(schema: Any, profile: Any) -> Cell:
    """exact: nothing is lost; rewritten: all comes back by exact inverses; relaxed: something is checked here only."""
    try:
        losses = compile_schema(schema, profile).losses
    except SchemaError as error:
        return Cell("refused", Counter(), shortened(error))
    counts = Counter(str(loss.action) for loss in losses)
    relaxed = counts["checked locally"] + counts["moved to description"] > 0
    outcome = "relaxed" if relaxed else "rewritten" if losses else "exact"
    return Cell(outcome, counts, main_reason(losses, outcome))


def main_reason(losses: Iterable[Loss], outcome: str) -> str:
    """The keyword that is lost most often, of the losses that make the outcome."""
    lost = Counter(loss.keyword for loss in losses if (loss.action == "rewritten") == (outcome == "rewritten"))
    if not lost:
        return ""
    keyword, count = min(lost.items(), key=lambda pair: (-pair[1], pair[0]))
    return f"`{keyword}` × {count}"


def shortened(error: SchemaError) -> str:
    """What is wrong, without path and profile."""
    text = error.message.removeprefix(f"{error.path}: ").partition(" [profile")[0]
    line = text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"


def store_table() -> str:
    """Both tables: outcomes by profile, and every schema."""
    cases = [json.loads(line) for line in SCHEMAS.read_text("utf-8").splitlines()]
    found = {case["name"]: {profile: cell(case["schema"], profile) for profile in PROFILES} for case in cases}
    summary = [[outcome, *(str(count(found, profile, outcome)) for profile in PROFILES)] for outcome in OUTCOMES]
    rows = [[f"`{name}`", *(str(cells[profile]) for profile in PROFILES)] for name, cells in found.items()]
    named = [f"`{profile}`" for profile in PROFILES]
    return "\n".join([*lines(["outcome", *named], summary, "--:"), "", *lines(["schema", *named], rows, "---")])


def count(found: dict[str, dict[Any, Cell]], profile: str, outcome: str) -> int:
    return sum(cells[profile].outcome == outcome for cells in found.values())


def lines(head: list[str], rows: list[list[str]], align: str) -> Iterator[str]:
    """A table in Markdown."""
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'|'.join(align for _ in head[1:])}|"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def profiles_table() -> str:
    """What each profile carries."""
    rows = [
        ["constraints", *(words(has.keywords) for has in PROFILES.values())],
        ["formats", *(words(has.formats) for has in PROFILES.values())],
        ["unions: `anyOf`", *(yes(has.any_of) for has in PROFILES.values())],
        ["tuples: `prefixItems`", *(yes(has.tuples) for has in PROFILES.values())],
        ["dicts: `additionalProperties` with a schema", *(yes(has.maps) for has in PROFILES.values())],
        ["open objects: `additionalProperties: true`", *(yes(has.open) for has in PROFILES.values())],
        ["types of enum values", *(words(has.enum_types) for has in PROFILES.values())],
        ["null", *("as a second type" if has.null_types else "`nullable`" for has in PROFILES.values())],
    ]
    return "\n".join(lines(["", *(f"`{profile}`" for profile in PROFILES)], rows, "---"))


def words(names: Iterable[str] | None) -> str:
    return "every one" if names is None else ", ".join(f"`{name}`" for name in sorted(names))


def yes(able: bool) -> str:
    return "yes" if able else "no"


def with_part(page: str, name: str, made: str) -> str:
    """The page with one of its made parts replaced."""
    begin, end = f"<!-- made: {name} -->", "<!-- end -->"
    part = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return part.sub(lambda _: f"{begin}\n\n{made}\n\n{end}", page)


if __name__ == "__main__":
    text = with_part(PAGE.read_text("utf-8"), "profiles", profiles_table())
    PAGE.write_text(with_part(text, "store", store_table()), encoding="utf-8")
