"""20 extractions with pydantic-ai, 10 in each of two ways of output; run by its own interpreter: `python … BASE_URL KEY`."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import sys
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

SHOPS = ("Tesco", "Aldi", "Lidl", "Spar", "Coop", "Boots", "Asda", "Ikea", "Rewe", "Edeka")


class Receipt(BaseModel):
    """A receipt."""

    shop: str = Field(max_length=30)
    total: float = Field(ge=0, le=100)
    paid_by: Literal["card", "cash"]


async def extract(output: Any, base_url: str, key: str) -> dict[str, int]:
    """How many of 10 receipts came back, and of how many the shop is right."""
    model = OpenAIChatModel("m", provider=OpenAIProvider(base_url=base_url, api_key=key))
    agent: Any = Agent(model, output_type=output, retries=0, model_settings={"max_tokens": 100})
    valid = right = 0
    for number in range(10):
        shop = SHOPS[number]
        text = f"{shop} receipt: bread 1.50, milk {number % 7}.20, total {number + 2}.70, paid by card"
        found = (await agent.run(f"Extract the receipt: {text}")).output
        valid += isinstance(found, Receipt)
        right += shop.lower() in found.shop.lower()
    return {"valid": valid, "right_shop": right}


def main() -> None:
    base_url, key = sys.argv[1:]
    seen: dict[str, object] = {"version": importlib.metadata.version("pydantic-ai-slim")}
    for name, output in (("tool", ToolOutput(Receipt)), ("native", NativeOutput(Receipt))):
        seen[name] = asyncio.run(extract(output, base_url, key))
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
