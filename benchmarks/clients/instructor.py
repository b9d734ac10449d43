"""instructor over the openai SDK, in the mode that sends a JSON Schema, with a semaphore and the same table by hand."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from pydantic_core import from_json

from benchmarks.clients.sdk import asked_of_all
from benchmarks.tables import Checked
from benchmarks.task import KEY, MAX_TOKENS, MODEL, Invoice, Job

openai: Any = import_module("openai")  # installed for the benchmarks alone
instructor: Any = import_module("instructor")


def run(job: Job) -> None:
    """One run."""
    inner = openai.AsyncOpenAI(base_url=job.base_url, api_key=KEY)
    client = instructor.from_openai(inner, mode=instructor.Mode.JSON_SCHEMA)
    checked = Checked()

    async def ask(messages: list[dict[str, str]]) -> tuple[dict[str, Any], Any]:
        invoice, found = await client.chat.completions.create_with_completion(
            model=MODEL, messages=messages, response_model=Invoice, max_tokens=MAX_TOKENS, temperature=0
        )
        checked.judge(from_json(found.choices[0].message.content))
        return checked.row_of(invoice), found

    asyncio.run(asked_of_all(job, ask, inner.close))
