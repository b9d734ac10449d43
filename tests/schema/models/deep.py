"""Models within models, eight levels down."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, create_model

from schema.models.case import Case


class Bottom(BaseModel):
    """The last one."""

    value: int | None = Field(description="At last")


def _nested(levels: int) -> Any:
    model: Any = Bottom
    for level in range(levels - 1, 0, -1):
        model = create_model(f"Level{level}", name=(str, ...), inner=(model, ...))
    return model


def _lists(levels: int) -> Any:
    found: Any = int
    for _ in range(levels):
        found = list[found]
    return found


class Alternating(BaseModel):
    """Lists, dicts, tuples and models in turn."""

    deep: list[dict[str, tuple[int, list[Bottom | None]]]] | None


MODELS = [
    Case("deep", _nested(8)),
    Case("deep_lists", create_model("DeepLists", lists=(_lists(8), ...))),
    Case("deep_alternating", Alternating),
]
