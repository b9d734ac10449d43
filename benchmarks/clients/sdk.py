"""The openai SDK with a semaphore, and the same table by hand: `parse`, or `create` over its aiohttp transport."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from pydantic_core import from_json

from benchmarks.tables import Checked, Shards, records_of
from benchmarks.task import KEY, MAX_TOKENS, MODEL, SYSTEM, Invoice, Job, user_prompt

openai: Any = import_module("openai")  # installed for the benchmarks alone

Ask = Callable[[list[dict[str, str]]], Awaitable[tuple[dict[str, Any], Any]]]  # messages → row, usage


def parse(job: Job) -> None:
    """`chat.completions.parse`, on the SDK's own transport."""
    client = openai.AsyncOpenAI(base_url=job.base_url, api_key=KEY)
    checked = Checked()

    async def ask(messages: list[dict[str, str]]) -> tuple[dict[str, Any], Any]:
        found = await client.chat.completions.parse(
            model=MODEL, messages=messages, response_format=Invoice, max_tokens=MAX_TOKENS, temperature=0
        )
        message = found.choices[0].message
        checked.judge(from_json(message.content))
        return checked.row_of(message.parsed), found

    asyncio.run(asked_of_all(job, ask, client.close))


def create_aiohttp(job: Job) -> None:
    """`chat.completions.create` with the schema compiled once, over the SDK's aiohttp transport."""
    form = import_module("openai.lib._parsing._completions").type_to_response_format_param(Invoice)
    checked = Checked()

    async def main() -> None:
        client = openai.AsyncOpenAI(base_url=job.base_url, api_key=KEY, http_client=openai.DefaultAioHttpClient())

        async def ask(messages: list[dict[str, str]]) -> tuple[dict[str, Any], Any]:
            found = await client.chat.completions.create(
                model=MODEL, messages=messages, response_format=form, max_tokens=MAX_TOKENS, temperature=0
            )
            content = found.choices[0].message.content
            return checked.row(content, from_json(content)), found

        await asked_of_all(job, ask, client.close)

    asyncio.run(main())


async def asked_of_all(job: Job, ask: Ask, close: Callable[[], Awaitable[None]]) -> None:
    """A task a record, at most `concurrency` of them asking; the tasks that wait are bounded too."""
    shards = Shards(job.out)
    permits = asyncio.Semaphore(job.concurrency)

    async def one(position: int, key: int, text: str) -> None:
        try:
            messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user_prompt(text)}]
            row, found = await ask(messages)
        finally:
            permits.release()
        row["id"] = key
        row["_attempts"] = 1
        row["_model"] = found.model
        row["_input_tokens"] = found.usage.prompt_tokens
        row["_output_tokens"] = found.usage.completion_tokens
        shards.put(position, row)

    async with asyncio.TaskGroup() as group:
        for position, key, text in records_of(job.source):
            await permits.acquire()
            group.create_task(one(position, key, text))
    await close()
    shards.close()
