"""Evaluations and differences as pages that stand by themselves: tables, inline SVG, no script, everything escaped."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from extract.evaluation import svg
from extract.evaluation.calibration import Calibration
from extract.evaluation.confusion import Confusion
from extract.evaluation.difference import Difference
from extract.evaluation.measures import MEASURES, Score
from extract.evaluation.plain import cell_text
from extract.evaluation.scoring import Evaluation

MOST_LABELS = 24  # of a matrix; the others are "(others)"
MOST_MISTAKES = 15
OTHERS = "(others)"
LONGEST = 200  # characters of a value in an example

_STYLE = """
body{font:14px/1.5 system-ui,sans-serif;color:#263238;max-width:1080px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #cfd8dc}h3{font-size:1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:.5rem 0}th,td{padding:.2rem .6rem;text-align:right;
border-bottom:1px solid #eceff1;font-variant-numeric:tabular-nums;vertical-align:top}th{white-space:nowrap}
th:first-child,td:first-child,.text td,.text th{text-align:left}.text td{overflow-wrap:anywhere;max-width:26rem}
td small{color:#607d8b;display:block;white-space:nowrap}tr.total{font-weight:600}.note{color:#5d4037}
.legend span{margin-right:1rem}.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.3em}
svg{max-width:100%;height:auto;font-family:system-ui,sans-serif}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def evaluation_page(found: Evaluation) -> str:
    """The whole page of an evaluation."""
    return _page(f"Evaluation of {found.predicted}", evaluation_body(found))


def difference_page(found: Difference) -> str:
    """The whole page of a difference."""
    return _page(f"{found.first} and {found.second}", difference_body(found))


def evaluation_body(found: Evaluation) -> str:
    """What stands between the page's head and its end; for notebooks too."""
    head = (
        f"<p>{_said(found.predicted)} against {_said(found.gold)}: {found.records:,} records, {found.in_table:,} in "
        f"the table, {found.quarantined:,} quarantined, {found.absent:,} absent.</p>"
    )
    return head + _notes(found.notes) + _scores(found) + _confusions(found) + _calibrations(found)


def difference_body(found: Difference) -> str:
    """The same for a difference."""
    parts = [f"<p>First: {_said(found.first)}. Second: {_said(found.second)}.</p>", _notes(found.notes)]
    parts += [_moved(found), _changes(found), _examples(found)]
    if found.evaluations:
        parts.append(_comparisons(found))
        for name, each in zip(("First", "Second"), found.evaluations, strict=True):
            parts.append(f"<h2>{name} run against gold</h2>{_notes(each.notes)}{_table_of_scores(each)}")
    return "".join(parts)


def _page(title: str, body: str) -> str:
    name = html.escape(title)
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}{view}<title>{name}</title><style>{_STYLE}</style></head>'
        f"<body><h1>{name}</h1>{body}</body></html>\n"
    )


def _scores(found: Evaluation) -> str:
    rows = [(path, each.score.f1, each.score.intervals.get("f1")) for path, each in found.fields.items()]
    totals = [
        ("micro", found.micro.f1, found.micro.intervals.get("f1")),
        ("macro", found.macro.f1, found.macro.intervals.get("f1")),
        ("exact records", found.exact, found.exact_interval),
    ]
    states = [(path, {name: getattr(each, name) for name in svg.STATE_COLOURS}) for path, each in found.fields.items()]
    interval = f" Lines are {found.level:.0%} intervals of {found.resamples:,} draws." if found.resamples else ""
    return (
        f"<h2>Scores</h2>{_table_of_scores(found)}<h2>F1 by field</h2>"
        f"<p>Below it the share of exact records.{interval}</p>"
        f"{svg.bars([*rows, *totals], 'F1 by field')}<h2>What became of the values</h2>"
        f"{_table_of_values(found)}"
        f"{svg.legend(svg.STATE_COLOURS)}{svg.stacks(states, 'values by state', svg.STATE_COLOURS)}"
    )


def _table_of_scores(found: Evaluation) -> str:
    rows = [[_cell(path), *_measures(each.score)] for path, each in found.fields.items()]
    totals = [["micro", *_measures(found.micro)], ["macro", *_measures(found.macro)]]
    exact = _with_interval(found.exact, found.exact_interval)
    body = _table(["field", *MEASURES], rows, totals)
    return f'<div class="wide">{body}</div><p>Exact records: {exact.replace("<small>", " <small>")}</p>'


def _table_of_values(found: Evaluation) -> str:
    names = ("correct", "wrong", "spurious", "missed", "withheld", "unflagged")
    rows = [
        [_cell(path), *(_cell(f"{getattr(each, name):,}") for name in names), _cell(each.comparator)]
        for path, each in found.fields.items()
    ]
    totals = [["micro", *(_cell(f"{_sum(found, name):,}") for name in names), ""]]
    return f'<div class="wide">{_table(["field", *names, "compared as"], rows, totals)}</div>'


def _sum(found: Evaluation, name: str) -> int:
    return sum(getattr(each, name) for each in found.fields.values() if each.counted)


def _measures(score: Score) -> list[str]:
    return [_with_interval(getattr(score, name), score.intervals.get(name)) for name in MEASURES]


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" + (f"<small>{interval[0]:.3f}–{interval[1]:.3f}</small>" if interval else "")


def _confusions(found: Evaluation) -> str:
    return "".join(_confusion(path, each) for path, each in found.confusion.items())


def _confusion(path: str, found: Confusion) -> str:
    pairs = _fewer(found)
    names, columns = (sorted({pair[place] for pair in pairs}) for place in (0, 1))
    mistakes = [
        [_cell(gold), _cell(said), _cell(f"{number:,}")] for gold, said, number in found.mistakes[:MOST_MISTAKES]
    ]
    table = f'<div class="text">{_table(["gold", "predicted", "records"], mistakes)}</div>' if mistakes else ""
    return f"<h2>Confusion: {_said(path)}</h2><div class='wide'>{svg.matrix(names, columns, pairs, path)}</div>{table}"


def _fewer(found: Confusion) -> dict[tuple[str, str], int]:
    """The labels with the most mistakes keep their own rows."""
    weight = Counter[str]()
    for (gold, said), number in found.pairs.items():
        for name in {gold, said}:
            weight[name] += number * (1 if gold == said else 1_000_000)
    kept = {name for name, _ in weight.most_common(MOST_LABELS)}
    pairs = Counter[tuple[str, str]]()
    for (gold, said), number in found.pairs.items():
        pairs[gold if gold in kept else OTHERS, said if said in kept else OTHERS] += number
    return dict(pairs)


def _calibrations(found: Evaluation) -> str:
    return "".join(_calibration(path, each) for path, each in found.calibration.items())


def _calibration(path: str, found: Calibration) -> str:
    bins = [each for each in found.bins if each.number]
    rows = [
        [f"{each.low:.1f}–{each.high:.1f}", f"{each.number:,}", f"{each.confidence:.3f}", f"{each.right:.3f}"]
        for each in bins
    ]
    ignored = f", {found.ignored:,} outside 0 to 1 ignored" if found.ignored else ""
    plot = svg.reliability([(each.confidence, each.right, each.number) for each in bins], f"reliability of {path}")
    return (
        f"<h2>Confidence: {_said(path)}</h2><p>{_said(found.source)}: {found.number:,} values{ignored}. ECE "
        f"{found.ece:.3f}, Brier {found.brier:.3f}; mean confidence {found.mean_confidence:.3f}, right "
        f"{found.right:.3f}.</p>{plot}{_table(['confidence', 'values', 'mean', 'right'], rows)}"
    )


def _moved(found: Difference) -> str:
    rows = [
        [_cell(name), _cell(f"{number:,}"), _cell(", ".join(map(str, keys[:10])) + (" …" if len(keys) > 10 else ""))]
        for name, number, keys in moved_rows(found)
    ]
    return f'<h2>Records</h2><div class="text">{_table(["records", "number", "such as"], rows)}</div>'


def moved_rows(found: Difference) -> list[tuple[str, int, Sequence[Any]]]:
    """Where the records are: words, number, keys."""
    moved = found.moved
    listed = [
        ("passed first, quarantined second", moved.newly_quarantined),
        ("quarantined first, passed second", moved.newly_passed),
        ("only in the first run", moved.only_first),
        ("only in the second run", moved.only_second),
    ]
    return [
        ("in both tables", moved.both, ()),
        ("quarantined in both", moved.both_quarantined, ()),
        *((name, len(keys), keys) for name, keys in listed),
    ]


def _changes(found: Difference) -> str:
    colours = {"same": "#b0bec5", "changed": "#c62828", "null → value": "#2e7d32", "value → null": "#8e24aa"}
    stacks, rows = [], []
    for path, each in found.fields.items():
        counts = (each.same, each.changed, each.appeared, each.vanished)
        stacks.append((path, dict(zip(colours, counts, strict=True))))
        rows.append(
            [_cell(path), *(_cell(f"{number:,}") for number in counts), _with_interval(each.share, each.interval)]
        )
    plot = svg.legend(colours) + svg.stacks(stacks, "changes by field", colours)
    return f"<h2>Fields</h2>{_table(['field', *colours, 'differ'], rows)}{plot}"


def _examples(found: Difference) -> str:
    rows = [
        [_cell(path), _cell(each.key), _cell(each.first), _cell(each.second)]
        for path, change in found.fields.items()
        for each in change.examples
    ]
    table = _table(["field", "key", "first", "second"], rows)
    return f'<h2>Examples</h2><div class="wide text">{table}</div>' if rows else ""


def _comparisons(found: Difference) -> str:
    rows, pairs = [], []
    for path, each in found.comparisons.items():
        gain = "–" if each.gain is None else f"{each.gain:+.3f}"
        small = f"<small>{each.interval[0]:+.3f} to {each.interval[1]:+.3f}</small>" if each.interval else ""
        split = ["", "", ""] if each.p is None else [str(each.only_first), str(each.only_second), f"{each.p:.3g}"]
        rows.append([_cell(path), *map(_number, (each.first, each.second)), gain + small, *split])
        pairs.append((path, each.first, each.second))
    names = ["", "first", "second", "gain", "only first right", "only second right", "McNemar p"]
    plot = svg.paired_bars(pairs, (found.first, found.second), "F1 of the two runs")
    colours = {"first": svg.FIRST, "second": svg.SECOND}
    return f"<h2>F1 against gold</h2>{_table(names, rows)}{svg.legend(colours)}{plot}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _notes(notes: Iterable[str]) -> str:
    return "".join(f'<p class="note">Note: {_said(note)}</p>' for note in notes)


def _said(text: Any) -> str:
    return html.escape(str(text))


def _cell(value: Any) -> str:
    text = "null" if value is None else str(cell_text(value))
    return html.escape(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], totals: Sequence[Sequence[str]] = ()) -> str:
    """Rows of cells that are HTML already."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    last = "".join(f'<tr class="total">{_cells(row)}</tr>' for row in totals)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}{last}</tbody></table>"


def _cells(row: Sequence[str]) -> str:
    return "".join(f"<td>{cell}</td>" for cell in row)
