"""The answer in a text that is not just its JSON: fences, prose, a stray tail, raw newlines, a wrapper. Pure.

The strict reading always goes first. Only what is unambiguous is salvaged, and each salvage is a flag on the row:

raw_newline, control_character  as they stand inside a string of the JSON. They are part of the value: a newline that a
                                gateway put there is not taken out, since which one that was would be a guess
fenced                          between ``` marks
prose_around, trailing_text     among other text, or before other text
repeated                        the same object more than once
root_unlisted                   the only item of a list
root_listed                     a bare list where an object around the list was asked for
unwrapped:response              the value of a single key that the schema has not
repaired                        mended, which is only done when asked for

Two different objects, what follows a broken object, or an object that may be the inside of a broken one, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from extract.mend import mend
from extract.parse import ParseError, parse_at, parse_json

MAX_REPEATS = 100  # of one object in an answer
MAX_REMARKS = 10_000  # brackets in an answer that are no JSON
_LONGEST_KEY = 40  # of a wrapper; it stands in a flag

_OPENER = re.compile(r"[{\[]")
_LIST_OF_MORE = re.compile(r"\[\s*+[{\[]")
_PLACEHOLDER = re.compile(r"""\{++\s*+[^{}\[\]"':\s][^{}\[\]"':]*+\}++""")  # {x} or {{ x }}, which is no JSON
_MEMBER = re.compile(r'"\s*+:')
_STRAY = re.compile(r"""[\s.;"'`}\])]*+""")  # what a model writes after the end, such as ."\n}
_FENCE = re.compile(r"(?:`{3,}|~{3,})[ \t]*\w{0,12}\s*$")
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f]")
_CUT = re.compile(r"\s*|-|\.|[eE][+-]?|t|tr|tru|f|fa|fal|fals|n|nu|nul|\\?u[0-9a-fA-F]{0,3}")  # of a literal or number


@dataclass(frozen=True, slots=True)
class Root:
    """The object that an answer should be, as far as other JSON can be told from it.

    `alone`: no object inside of an answer could pass for the whole. `closed`: it may have no other properties.
    `listed`: the property that a bare list belongs in.
    """

    properties: frozenset[str]
    required: frozenset[str]
    alone: bool = False
    closed: bool = False
    listed: str | None = None

    @classmethod
    def of(cls, wire_schema: Mapping[str, Any], json_schema: Mapping[str, Any], listed: str | None = None) -> Root:
        """What is asked for, and the schema that judges, which may require less."""
        properties = frozenset(wire_schema.get("properties", ()))
        needed = properties.intersection(json_schema.get("required", ()))
        closed = json_schema.get("additionalProperties") is False and "patternProperties" not in json_schema
        within = list(_objects(list(wire_schema.values())))
        alone = bool(properties) and not any(_may_be(node, needed) for node in within)
        return cls(properties, needed, alone, closed, listed)

    def is_like(self, value: Any) -> bool:
        """Whether the value is an object with the properties that the schema asks for."""
        if not isinstance(value, dict):
            return False
        if self.required:
            return self.required <= value.keys()
        return self.closed and bool(value) and value.keys() <= self.properties


@dataclass(frozen=True, slots=True)
class Answer:
    """The JSON of an answer, and what was salvaged."""

    value: Any
    flags: tuple[str, ...] = ()


def read_answer(text: str, root: Root, *, mend_json: bool = False) -> Answer:
    """The one JSON value that the text holds. Raises ParseError."""
    try:
        answer = Answer(parse_json(text))
    except ParseError as error:
        answer = _salvaged(text, root, error, mend_json)
    value = answer.value
    if type(value) is dict and (len(value) != 1 or root.properties >= value.keys()):
        return answer
    return _unwrapped(answer, root)


def _salvaged(text: str, root: Root, error: ParseError, mend_json: bool) -> Answer:
    if error.issue.code != "parse.json":
        raise error
    answer = None
    try:
        answer = _among(text, list(_values(text, root)), root)
    except ParseError as fault:
        if not mend_json or fault.issue.code not in ("parse.json", "parse.truncated"):
            raise
        error = fault
    if answer is None and mend_json:
        answer = _mended(text, root)
    if answer is None:
        raise error if _OPENER.search(text) else _without_json(error)
    return answer


def _without_json(error: ParseError) -> ParseError:
    """Of plain words it is no help to hear where in them a value is missing."""
    if error.issue.message.startswith("Expecting value"):
        error.issue = replace(error.issue, message="no JSON in the answer")
    return error


@dataclass(frozen=True, slots=True)
class _Found:
    """A JSON value and where it stands."""

    value: Any
    start: int
    end: int


def _values(text: str, root: Root) -> Iterator[_Found]:
    """The objects and lists in the text that hold others, outermost only. Raises ParseError for a broken one.

    What looks like the beginning of one must be one: what stands inside of a broken value is not the answer.
    """
    position = count = remarks = 0
    while opener := _OPENER.search(text, position):
        start = opener.start()
        remarks += 1
        if remarks > MAX_REMARKS:
            raise ParseError("parse.json", f"more than {MAX_REMARKS:,} brackets that are no JSON")
        if text[start] == "[" and not (root.listed or _LIST_OF_MORE.match(text, start)):
            position = start + 1  # a remark such as [1]
            continue
        if remark := _PLACEHOLDER.match(text, start):
            position = remark.end()
            continue
        try:
            value, position = parse_at(text, start)
        except ParseError as error:
            raise _cut(text, error) if not count else error from None
        count += 1
        if count > MAX_REPEATS:
            raise ParseError("parse.ambiguous", f"more than {MAX_REPEATS} JSON values in the text")
        yield _Found(value, start, position)


def _cut(text: str, error: ParseError) -> ParseError:
    """The same error, or that the text ends before its JSON does."""
    at = error.position
    if at is None:
        return error
    text = text.rstrip().rstrip("`")
    unclosed = text[at : at + 1] == '"' and not _STRING.match(text, at)
    if not (unclosed or _CUT.fullmatch(text, at)):
        return error
    message = f"the answer ends within its JSON, though the model says that it is complete: {error.issue.message}"
    return ParseError("parse.truncated", message, error.issue.value, at)


def _among(text: str, found: Sequence[_Found], root: Root) -> Answer | None:
    """The one value of the text, if what stands around it is no JSON either."""
    if not found:
        return None
    first = found[0]
    for other in found[1:]:
        if not _same(first.value, other.value):
            message = "the text holds two JSON values that differ"
            raise ParseError("parse.ambiguous", message, text[other.start : other.start + 80])
    ends = [0, *(each.end for each in found)]
    starts = [*(each.start for each in found), len(text)]
    flags = _around([text[end:start] for end, start in zip(ends, starts, strict=True)], root)
    if flags is None or (not first.value and not {"prose_around", "trailing_text"}.isdisjoint(flags)):
        return None
    return Answer(first.value, (*flags, *_control_flags(text[first.start : first.end])))


def _around(texts: Sequence[str], root: Root) -> tuple[str, ...] | None:
    """Flags for the texts before, between and after; None where one of them may be a piece of JSON."""
    bare = [_unfenced(text, opens=at < len(texts) - 1, closes=at > 0) for at, text in enumerate(texts)]
    *before, after = bare
    if not all(_may_precede(text) for text in before) or not all(_may_follow(text, root) for text in bare[1:]):
        return None
    flags = {
        "fenced": any(text.strip() != left for text, left in zip(texts, bare, strict=True)),
        "prose_around": any(before),
        "trailing_text": bool(after) and not any(before),
        "repeated": len(texts) > 2,
    }
    return tuple(flag for flag, is_so in flags.items() if is_so)


def _unfenced(text: str, *, opens: bool, closes: bool) -> str:
    """The text without the marks of a code block next to the value."""
    text = text.strip()
    if closes and text.startswith(("```", "~~~")):
        text = text.lstrip(text[0])
    if opens and (fence := _FENCE.search(text[-20:])):
        text = text[: len(text[:-20]) + fence.start()].rstrip("`~")
    return text.strip()


def _may_precede(text: str) -> bool:
    """Not so the left half of an object: "parent": or 12,"""
    if _closes_more(text) or _MEMBER.search(text) or text.endswith(","):
        return False
    return not text.endswith(":") or text[:-1].rstrip()[-1:] not in ("", '"', "'")


def _may_follow(text: str, root: Root) -> bool:
    """Not so the right half of an object. Brackets alone may be, unless the value can only be the whole."""
    if text.startswith((",", ":")) or _MEMBER.search(text):
        return False
    if _STRAY.fullmatch(text) and root.alone:
        return True
    return not _closes_more(text)


def _closes_more(text: str) -> bool:
    """Whether brackets are closed that the text has not opened."""
    return "}" in _PLACEHOLDER.sub("", text) or text.count("]") > text.count("[")


def _control_flags(written: str) -> tuple[str, ...]:
    """What a strict reader refuses in the strings of this JSON."""
    strings = [found.group() for found in _STRING.finditer(written)]
    newline = any("\n" in text or "\r" in text for text in strings)
    other = any(_CONTROL.search(text) for text in strings)
    return ("raw_newline",) * newline + ("control_character",) * other


def _mended(text: str, root: Root) -> Answer | None:
    opener = _OPENER.search(text) if root.listed else re.search(r"\{", text)
    found = mend(text, opener.start()) if opener else None
    if opener is None or found is None:
        return None
    try:
        value, _ = parse_at(found.text, 0)
    except ParseError:
        return None
    if found.was_open and not (isinstance(value, dict) and root.properties <= value.keys()):
        return None  # more may have followed
    flags = _around([text[: opener.start()], text[found.end :]], root)
    return None if flags is None else Answer(value, (*flags, *_control_flags(found.text), "repaired"))


def _unwrapped(answer: Answer, root: Root) -> Answer:
    """The object inside a list of one, or below a key that the schema has not; else the answer as it is."""
    value = answer.value
    if root.alone and type(value) is list and len(value) == 1 and root.is_like(value[0]):
        return _flagged(answer, value[0], "root_unlisted")
    if root.listed and type(value) is list:
        return _flagged(answer, {root.listed: value}, "root_listed")
    if root.alone and type(value) is dict:
        for key, inner in value.items():
            if root.is_like(inner) and key.isprintable() and len(key) <= _LONGEST_KEY:
                return _flagged(answer, inner, f"unwrapped:{key}")
    return answer


def _flagged(answer: Answer, value: Any, flag: str) -> Answer:
    return replace(answer, value=value, flags=(*answer.flags, flag))


def _objects(nodes: Any) -> Iterator[Mapping[str, Any]]:
    """Every node of a schema that may be an object, or leads back to one, below the given."""
    waiting = [nodes]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            if "properties" in node or "$ref" in node or "object" in (node.get("type"), *_listed(node.get("type"))):
                yield node


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _may_be(node: Mapping[str, Any], required: frozenset[str]) -> bool:
    """Whether an object of this node may have all that the root requires."""
    properties = node.get("properties")
    if not isinstance(properties, dict):
        return bool(node.get("$ref", "#") == "#")  # what another reference leads to is looked at by itself
    if node.get("additionalProperties") is not False:
        return True
    return required <= properties.keys()


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    equal: bool = one == other
    return equal and isinstance(one, bool) == isinstance(other, bool)
