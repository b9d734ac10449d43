"""What in a record looks like an attempt to steer the model: a kind, where it stands, and an excerpt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from extract.records import texts_in
from extract.untrusted.letters import odd_letters
from extract.untrusted.phrases import speaking

# kind → its code, which is the flag of the row or the reason of the quarantine
KINDS = {
    "zero_width": "untrusted.zero_width",
    "bidi": "untrusted.bidi",
    "tag_characters": "untrusted.tag_characters",
    "homoglyphs": "untrusted.homoglyphs",
    "instruction": "untrusted.instruction",
    "role_marker": "untrusted.role_marker",
    "delimiter": "untrusted.delimiter",
    "encoded": "untrusted.encoded",
    "hidden_text": "untrusted.hidden_text",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of trick in one place; `where` is a column, `excerpt` what stands there, in a form that can be seen."""

    kind: str
    where: str
    message: str
    excerpt: str

    @property
    def code(self) -> str:
        """The flag of the row, or the reason of the quarantine."""
        return KINDS[self.kind]


def in_text(text: str, where: str = "") -> Iterator[Finding]:
    """What is found in one text, each kind once."""
    for kind, message, excerpt in (*odd_letters(text), *speaking(text)):
        yield Finding(kind, where, message, excerpt)


def in_cells(cells: Mapping[str, Any], columns: Sequence[str]) -> Iterator[Finding]:
    """What is found in the texts of these columns, within lists and objects too."""
    for column in columns:
        for text in texts_in(cells.get(column)):
            yield from in_text(text, column)
