"""Quirks of the content: Q29 to Q45, Q47, Q67, Q68."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from extract.faults.turn import OK, OUTPUT, TRANSIENT, Fault, Turn
from extract.faults.wire import Json, Wire, sse

LOOP = 150_000  # characters of a repetition
DEPTH = 100_000  # nested lists
LONG_INT = 5_000  # digits
_THOUGHT = "The text names it at once, so {this} is the value."
_VALUE = re.compile(r'(:\s*"(?:[^"\\]|\\.)?)((?:[^"\\]|\\.)*")')  # a string that is a value, after its first letter
_NUMBER = re.compile(r"(?<=[:\[,])(\s*)(-?\d+)(?:\.(\d+))?(?=\s*[,\]}])")


def mapped(data: Any, change: Callable[[Any], Any]) -> Any:
    """JSON with every scalar changed."""
    if isinstance(data, dict):
        return {name: mapped(value, change) for name, value in data.items()}
    if isinstance(data, list):
        return [mapped(item, change) for item in data]
    return change(data)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _thought_field(turn: Turn, name: str) -> Wire:
    return turn.reply(turn.with_message(**{name: _THOUGHT}))


def _details(turn: Turn) -> Wire:
    return turn.reply(turn.with_message(reasoning_details=[{"type": "reasoning.text", "text": _THOUGHT, "index": 0}]))


def _tagged(turn: Turn, tag: str) -> Wire:
    return turn.say(f"<{tag}>{_THOUGHT}</{tag}>\n{turn.content}")


def _google_thought(turn: Turn) -> Wire:
    """Content is the thought while a flag says so; the answer's first piece closes it."""
    first, *others = turn.chunks(turn.with_message(content=f"</thought>{turn.content}"))
    delta = {"role": "assistant", "content": f"<thought>{_THOUGHT}", "extra_content": {"google": {"thought": True}}}
    thinking = {**first, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    return sse([thinking, *others])


def _no_room(turn: Turn, reason: str) -> Wire:
    usage = {"completion_tokens": 200, "completion_tokens_details": {"reasoning_tokens": 200}}
    return turn.reply(turn.with_message(content="", finish_reason=reason, usage=usage))


def _all_in_reasoning(turn: Turn) -> Wire:
    return turn.say("", reasoning_content=turn.content)


def _lost_head(turn: Turn) -> Wire:
    """The piece with a thought and the answer's beginning went to the reasoning."""
    head = max(1, min(turn.rng.randint(2, 12), len(turn.content) - 1))
    return turn.say(turn.content[head:], reasoning_content=_THOUGHT + "\n" + turn.content[:head])


def _in_string(turn: Turn, what: str) -> Wire:
    """Characters that JSON forbids, inside a string."""
    return turn.say(_VALUE.sub(lambda found: found[1] + what + found[2], turn.content, count=1))


def _two_values(turn: Turn) -> Wire:
    """A second object that says something else."""
    return turn.say(turn.content + "\n" + json.dumps(mapped(turn.data, _otherwise), ensure_ascii=False))


def _otherwise(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if _is_number(value):
        return value + 1
    return f"{value} or other" if isinstance(value, str) else value


def _lie(turn: Turn) -> Wire:
    """Fits the schema in all likelihood, and is not what the text says: whole numbers one higher."""
    return turn.say_data(mapped(turn.data, lambda value: value + 1 if _is_number(value) else value))


def _truncated(turn: Turn) -> Wire:
    return turn.say(turn.content[: max(1, 2 * len(turn.content) // 3)])


def _loop(turn: Turn, unit: str) -> Wire:
    """Round and round until the tokens are used up."""
    head = turn.content[: max(1, len(turn.content) // 2)].rstrip('"} \n')
    usage = {"completion_tokens": LOOP // 4}
    return turn.say(head + unit * (LOOP // len(unit)), finish_reason="length", usage=usage)


def _unquoted(turn: Turn) -> Wire:
    return turn.say(re.sub(r'"(\w+)"(\s*:)', r"\1\2", turn.content))


def _trailing_comma(turn: Turn) -> Wire:
    return turn.say(re.sub(r"\}\s*$", ",}", turn.content))


def _as_text(value: Any) -> Any:
    return json.dumps(value) if _is_number(value) else value


def _as_float(text: str) -> str:
    """Whole numbers written as 1.0."""
    return _NUMBER.sub(lambda found: f"{found[1]}{found[2]}.{found[3] or '0'}", text)


def _exactly(turn: Turn) -> Wire:
    """The same numbers, written with an exponent."""

    def written(found: re.Match[str]) -> str:
        digits = found[3] or ""
        return f"{found[1]}{found[2]}{digits}e-{len(digits)}" if digits and found[2] not in ("0", "-0") else found[0]

    return turn.say(_NUMBER.sub(written, turn.content))


def _with_value(turn: Turn, value: str) -> Wire:
    """One value, as text, in place of one of the answer's."""
    names = list(turn.data)
    place = turn.rng.randrange(len(names)) if names else 0
    fields = [
        f"{json.dumps(name)}: {value if at == place else json.dumps(turn.data[name], ensure_ascii=False)}"
        for at, name in enumerate(names)
    ]
    return turn.say("{" + ", ".join(fields or [f'"value": {value}']) + "}")


def _twice(turn: Turn) -> Wire:
    """A key twice, with two values."""
    again = {name: _otherwise(value) for name, value in list(turn.data.items())[:1]}
    return turn.say(turn.content.rstrip().removesuffix("}") + ", " + json.dumps(again, ensure_ascii=False)[1:])


def _empty_objects(data: Any) -> Any:
    """Objects below the root without their fields."""
    return {name: {} if isinstance(value, dict) else value for name, value in data.items()}


def _forged(turn: Turn) -> Wire:
    """JSON that follows no schema."""
    keys = Random(turn.seed).sample(["result", "output", "data", "answer"], 2)  # noqa: S311
    return turn.say_data({keys[0]: list(turn.data.values()), keys[1]: "see above"})


def _reasoned(turn: Turn) -> Wire:
    """Long thoughts although little effort was asked for."""
    usage = {"completion_tokens": 900, "completion_tokens_details": {"reasoning_tokens": 880}}
    return turn.reply(turn.with_message(reasoning_content=_THOUGHT * 40, usage=usage), usage=True)


def _dropped_tools(turn: Turn) -> Wire:
    """The tools of the request were dropped: prose in place of a call."""
    return turn.say("I would need to call a function for that.", tool_calls=..., finish_reason="stop")


def _null_words(value: Any) -> Any:
    return "N/A" if value is None else value


def _dates(value: Any) -> Any:
    return re.sub(r"^(\d{4})-(\d{2})-(\d{2})$", r"\3/\2/\1", value) if isinstance(value, str) else value


def _textual(change: Callable[[str], str]) -> Callable[[Turn], Wire]:
    return lambda turn: turn.say(change(turn.content))


def _on_data(change: Callable[[Json], Any]) -> Callable[[Turn], Wire]:
    return lambda turn: turn.say_data(change(turn.data))


_BAD_VALUES = (
    ("nan", "NaN"),
    ("infinity", "-Infinity"),
    ("huge", "1e999"),
    ("surrogate", '"\\ud800"'),
    ("long_int", "9" * LONG_INT),
    ("deep", "[" * DEPTH + "]" * DEPTH),
)

CONTENTS: tuple[Fault, ...] = (
    *(
        Fault(f"Q29.{name}", f"thoughts in `{name}`", (OK,), partial(_thought_field, name=name))
        for name in ("reasoning_content", "reasoning")
    ),
    Fault("Q29.reasoning_details", "thoughts in `reasoning_details`", (OK,), _details),
    Fault("Q29.think", "`<think>` in the content", (OK,), partial(_tagged, tag="think")),
    Fault("Q29.thought", "`<thought>` in the content", (OK,), partial(_tagged, tag="thought")),
    Fault("Q29.google", "content is the thought while a flag says so", (OK,), _google_thought, "stream"),
    Fault("Q30", "thoughts used up max_tokens", (OUTPUT,), partial(_no_room, reason="length")),
    Fault("Q31", "the whole answer is in the reasoning", (OK, OUTPUT, TRANSIENT), _all_in_reasoning, flagged=True),
    Fault("Q32", "the answer's head is in the reasoning", (OK, OUTPUT), _lost_head, flagged=True),
    Fault("Q33", "a raw newline inside a string", (OK, OUTPUT), partial(_in_string, what="\n"), flagged=True),
    Fault("Q34", "a ```json fence", (OK,), _textual(lambda text: f"```json\n{text}\n```"), flagged=True),
    Fault("Q35.before", "prose before", (OK,), _textual(lambda text: f"Here is the JSON:\n\n{text}"), flagged=True),
    Fault("Q35.after", "prose after", (OK,), _textual(lambda text: f"{text}\n\nLet me know!"), flagged=True),
    Fault("Q36.tail", "a stray tail", (OK,), _textual(lambda text: f'{text}."\n}}'), flagged=True),
    Fault("Q36.twice", "the object twice", (OK,), _textual(lambda text: f"{text}\n{text}"), flagged=True),
    Fault("Q36.other", "a second, other object", (OUTPUT,), _two_values),
    Fault("Q37", "truncated with `stop`", (OUTPUT,), _truncated),
    Fault("Q38.digits", "a repetition in a number", (OUTPUT,), partial(_loop, unit="0")),
    Fault("Q38.words", "a repetition in a string", (OUTPUT,), partial(_loop, unit=" and so on")),
    Fault("Q39", "a control character in a string", (OK, OUTPUT), partial(_in_string, what="\x01"), flagged=True),
    Fault("Q40.comma", "a trailing comma", (OUTPUT, OK), _trailing_comma),
    Fault("Q40.keys", "keys without quotes", (OUTPUT, OK), _unquoted),
    Fault("Q40.bracket", "the last bracket is missing", (OUTPUT, OK), _textual(lambda text: text.rstrip()[:-1])),
    Fault("Q41", "fits the schema, and is a lie", (OK, OUTPUT), _lie),
    Fault("Q42.array", "an array where an object was asked for", (OUTPUT, OK), _on_data(lambda data: [data])),
    Fault("Q42.scalar", "a scalar where an object was asked for", (OUTPUT,), _on_data(lambda data: 42)),
    Fault("Q42.wrapper", "a wrapping key", (OUTPUT, OK), _on_data(lambda data: {"response": data})),
    Fault("Q43.numbers", "numbers as strings", (OUTPUT, OK), _on_data(partial(mapped, change=_as_text))),
    Fault("Q43.nulls", '"N/A" for null', (OUTPUT, OK), _on_data(partial(mapped, change=_null_words))),
    Fault("Q43.floats", "whole numbers as 1.0", (OK, OUTPUT), _textual(_as_float)),
    Fault("Q43.dates", "dates in another format", (OUTPUT, OK), _on_data(partial(mapped, change=_dates))),
    Fault("Q44", "the schema was taken and not enforced", (OUTPUT,), _forged),
    Fault(
        "Q45.more", "keys that the schema does not have", (OUTPUT,), _on_data(lambda data: {**data, "notes": "none"})
    ),
    Fault("Q45.empty", "maps arrive empty", (OUTPUT, OK), _on_data(_empty_objects)),
    Fault(
        "Q47",
        "patterns and lengths were ignored: strings are empty",
        (OUTPUT, OK),
        _on_data(partial(mapped, change=lambda value: "" if isinstance(value, str) else value)),
    ),
    Fault("Q50.strings", "numeric enums come as strings", (OUTPUT, OK), _on_data(partial(mapped, change=_as_text))),
    Fault("Q54", "long thoughts although little effort was asked for", (OK,), _reasoned),
    Fault("Q55.dropped", "the request's tools were dropped", (OUTPUT,), _dropped_tools),
    *(
        Fault(f"Q67.{name}", f"a value that traps parsers: {value[:12]}", (OUTPUT,), partial(_with_value, value=value))
        for name, value in _BAD_VALUES
    ),
    Fault("Q67.twice", "a key twice", (OUTPUT,), _twice),
    Fault("Q68", "numbers written with an exponent", (OK,), _exactly),
)
