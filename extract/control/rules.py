"""What the caller knows and wants."""

from __future__ import annotations

import math
from dataclasses import dataclass

from extract.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRules:
    """What is known of the endpoint and what is wanted. Raises ConfigError for values that cannot be."""

    concurrency: int = 32  # calls in flight at most
    adaptive: bool = True  # find out how many calls the endpoint takes; else only the limits here count
    requests_per_minute: float | None = None  # begun, evenly spaced; None: no limit that is known
    tokens_per_minute: float | None = None  # estimated at the beginning, settled at the end
    probe_interval: float = 5.0  # seconds to the first look during an outage, doubled each time
    longest_probe_interval: float = 30.0  # seconds
    outage_timeout: float = 3600.0  # seconds without a served call, after which the caller gives up
    max_retry_after: float = 300.0  # seconds, cap of what a server may ask for

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not isinstance(value, bool) and not 0 < value < math.inf:
                raise ConfigError(f"{name} must be above 0 and finite, got {value!r}")
