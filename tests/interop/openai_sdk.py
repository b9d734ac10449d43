"""What the openai SDK does with our server; run by its own interpreter: `python openai_sdk.py BASE_URL KEY FLAKY_URL`.

FLAKY_URL answers every other request with a 429. Prints what was seen as JSON; any failed assertion is an error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import openai
from pydantic import BaseModel

Refusal = TypeVar("Refusal", bound=openai.APIStatusError)
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
RECEIPT: Any = [{"role": "user", "content": "TESCO 12 March 2024, milk 1.20, total 2.10, paid by card"}]
PARIS: Any = [{"role": "user", "content": "What is the weather in Paris?"}]


class Receipt(BaseModel):
    """A receipt."""

    shop: str
    paid_by: Literal["card", "cash"]


def create(client: openai.OpenAI) -> str:
    """A plain completion has text, a reason, and sums that add up."""
    answer = client.chat.completions.create(model="m", messages=RECEIPT, max_tokens=8, seed=1)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    return f"{answer.usage.completion_tokens} tokens"


def parse(client: openai.OpenAI) -> str:
    """The SDK's own strict schema is held."""
    answer = client.chat.completions.parse(model="m", messages=RECEIPT, max_tokens=60, response_format=Receipt)
    assert isinstance(answer.choices[0].message.parsed, Receipt)
    return repr(answer.choices[0].message.parsed)


def stream(client: openai.OpenAI) -> str:
    """Deltas come one by one, and the usage last."""
    pieces: Any = client.chat.completions.create(
        model="m", messages=RECEIPT, max_tokens=12, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(pieces)
    assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]) > 3
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens <= 12
    return f"{len(chunks)} chunks"


def stream_helper(client: openai.OpenAI) -> str:
    """The SDK's accumulating stream parses the record at its end."""
    with client.chat.completions.stream(model="m", messages=RECEIPT, max_tokens=60, response_format=Receipt) as events:
        kinds = {event.type for event in events}
        final = events.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Receipt)
    return ", ".join(sorted(kinds))


def tools(client: openai.OpenAI) -> str:
    """A demanded call, its result, and an answer in words."""
    first = client.chat.completions.create(
        model="m", messages=PARIS, tools=[WEATHER], tool_choice="required", max_tokens=60
    )
    (call,) = first.choices[0].message.tool_calls or []
    assert first.choices[0].finish_reason == "tool_calls"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    turns = [*PARIS, first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Rain, 7 degrees"}]
    second = client.chat.completions.create(
        model="m", messages=turns, tools=[WEATHER], tool_choice="none", max_tokens=30
    )
    assert second.choices[0].message.content
    return f"{call.function.name}({call.function.arguments})"


def tool_stream(client: openai.OpenAI) -> str:
    """A streamed call is put together by the SDK."""
    choice: Any = {"type": "function", "function": {"name": "get_weather"}}
    with client.chat.completions.stream(
        model="m", messages=PARIS, tools=[WEATHER], tool_choice=choice, max_tokens=60
    ) as events:
        final = events.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert call.id
    return f"{call.function.name}({call.function.arguments})"


def thoughts(client: openai.OpenAI) -> str:
    """reasoning_content is there for a client that looks for it."""
    answer = client.chat.completions.create(
        model="m", messages=RECEIPT, max_tokens=40, reasoning_effort="low", extra_body={"include_thoughts": True}
    )
    assert answer.choices[0].message.reasoning_content  # type: ignore[attr-defined]
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    return f"{answer.usage.completion_tokens_details.reasoning_tokens} tokens"


def refusal(kind: type[Refusal], ask: Callable[[], object]) -> Refusal | None:
    """The error of this kind that `ask` ends in; None if it ends well."""
    try:
        ask()
    except kind as error:
        return error
    return None


def bad_request(client: openai.OpenAI) -> str:
    """A 400 is the SDK's own class, with code and param."""
    error = refusal(openai.BadRequestError, lambda: client.chat.completions.create(model="m", messages=[]))
    assert error is not None
    assert (error.param, error.code, error.type) == ("messages", *["invalid_request_error"] * 2)
    return str(error)


def wrong_key(client: openai.OpenAI) -> str:
    """A 401 is the SDK's own class."""
    error = refusal(openai.AuthenticationError, client.with_options(api_key="wrong").models.list)
    assert error is not None
    assert error.code == "unauthorized"
    return str(error)


def models(client: openai.OpenAI) -> str:
    """The list of models."""
    (model,) = client.models.list()
    return model.id


def retries(client: openai.OpenAI) -> str:
    """A 429 with Retry-After is waited out and tried again by the SDK; without retries it is its own error."""
    for _ in range(3):
        assert client.chat.completions.create(model="m", messages=RECEIPT, max_tokens=2).choices
    once = client.with_options(max_retries=0).chat.completions
    errors = [
        refusal(openai.RateLimitError, lambda: once.create(model="m", messages=RECEIPT, max_tokens=2)) for _ in range(4)
    ]
    waits = [error.response.headers["retry-after"] for error in errors if error is not None]
    assert waits == ["1", "1"]
    return f"{len(waits)} of 4 without retries"


def main() -> None:
    base_url, key, flaky = sys.argv[1:]
    client = openai.OpenAI(base_url=base_url, api_key=key, timeout=120)
    seen = {"version": openai.VERSION}
    for check in (
        create, parse, stream, stream_helper, tools, tool_stream, thoughts, bad_request, wrong_key, models,
    ):  # fmt: skip
        seen[check.__name__] = check(client)
    seen["retries"] = retries(openai.OpenAI(base_url=flaky, api_key=key, timeout=120))
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
