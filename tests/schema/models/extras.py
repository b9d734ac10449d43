"""Models that say what to do with keys that nobody asked for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from schema.models.case import Case


class Forbids(BaseModel):
    """Refuses them."""

    model_config = ConfigDict(extra="forbid")

    name: str
    inner: Ignores | None


class Ignores(BaseModel):
    """Passes over them."""

    model_config = ConfigDict(extra="ignore")

    name: str
    inners: list[ForbidsToo]


class ForbidsToo(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False, str_max_length=50)

    size: int


MODELS = [Case("extra_forbid", Forbids), Case("extra_ignore", Ignores)]
