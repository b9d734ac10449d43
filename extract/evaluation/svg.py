"""Plots as inline SVG: bars with intervals, stacked bars, a matrix, a reliability diagram. No script, all escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

ROW = 26  # height of a bar's row
LEFT = 210  # width of the labels
WIDTH = 460  # of the bars
CELL = 34
LONGEST = 30  # characters of a label

STATE_COLOURS = {
    "correct": "#2e7d32",
    "wrong": "#c62828",
    "spurious": "#ef6c00",
    "missed": "#8e24aa",
    "withheld": "#9e9e9e",
}
FIRST, SECOND, INK, GRID = "#607d8b", "#1565c0", "#263238", "#cfd8dc"

Interval = tuple[float, float] | None


def bars(rows: Sequence[tuple[str, float | None, Interval]], title: str) -> str:
    """One bar a row from 0 to 1, with its interval as a line."""
    parts = [_axis(len(rows))]
    for number, (label, value, interval) in enumerate(rows):
        y = number * ROW
        parts.append(_label(label, y))
        if value is not None:
            shown = f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
            parts.append(_bar(LEFT, y + 6, value * WIDTH, ROW - 12, SECOND, f"{label}: {shown}"))
            parts += [_whisker(interval, y + ROW / 2)] if interval else []
        text = "–" if value is None else f"{value:.3f}"
        parts.append(_text(LEFT + WIDTH + 12, y + ROW / 2 + 4, text))
    return _svg(LEFT + WIDTH + 70, len(rows) * ROW + 22, title, parts)


def paired_bars(rows: Sequence[tuple[str, float | None, float | None]], names: tuple[str, str], title: str) -> str:
    """Two bars a row, of the first and the second run."""
    parts = [_axis(len(rows))]
    for number, (label, *values) in enumerate(rows):
        y = number * ROW
        parts.append(_label(label, y))
        for place, (value, colour) in enumerate(zip(values, (FIRST, SECOND), strict=True)):
            if value is not None:
                hint = f"{label}, {names[place]}: {value:.3f}"
                parts.append(_bar(LEFT, y + 4 + place * 9, value * WIDTH, 8, colour, hint))
        shown = " → ".join("–" if value is None else f"{value:.3f}" for value in values)
        parts.append(_text(LEFT + WIDTH + 12, y + ROW / 2 + 4, shown))
    return _svg(LEFT + WIDTH + 130, len(rows) * ROW + 22, title, parts)


def stacks(rows: Sequence[tuple[str, Mapping[str, int]]], title: str, colours: Mapping[str, str]) -> str:
    """What became of the cells of each row, as shares of a whole bar."""
    parts = []
    for number, (label, counts) in enumerate(rows):
        y, x, whole = number * ROW, float(LEFT), sum(counts.values()) or 1
        parts.append(_label(label, y))
        for name, count in counts.items():
            width = count / whole * WIDTH
            if count:
                parts.append(_bar(x, y + 5, width, ROW - 10, colours[name], f"{label}: {count:,} {name}"))
            x += width
    return _svg(LEFT + WIDTH + 10, len(rows) * ROW + 4, title, parts)


def matrix(names: Sequence[str], columns: Sequence[str], counts: Mapping[tuple[str, str], int], title: str) -> str:
    """Gold labels down, predicted ones across; each row is shaded by its own sum."""
    top = 96
    parts = [_text(LEFT - 8, top - 8, "gold ↓   predicted →", "end", size=11)]
    for at, name in enumerate(columns):
        x = LEFT + at * CELL + CELL / 2
        turned = f' transform="rotate(-45 {x:.1f} {top - 8})"'
        parts.append(_text(x, top - 8, _short(name, 18), "start", turned, full=name))
    for row, name in enumerate(names):
        y = top + row * CELL
        parts.append(_text(LEFT - 8, y + CELL / 2 + 4, _short(name), "end", full=name))
        whole = sum(counts.get((name, other), 0) for other in columns) or 1
        for at, other in enumerate(columns):
            number = counts.get((name, other), 0)
            colour = STATE_COLOURS["correct" if name == other else "wrong"] if number else "#ffffff"
            strength = 0.15 + 0.85 * number / whole if number else 1
            x = LEFT + at * CELL
            hint = f"gold {name}, predicted {other}: {number:,}"
            parts.append(_bar(x, y, CELL - 2, CELL - 2, colour, hint, strength, stroke=GRID))
            if number:
                ink = "#ffffff" if strength > 0.55 else INK
                parts.append(_text(x + CELL / 2 - 1, y + CELL / 2 + 4, f"{number}", "middle", size=11, colour=ink))
    return _svg(LEFT + len(columns) * CELL + 110, top + len(names) * CELL + 6, title, parts)


def reliability(points: Sequence[tuple[float, float, int]], title: str) -> str:
    """Mean confidence across, share of right values up; the diagonal is what they should be. A dot's area is its
    number."""
    side, edge = 260, 44
    most = max((number for *_, number in points), default=1) or 1

    def x(value: float) -> float:
        return edge + value * side

    def y(value: float) -> float:
        return 10 + (1 - value) * side

    parts = [f'<rect x="{edge}" y="10" width="{side}" height="{side}" fill="none" stroke="{GRID}"/>']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_text(x(tick), side + 28, f"{tick:g}", "middle", size=11))
        parts.append(_text(edge - 8, y(tick) + 4, f"{tick:g}", "end", size=11))
    parts.append(_line(x(0), y(0), x(1), y(1), GRID, 'stroke-dasharray="4 3"'))
    parts.append(_text(edge + side / 2, side + 46, "stated confidence", "middle", size=11))
    for confidence, right, number in points:
        radius = 3 + 9 * (number / most) ** 0.5
        hint = f"{number:,} values, confidence {confidence:.2f}, right {right:.2f}"
        circle = f'<circle cx="{x(confidence):.1f}" cy="{y(right):.1f}" r="{radius:.1f}" fill="{SECOND}"'
        parts.append(f'{circle} fill-opacity="0.7"><title>{html.escape(hint)}</title></circle>')
    return _svg(edge + side + 20, side + 54, title, parts)


def legend(colours: Mapping[str, str]) -> str:
    """What the colours mean."""
    items = (f'<span><i style="background:{colour}"></i>{html.escape(name)}</span>' for name, colour in colours.items())
    return f'<p class="legend">{"".join(items)}</p>'


def _axis(rows: int) -> str:
    height = rows * ROW
    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = LEFT + tick * WIDTH
        parts += [_line(x, 0, x, height, GRID), _text(x, height + 15, f"{tick:g}", "middle", size=11)]
    return "".join(parts)


def _label(text: str, y: float) -> str:
    return _text(LEFT - 8, y + ROW / 2 + 4, _short(text), "end", full=text)


def _short(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _whisker(interval: tuple[float, float], y: float) -> str:
    low, high = (LEFT + value * WIDTH for value in interval)
    caps = (_line(x, y - 4, x, y + 4, INK) for x in (low, high))
    return _line(low, y, high, y, INK) + "".join(caps)


def _bar(
    x: float, y: float, width: float, height: float, colour: str, hint: str, strength: float = 1, stroke: str = ""
) -> str:
    line = f' stroke="{stroke}"' if stroke else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}"'
    return (
        f'<rect {place} fill="{colour}" fill-opacity="{strength:.2f}"{line}><title>{html.escape(hint)}</title></rect>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str = "start",
    more: str = "",
    *,
    size: int = 12,
    colour: str = INK,
    full: str = "",
) -> str:
    hint = f"<title>{html.escape(full)}</title>" if full and full != text else ""
    style = f'text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}{more}>{html.escape(text)}{hint}</text>'


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    name = html.escape(title, quote=True)
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{name}" {size}>{"".join(parts)}</svg>'
