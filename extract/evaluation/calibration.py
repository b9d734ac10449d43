"""Whether a stated confidence is the share of right values: reliability bins, ECE and Brier score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from extract.evaluation.counting import OK, Scored
from extract.evaluation.plan import CONFIDENCE
from extract.evaluation.sides import Side

BINS = 10
COLUMN = "_confidence"  # a struct, a number for each field
RECORD = CONFIDENCE  # a field of the model's own: of the whole record
SUFFIX = f"_{CONFIDENCE}"  # or of the field before it

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Bin:
    """The values whose confidence lies from `low` to `high`: how many, how sure, how often right."""

    low: float
    high: float
    number: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Confidence against being right. ece: the mean distance of the two over the bins, weighted by their numbers;
    brier: the mean square of confidence minus 1 (right) or 0. `ignored`: confidences outside 0 to 1."""

    source: str  # the column that states it
    number: int
    ece: float
    brier: float
    mean_confidence: float
    right: float
    ignored: int
    bins: Sequence[Bin]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def calibrations(predicted: Side, scored: Scored) -> dict[str, Calibration]:
    """Field → its calibration, `(record)` for the confidence of the record as a whole. Of rows of the table only."""
    found = {}
    for path, source, get in _sources(predicted, scored):
        right = scored.exact if path == "" else scored.right[:, [c.path for c in scored.columns].index(path)]
        pairs = [
            (value, bool(is_right))
            for key, status, is_right in zip(scored.keys, scored.status, right, strict=True)
            if status == OK and (value := get(predicted.rows[key])) is not None
        ]
        made = calibration(source, pairs)
        if made is not None:
            found[path or "(record)"] = made
    return found


def confidence_of(predicted: Side, path: str) -> Callable[[Mapping[str, Any]], float | None] | None:
    """What reads the confidence of a field (of the record, without a path) from a row; None where none is stated."""
    top, name = path.partition(".")[0], f"{path.replace('.', '_')}{SUFFIX}" if path else RECORD
    stated = predicted.about.get(COLUMN)
    if path and isinstance(stated, dict) and top in stated:
        return lambda row: _number(_below(row.get(COLUMN), path))
    return (lambda row: _number(row.get(name))) if name in predicted.columns else None


def _sources(predicted: Side, scored: Scored) -> Iterator[tuple[str, str, Callable[[Mapping[str, Any]], float | None]]]:
    paths = dict.fromkeys(column.path for column in scored.columns if column.counted)
    for path in ("", *paths):
        get = confidence_of(predicted, path)
        if get is not None:
            is_own = COLUMN in predicted.about and bool(path)
            yield path, f"{COLUMN}.{path}" if is_own else f"{path}{SUFFIX}" if path else RECORD, get


def calibration(source: str, pairs: Sequence[tuple[float, bool]]) -> Calibration | None:
    """The calibration of (confidence, right) pairs; None without any between 0 and 1."""
    kept = [(value, right) for value, right in pairs if 0 <= value <= 1]
    if not kept:
        return None
    values, right = np.array([pair[0] for pair in kept]), np.array([pair[1] for pair in kept], float)
    places = np.minimum((values * BINS).astype(int), BINS - 1)
    bins = [_bin(place, values[places == place], right[places == place]) for place in range(BINS)]
    ece = sum(each.number * abs(each.confidence - each.right) for each in bins if each.number) / len(kept)
    brier = float(np.mean((values - right) ** 2))
    ignored = len(pairs) - len(kept)
    return Calibration(source, len(kept), float(ece), brier, float(values.mean()), float(right.mean()), ignored, bins)


def _bin(place: int, values: Floats, right: Floats) -> Bin:
    number = len(values)
    low, high = place / BINS, (place + 1) / BINS
    return Bin(low, high, number, float(values.mean()) if number else 0.0, float(right.mean()) if number else 0.0)


def _below(value: Any, path: str) -> Any:
    """The number of the path itself, or of the nearest field above it."""
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return value
        value = value.get(name)
    return value


def _number(value: Any) -> float | None:
    """NaN and infinity are no confidence, and are counted as ignored."""
    if value is None or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found
