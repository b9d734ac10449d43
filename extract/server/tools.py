"""Function calls by a model that was not made for them: what it is told, the grammar, and reading what it writes.

A call is written `<tool_call>{"name": "f", "arguments": {…}}`, one on a line, and the grammar allows nothing else
than calls of declared functions with arguments by their schema — or, where the model may choose, plain text.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

from extract.server.engine import CallRules, Delta, Tool, Turn
from extract.server.grammar import json_rule

Json = dict[str, Any]

MARK = "<tool_call>"
HEAD, MIDDLE = '{"name": "', '", "arguments": '
RESULT = "<tool_response>\n"
MOST_CALLS = 4  # in one answer
TOLD = """You are an expert in composing functions. You are given a question and a set of possible functions.
Functions:
<tools>
{tools}
</tools>
If a function helps, answer with the call alone, in this format:
<tool_call>{{"name": "function_name", "arguments": {{"argument": "value"}}}}
If none of the functions can be used, answer in words."""
# A small model follows a conversation better than a description.
SHOWN = (
    {"role": "user", "content": "Where is parcel 7?"},
    {"role": "assistant", "content": f'{MARK}{HEAD}find_parcel{MIDDLE}{{"number": 7}}}}'},
    {"role": "user", "content": "Thank you."},
    {"role": "assistant", "content": "You are welcome."},
)


def with_tools(messages: list[dict[str, str]], rules: CallRules) -> list[dict[str, str]]:
    """The conversation after an explanation of the functions."""
    declared = "\n".join(json.dumps(_declaration(tool), ensure_ascii=False) for tool in rules.tools)
    told = TOLD.format(tools=declared)
    if messages[0]["role"] == "system":
        told = f"{messages[0]['content']}\n\n{told}"
        messages = messages[1:]
    # Who has a result already is not to be shown a first call, nor thanks.
    shown = () if messages[-1]["content"].startswith(RESULT) else SHOWN
    return [{"role": "system", "content": told}, *shown, *messages]


def spoken(turn: Turn) -> str:
    """The calls of an assistant's turn as the model writes them."""
    return "\n".join(
        f"{MARK}{HEAD}{call['function']['name']}{MIDDLE}{call['function']['arguments']}}}" for call in turn.tool_calls
    )


def answered(text: str) -> str:
    """The result of a call as the model is told it."""
    return f"{RESULT}{text}\n</tool_response>"


def calls_grammar(rules: CallRules) -> str:
    """The llguidance grammar of an answer under these rules."""
    names = [f"call{number}" for number in range(len(rules.tools))]
    more = f'("\\n" call){{0,{MOST_CALLS - 1}}}' if rules.many else ""
    lines = [
        "%llguidance {}",
        "start: calls" if rules.must else "start: calls | text",
        f"calls: call {more}",
        f"call: {' | '.join(names)}",
        *(f"{name}: {_call_rule(tool)}" for name, tool in zip(names, rules.tools, strict=True)),
    ]
    return "\n".join(lines if rules.must else [*lines, r"text: /[^<](.|\n)*/"])


class CallReader:
    """Reads what a model writes under `calls_grammar`, in pieces of any size, into deltas: text, or calls."""

    def __init__(self) -> None:
        self._waiting = ""  # letters that are not understood yet
        self._is_text = False
        self._arguments: _Extent | None = None  # of the call that is being written
        self.calls = 0

    @property
    def is_complete(self) -> bool:
        """Whether what was read so far is whole: text, or calls to their ends."""
        return self._is_text or (self.calls > 0 and self._arguments is None and MARK not in self._waiting)

    def read(self, text: str) -> Iterator[Delta]:
        """The deltas that are certain with this text."""
        self._waiting += text
        while True:
            found = self._next()
            if found is None:
                return
            yield found

    def _next(self) -> Delta | None:
        if self._is_text or self._begins_text():
            return self._rest_as_text()
        return self._begin_call() if self._arguments is None else self._go_on()

    def _begins_text(self) -> bool:
        self._is_text = not self.calls and not self._waiting.startswith(MARK[: len(self._waiting)])
        return self._is_text

    def _rest_as_text(self) -> Delta | None:
        text, self._waiting = self._waiting, ""
        return Delta({"content": text}) if text else None

    def _begin_call(self) -> Delta | None:
        mark = self._waiting.find(MARK + HEAD)
        middle = self._waiting.find(MIDDLE, mark)
        if mark < 0 or middle < 0:
            return None
        name = self._waiting[mark + len(MARK + HEAD) : middle]
        self._waiting = self._waiting[middle + len(MIDDLE) :]
        self._arguments = _Extent()
        self.calls += 1
        call = {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": {"name": name, "arguments": ""}}
        return Delta({"tool_calls": [{"index": self.calls - 1, **call}]})

    def _go_on(self) -> Delta | None:
        if self._arguments is None or not self._waiting:
            return None
        end = self._arguments.end_in(self._waiting)
        text, self._waiting = self._waiting[:end], self._waiting[end:] if end is not None else ""
        if end is not None:
            self._arguments = None
        return Delta({"tool_calls": [{"index": self.calls - 1, "function": {"arguments": text}}]})


class _Extent:
    """Finds the end of a JSON object that comes in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._escaped = False

    def end_in(self, text: str) -> int | None:
        """The offset after the object's last brace, or None if it goes on after this text."""
        for offset, letter in enumerate(text, 1):
            if self._in_string:
                self._in_string = self._escaped or letter != '"'
                self._escaped = letter == "\\" and not self._escaped
            elif letter == '"':
                self._in_string = True
            elif letter in "{[":
                self._depth += 1
            elif letter in "}]":
                self._depth -= 1
                if not self._depth:
                    return offset
        return None


def _declaration(tool: Tool) -> Json:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _call_rule(tool: Tool) -> str:
    head = json.dumps(f"{HEAD}{tool.name}{MIDDLE}")
    return f'"{MARK}" {head} {json_rule(tool.parameters)} "}}"'
