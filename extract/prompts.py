"""Template and record → messages.

Files of media columns are parts of the user message, where the template names their column, else after the text.
"""

from __future__ import annotations

import codecs
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic_core import from_json, to_json

from extract.errors import InputError, PromptError
from extract.media import Attachments, Media, Part, require
from extract.nearest import Nearest, did_you_mean
from extract.records import Record
from extract.templates import HELPERS, PLACE, WHOLE_RECORD, Template, template_of
from extract.untrusted import ABOUT_DATA, ABOUT_FILES

Message = dict[str, Any]


class _Turn(Message):
    """A message that is the same for many records, with its JSON."""

    @cached_property
    def json(self) -> bytes:
        return to_json(self)


def message_json(message: Message) -> bytes:
    """A message as it goes into the body of a request."""
    return message.json if isinstance(message, _Turn) else to_json(message)


Role = Literal["system", "developer", "user", "assistant"]

_OPENING: tuple[Role, ...] = ("system", "developer")
_LISTS = {
    "media": "a list of columns: media=['file']",
    "narrow": "a list of enum fields: narrow=['label']",
    "turns": "a list of (role, template)",
}
_NO_MEDIA_TYPES = ("int", "uint", "float", "double", "half", "bool", "date", "time", "decimal", "duration", "map")


@dataclass(frozen=True, slots=True)
class Example:
    """A record as it might come, and the answer that is wanted for it, in the form of the wire."""

    record: Mapping[str, Any]
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class Prompt:
    """What is said to the model for each record.

    user: template over the record's columns, `{{ text }}`; a column whose name is no identifier: `{{ record["a b"] }}`.
    system: template of the system message, None for none.
    examples: few-shot examples, sent as earlier turns: `Example`s, {"record", "answer"} dicts, or a JSONL file of such.
    nearest: send only this many examples, those whose prompt text is most like the record's, the closest last;
        None sends all, in order.
    narrow: enum fields that are offered only the values which the nearest examples answer with; for long lists of
        labels. A right value that none of them has cannot be chosen then.
    media: columns that hold files, by name or as `Media(column=..., ...)`; `{{ column }}` says where in the user
        message they stand, else they follow its text. Examples go without files.
    turns: more messages as (role, template): those of system and developer that come first go to the head, all others
        stand between the examples and the user message.
    untrusted: what columns print stands between lines that it cannot forge, and the system message says that it is
        data and no instruction: True for all columns, or the names of some.
    """

    user: str
    system: str | None = None
    examples: Sequence[Example | Mapping[str, Any]] | str | Path = ()
    nearest: int | None = None
    narrow: Sequence[str] = ()
    media: Sequence[str | Media] = ()
    turns: Sequence[tuple[Role, str]] = ()
    untrusted: bool | Sequence[str] = False

    def __post_init__(self) -> None:
        self._check_lists()
        for turn in self.turns:
            if len(turn) != 2 or turn[0] not in get_args(Role) or not isinstance(turn[1], str):
                raise PromptError(f"{turn!r} is no turn", hint=f"(role, template), role one of {get_args(Role)}")
        if self.nearest is not None and self.nearest < 0:
            raise PromptError(f"nearest is {self.nearest}", hint="a whole number from 0, or None for all examples")
        if self.narrow and not self.nearest:
            raise PromptError("narrow needs nearest examples", hint="say how many: nearest=8")
        names = [media.column for media in self.media_columns]
        for name in names:
            if names.count(name) > 1:
                raise PromptError(f"the media column {name!r} is named twice")

    def _check_lists(self) -> None:
        """A text is a list too, of its letters."""
        for name, hint in _LISTS.items():
            given = getattr(self, name)
            if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sequence):
                raise PromptError(f"{name} is {given!r}, not a list", hint=hint)
        if not isinstance(self.untrusted, bool):
            given = self.untrusted
            if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(n, str) for n in given):
                raise PromptError(f"untrusted is {given!r}", hint="True, or a list of columns: untrusted=['text']")
        for item in self.media:
            if not isinstance(item, str | Media):
                raise PromptError(f"{item!r} is no media column", hint="its name, or Media(column=…)")

    @cached_property
    def media_columns(self) -> tuple[Media, ...]:
        """The media columns with their settings."""
        return tuple(item if isinstance(item, Media) else Media(column=item) for item in self.media)

    def attachments(self, root: Path | None) -> Attachments:
        """What makes the media parts of records whose source lies in `root`."""
        return Attachments(self.media_columns, root)

    @cached_property
    def _user(self) -> Template:
        return template_of(self.user, "user prompt", self.untrusted)

    @cached_property
    def _system(self) -> Template | None:
        if not self.untrusted:
            return template_of(self.system, "system prompt") if self.system else None
        about = f"{ABOUT_DATA} {ABOUT_FILES}" if self.media else ABOUT_DATA
        text = f"{self.system}\n\n{about}" if self.system else about
        return template_of(text, "system prompt", self.untrusted)

    @cached_property
    def _more_turns(self) -> tuple[tuple[Role, Template], ...]:
        return tuple((role, template_of(text, f"{role} turn", self.untrusted)) for role, text in self.turns)

    @cached_property
    def _opening_turns(self) -> int:
        """How many turns belong to the head."""
        roles = [role for role, _ in self.turns]
        return next((at for at, role in enumerate(roles) if role not in _OPENING), len(roles))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that the templates name."""
        return tuple(sorted((self._names - HELPERS - {WHOLE_RECORD}) | self._subscripts))

    @cached_property
    def _templates(self) -> tuple[Template, ...]:
        """All of them, that of the user message first."""
        system = (self._system,) if self._system else ()
        found = (self._user, *system, *(template for _, template in self._more_turns))
        if any(template.needs_others for template in found):
            raise PromptError("a prompt cannot include, import or extend another template")
        return found

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(name for template in self._templates for name in template.names)

    @cached_property
    def _subscripts(self) -> frozenset[str]:
        """The columns named as `record["…"]`."""
        if WHOLE_RECORD not in self._names:
            return frozenset()
        return frozenset(name for template in self._templates for name in template.subscripts)

    def _wanted(self, columns: Sequence[str]) -> list[str]:
        """The columns that the templates name, of a source with these columns."""
        helpers = self._names & HELPERS & set(columns)
        found = (set(self.columns) | helpers) - (self._subscripts if WHOLE_RECORD in columns else set())
        return sorted(found)

    def check(self, columns: Sequence[str], types: Mapping[str, Any] | None = None) -> None:
        """Refuse templates, examples and media that do not fit the source. Raises ConfigError, InputError.

        `types` are the Arrow types of the columns, where they are known.
        """
        self._check_media(columns, types or {})
        wanted = self._wanted(columns)
        for name in wanted:
            if name not in columns:
                hint = did_you_mean(name, columns, "the source has")
                raise PromptError(f"the prompt uses a column {name!r} that the source has not", hint=hint)
        for name in () if isinstance(self.untrusted, bool) else self.untrusted:
            if name not in columns:
                hint = did_you_mean(name, columns, "the source has")
                raise PromptError(f"untrusted names a column {name!r} that the source has not", hint=hint)
        if not wanted and not self.media and WHOLE_RECORD not in self._names:
            raise PromptError(
                "the prompt uses no column, so every request would be the same",
                hint="name one: {{ " + (columns[0] if columns else "text") + " }}",
            )
        for number, example in enumerate(self.loaded_examples, 1):
            missing = [name for name in wanted if name not in example.record and name not in self._media_names]
            if missing:
                raise PromptError(f"example {number} lacks the column {missing[0]!r} that the prompt uses")
            held = [name for name in self._media_names if example.record.get(name) not in (None, "")]
            if held:
                raise PromptError(f"example {number} has a file in {held[0]!r}", hint="examples go without files")
        if self.nearest != 0:
            self._turns  # noqa: B018  # an example that cannot be rendered is an error now, not one for each record

    def _check_media(self, columns: Sequence[str], types: Mapping[str, Any]) -> None:
        if self.media:
            require()
        for name in self._media_names:
            if name not in columns:
                hint = did_you_mean(name, columns, "the source has")
                raise PromptError(f"the media column {name!r} is not in the source", hint=hint)
            kind = str(types.get(name, ""))
            if kind.startswith(_NO_MEDIA_TYPES):
                raise PromptError(f"the media column {name!r} is {kind}", hint="it holds paths, URLs or bytes")
        for template in self._templates[1:]:
            for name in sorted(template.names & set(self._media_names)):
                raise PromptError(f"the media column {name!r} stands outside the user prompt")

    @cached_property
    def _media_names(self) -> tuple[str, ...]:
        return tuple(media.column for media in self.media_columns)

    def text_columns(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Where the record's text stands: the columns that the prompt uses, all when it names none or all.

        Media columns hold no text.
        """
        texts = [name for name in columns if name not in self._media_names]
        return tuple(name for name in self._wanted(columns) if name in texts) or tuple(texts)

    def shown_columns(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The columns of text that a request may show: as `text_columns`, but all when the whole record is named."""
        if WHOLE_RECORD in self._names:
            return tuple(name for name in columns if name not in self._media_names)
        return self.text_columns(columns)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of its templates."""
        return tuple(template.text for template in self._templates)

    def says_nothing(self, record: Record, columns: Sequence[str]) -> bool:
        """Whether all these columns and the media columns are empty, so that there is nothing to ask about."""
        return all(record.get(name) in (None, "", b"", []) for name in (*columns, *self._media_names))

    @cached_property
    def loaded_examples(self) -> tuple[Example, ...]:
        """The examples, read from their file when given as one."""
        if isinstance(self.examples, str | Path):
            return tuple(read_examples(Path(self.examples)))
        return tuple(_example(item, f"example {n}") for n, item in enumerate(self.examples, 1))

    def messages(self, record: Record) -> list[Message]:
        """System message, examples as turns, and the record's own message. Raises PromptError."""
        return self.fitted(record)[0]

    def fitted(
        self, record: Record, parts: Mapping[str, Sequence[Part]] | None = None
    ) -> tuple[list[Message], list[Example]]:
        """The messages for a record, and the examples that they hold. Raises PromptError.

        `parts` are the record's media, from `attachments`; in the messages stand their placeholders, see `media.fill`.
        """
        head = [{"role": "system", "content": self._rendered(self._system, record)}] if self._system else []
        more = [{"role": role, "content": self._rendered(text, record)} for role, text in self._more_turns]
        opening, before = more[: self._opening_turns], more[self._opening_turns :]
        user = self._rendered(self._user, record)
        plain = PLACE.sub("", user)
        chosen = self._chosen(plain)
        turns = [message for index in chosen for message in self._turns[index]]
        content = self._with_parts(user, parts) if parts and any(parts.values()) else plain
        messages = [*head, *opening, *turns, *before, {"role": "user", "content": content}]
        return messages, [self.loaded_examples[index] for index in chosen]

    def _with_parts(self, user: str, parts: Mapping[str, Sequence[Part]]) -> str | list[dict[str, Any]]:
        """The user message with its media; one text again when there are only texts, for servers that take no other."""
        texts = PLACE.split(user)  # text, number of a media column, text, …
        placed = {self._media_names[int(number)] for number in texts[1::2]}
        pieces: list[str | Part] = []
        for number, text in enumerate(texts):
            pieces += [text] if number % 2 == 0 else parts.get(self._media_names[int(text)], ())
        pieces += [part for name in self._media_names if name not in placed for part in parts.get(name, ())]
        if all(isinstance(piece, str) or piece.text is not None for piece in pieces):
            return "\n".join(text for piece in pieces if (text := piece if isinstance(piece, str) else piece.text))
        contents = ({"type": "text", "text": piece} if isinstance(piece, str) else piece.content() for piece in pieces)
        return [content for content in contents if content.get("text") != ""]

    def _chosen(self, user: str) -> Sequence[int]:
        if self.nearest is None or self.nearest >= len(self._turns):
            return range(len(self._turns))
        return self._index.closest(user, self.nearest)[::-1]

    @cached_property
    def _index(self) -> Nearest:
        return Nearest([turns[0]["content"] for turns in self._turns])

    @cached_property
    def _turns(self) -> tuple[tuple[Message, Message], ...]:
        return tuple(
            (
                _Turn(role="user", content=PLACE.sub("", self._rendered(self._user, example.record))),
                _Turn(role="assistant", content=json.dumps(example.answer, ensure_ascii=False, default=_as_json)),
            )
            for example in self.loaded_examples
        )

    def _rendered(self, template: Template, record: Mapping[str, Any]) -> str:
        return template.rendered(record, self._media_names)


def read_examples(path: Path) -> list[Example]:
    """Examples from a JSONL file of {"record": {…}, "answer": {…}}. Raises InputError with file and line."""
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise InputError(f"the examples cannot be read: {error.strerror}", file=str(path)) from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = from_json(line)
        except ValueError as error:
            raise InputError(f"not JSON: {error}", file=str(path), line=number) from error
        found.append(_example(item, f"{path}, line {number}"))
    return found


def _example(item: Example | Mapping[str, Any], place: str) -> Example:
    if isinstance(item, Example):
        return item
    if not isinstance(item, Mapping) or set(item) != {"record", "answer"}:
        raise PromptError(f"{place} is no example", hint='give {"record": {column: value}, "answer": {field: value}}')
    for part in ("record", "answer"):
        if not isinstance(item[part], Mapping):
            raise PromptError(f"{place}: {part!r} is no object")
    return Example(record=item["record"], answer=item["answer"])


def _as_json(value: Any) -> Any:
    """A value of an example's answer as the model should write it."""
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)
