"""Thoughts for a model that has none of its own: a first pass in free words, which the answer is then given.

Nothing is made up: what comes back as `reasoning_content` was written by the model before its answer, for a request
that asks for thoughts, and no such pass is made for one that does not.
"""

from __future__ import annotations

from extract.server.engine import Prompt

LIMITS = {"none": 0, "minimal": 32, "low": 64, "medium": 128, "high": 256, "xhigh": 512}  # tokens
ASKED = "Do not answer yet. First think it over: say in a few plain sentences what matters for the answer."
GIVEN = "What you thought of this before:"


def thinking(prompt: Prompt, effort: str) -> Prompt | None:
    """The prompt for the first pass; None if there is no room, or no turn of the user to think about.

    Thoughts take at most half of the tokens that the request allows, so that an answer remains.
    """
    limit = min(LIMITS[effort], prompt.max_tokens // 2)
    if not limit or prompt.messages[-1]["role"] != "user":
        return None
    sampling = {name: value for name, value in prompt.sampling.items() if name != "stop"}
    return Prompt(_with(prompt.messages, ASKED), limit, sampling)


def thought_over(prompt: Prompt, thoughts: str, tokens: int) -> Prompt:
    """The prompt for the answer, after `tokens` of thoughts."""
    messages = _with(prompt.messages, f"{GIVEN}\n{thoughts}")
    return Prompt(messages, prompt.max_tokens - tokens, prompt.sampling, prompt.schema, prompt.calls)


def _with(messages: list[dict[str, str]], words: str) -> list[dict[str, str]]:
    *before, last = messages
    return [*before, {"role": last["role"], "content": f"{last['content']}\n\n{words}"}]
