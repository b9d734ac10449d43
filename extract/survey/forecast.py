"""What many calls will use, as those tell that were made already: a sum and its interval. Pure, without a clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

LEVEL = 0.95  # of the intervals
FEWEST = 5  # answers that say anything
LINE = 12  # answers from which on a straight line through them counts, rather than one from nothing

_SKEWEST = 6.0  # more is not believed of a few dozen numbers


@dataclass(frozen=True, slots=True)
class Interval:
    """A sum: what is expected of it, and between what it likely is. `expected` is None where nothing is known."""

    low: float
    high: float
    expected: float | None = None

    def as_dict(self, digits: int | None = None) -> dict[str, Any]:
        """As JSON data, rounded."""
        return {name: None if value is None else round(value, digits) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Rest:
    """The calls that are still to be made: how many, and the sum of what was guessed for each."""

    number: int = 0
    guessed: float = 0.0


def predicted(seen: Sequence[tuple[float, float]], rest: Rest) -> Interval:
    """The sum over the rest, from pairs of what was guessed for a call and what it came to (at least `FEWEST`).

    A straight line of what it came to on what was guessed, fitted by least squares, gives the expected sum. Its error
    has two parts: that of the line (each residual with its leverage, so that it may vary with size, as with White's
    estimator in the form HC2), and that of the rest itself, which varies as what was seen. The interval is Student's,
    with Hall's correction for skewness, since few calls use much and many little (P. Hall, On the removal of skewness
    by transformation, 1992).
    """
    number, mean_guess, mean = len(seen), _mean([guess for guess, _ in seen]), _mean([came for _, came in seen])
    spread = sum((guess - mean_guess) ** 2 for guess, _ in seen)
    beyond = rest.guessed - rest.number * mean_guess
    if number >= LINE and spread > 0:
        slope = sum((guess - mean_guess) * (came - mean) for guess, came in seen) / spread
        expected, lost = rest.number * mean + slope * beyond, 2
        fitted = [mean + slope * (guess - mean_guess) for guess, _ in seen]
        leverage = [1 / number + (guess - mean_guess) ** 2 / spread for guess, _ in seen]
        weights = [rest.number / number + beyond * (guess - mean_guess) / spread for guess, _ in seen]
    else:
        slope = mean / mean_guess if mean_guess else 0.0
        expected, lost = slope * rest.guessed, 1
        fitted = [slope * guess for guess, _ in seen]
        leverage = [guess / (number * mean_guess) if mean_guess else 1 / number for guess, _ in seen]
        weights = [rest.guessed / (number * mean_guess) if mean_guess else rest.number / number] * number
    residuals = [came - fit for (_, came), fit in zip(seen, fitted, strict=True)]
    squares = [each**2 / max(1e-9, 1 - own) for each, own in zip(residuals, leverage, strict=True)]
    of_line = sum(weight**2 * square for weight, square in zip(weights, squares, strict=True))
    of_rest = rest.number * sum(squares) / (number - lost)
    error = math.sqrt(of_line + of_rest)
    quantile, bend = _student((1 + LEVEL) / 2, number - lost), _skewness(residuals) / math.sqrt(number)
    low, high = expected - error * _unbent(quantile, bend), expected - error * _unbent(-quantile, bend)
    return Interval(max(0.0, min(low, expected)), max(high, expected), max(0.0, expected))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _skewness(residuals: Sequence[float]) -> float:
    """Of the right side alone: that a sum may well be greater is what has to be said."""
    second = _mean([each**2 for each in residuals])
    third = _mean([each**3 for each in residuals])
    return min(_SKEWEST, max(0.0, third / second**1.5)) if second > 0 else 0.0


def _unbent(quantile: float, bend: float) -> float:
    """Where Hall's cubic of the statistic has this quantile: its inverse has a closed form."""
    if bend < 1e-9:
        return quantile
    inner = 1 + bend * (quantile - bend / 6)
    return 3 / bend * (math.copysign(math.pow(abs(inner), 1 / 3), inner) - 1)


def _student(probability: float, freedom: int) -> float:
    """The quantile of Student's distribution, by the expansion in 1/freedom (Abramowitz and Stegun 26.7.5)."""
    z: float = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / math.pow(freedom, power) for power, term in enumerate(terms, 1))
