"""20 extractions with instructor, 10 in each of two modes; run by its own interpreter: `python … BASE_URL KEY`."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from typing import Literal

import instructor
import openai
from pydantic import BaseModel, Field

SHOPS = ("Tesco", "Aldi", "Lidl", "Spar", "Coop", "Boots", "Asda", "Ikea", "Rewe", "Edeka")


class Receipt(BaseModel):
    """A receipt."""

    shop: str = Field(max_length=30)
    total: float = Field(ge=0, le=100)
    paid_by: Literal["card", "cash"]


def extract(mode: instructor.Mode, base_url: str, key: str) -> dict[str, int]:
    """How many of 10 receipts came back, and of how many the shop is right."""
    client = instructor.from_openai(openai.OpenAI(base_url=base_url, api_key=key, timeout=120), mode=mode)
    valid = right = 0
    for number in range(10):
        shop = SHOPS[number]
        text = f"{shop} receipt: bread 1.50, milk {number % 7}.20, total {number + 2}.70, paid by card"
        found = client.chat.completions.create(
            model="m",
            response_model=Receipt,
            max_retries=0,
            max_tokens=100,
            messages=[{"role": "user", "content": f"Extract the receipt: {text}"}],
        )
        valid += isinstance(found, Receipt)
        right += shop.lower() in found.shop.lower()
    return {"valid": valid, "right_shop": right}


def main() -> None:
    base_url, key = sys.argv[1:]
    seen: dict[str, object] = {"version": importlib.metadata.version("instructor")}
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
        seen[mode.name.lower()] = extract(mode, base_url, key)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
