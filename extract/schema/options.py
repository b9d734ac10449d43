"""How a schema is asked to be compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from extract.errors import SchemaError
from extract.schema.losses import RUNGS
from extract.schema.profiles import PROFILES, Profile

Decimals = Literal["number", "string"]
Enums = Literal["value", "name"]
MAX_UNROLL = 8  # levels


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `compile_schema` but the type."""

    profile: Profile = "gemini"
    unroll: int = 0
    relax: int = 0
    decimals: Decimals = "number"
    enums: Enums = "value"

    def check(self) -> None:
        """Raises SchemaError for what is no option."""
        if not isinstance(self.profile, str) or self.profile not in PROFILES:
            raise SchemaError(f"unknown profile {self.profile!r}", hint=f"one of {', '.join(PROFILES)}")
        for name, allowed in (("decimals", get_args(Decimals)), ("enums", get_args(Enums))):
            if getattr(self, name) not in allowed:
                raise SchemaError(f"unknown {name} {getattr(self, name)!r}", hint=f"one of {', '.join(allowed)}")
        if type(self.relax) is not int or not 0 <= self.relax <= len(RUNGS):
            raise SchemaError(f"relax is {self.relax!r}", hint=f"0 to {len(RUNGS)}: {', '.join(RUNGS)}")
        if type(self.unroll) is not int or not 0 <= self.unroll <= MAX_UNROLL:
            raise SchemaError(f"unroll is {self.unroll!r}", hint=f"0 to {MAX_UNROLL} levels")
