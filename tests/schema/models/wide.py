"""A model of 300 fields."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, Literal

from pydantic import create_model

from schema.models.case import Case

KINDS: list[Any] = [str, int, float | None, bool, dt.date | None, Literal["a", "b"], list[int], Decimal | None]
FIELDS: dict[str, Any] = {f"field_{number:03}": (KINDS[number % len(KINDS)], ...) for number in range(300)}
Wide: Any = create_model("Wide", __doc__="A form with 300 boxes.", **FIELDS)

MODELS = [Case("wide", Wide)]
