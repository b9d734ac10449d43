"""One entry of the corpus: a model, and the options it is compiled with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Case:
    """`name` is that of the snapshot; the rest is what `compile_schema` takes."""

    name: str
    model: Any
    unroll: int = 0
    relax: int = 0
    decimals: Literal["number", "string"] = "number"
    enums: Literal["value", "name"] = "value"

    @property
    def options(self) -> dict[str, Any]:
        """The keywords of `compile_schema`."""
        return {"unroll": self.unroll, "relax": self.relax, "decimals": self.decimals, "enums": self.enums}


def documents(*models: type) -> list[Case]:
    """A case for each model, named for it: `PurchaseOrder` is `purchase_order`."""
    return [Case(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", model.__name__).lower(), model) for model in models]
