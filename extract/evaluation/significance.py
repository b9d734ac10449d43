"""Whether two runs differ by more than chance: McNemar's exact test, Wilson's interval."""

from __future__ import annotations

import math
from statistics import NormalDist


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided exact p of a pair of counts: records that only one of two runs has right.

    Under the null hypothesis each such record is a fair coin; the probability of a split at least as uneven.
    """
    number, least = only_first + only_second, min(only_first, only_second)
    if number == 0:
        return 1.0
    logs = [_log_choose(number, each) - number * math.log(2) for each in range(least + 1)]
    top = max(logs)
    return min(1.0, 2 * math.exp(top) * math.fsum(math.exp(each - top) for each in logs))


def wilson(part: int, whole: int, level: float) -> tuple[float, float]:
    """Wilson's score interval of a share; 0 to 1 when nothing was seen."""
    if whole == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = part / whole
    centre = share + z * z / (2 * whole)
    spread = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    scale = 1 + z * z / whole
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _log_choose(number: int, chosen: int) -> float:
    return math.lgamma(number + 1) - math.lgamma(chosen + 1) - math.lgamma(number - chosen + 1)
