"""`extract eval`, `diff` and `sample`: tables against gold, against each other, and for people to label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extract.cli.app import EXIT_FAILED_RECORDS, app, printable
from extract.cli.options import AsJson
from extract.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from extract.evaluation import Difference, Evaluation, Sample

RunOrTable = Annotated[
    Path, typer.Argument(help="A run directory, or a .parquet, .csv, .jsonl or .xlsx table.", metavar="RUN_DIR")
]
GoldKey = Annotated[str | None, typer.Option("--key", help="Key column of gold. Default: the run's own.")]
Compared = Annotated[
    list[str] | None,
    typer.Option(
        "--compare",
        help="How a field is compared: exact, folded, similar:0.9, number:0.01, number:1%, date, enum, set, list, "
        "ignore …; may be given again.",
        metavar="FIELD=KIND",
    ),
]
Fields = Annotated[list[str] | None, typer.Option("--fields", help="Only these fields, such as name,lines.price.")]
MissingRows = Annotated[str, typer.Option("--missing", help="Gold records that the run never saw: count or skip.")]
MinF1 = Annotated[float | None, typer.Option("--min-f1", min=0, max=1, help="Exit with 3 when micro F1 is below.")]
HtmlPage = Annotated[Path | None, typer.Option("--html", help="Write a page with plots.", metavar="FILE")]
Resamples = Annotated[int, typer.Option("--resamples", min=0, help="Draws for the 95 % intervals; 0 for none.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed draws the same.")]

_WIDTH = 150  # of a table that goes to no terminal


@app.command("eval")
def evaluate(
    run_dir: RunOrTable,
    gold: Annotated[Path, typer.Option("--gold", help="A .parquet, .csv, .jsonl or .xlsx table; labels too.")],
    key: GoldKey = None,
    compare: Compared = None,
    fields: Fields = None,
    missing: MissingRows = "count",
    min_f1: MinF1 = None,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    as_json: AsJson = False,
    html: HtmlPage = None,
) -> None:
    """Compare a run's tables with gold: precision, recall, F1 and coverage by field.

    Exit codes: 0 done, 3 micro F1 is below --min-f1, 2 bad input.
    """
    from extract.evaluation import evaluate as evaluated

    found = evaluated(run_dir, gold, **_settings(key, compare, fields, missing, resamples, seed))
    _write_page(html, found)
    _print(found.as_dict() if as_json else None, lambda: _show_evaluation(found))
    if min_f1 is not None and not found.reaches(min_f1):
        _below(found, min_f1)


@app.command("diff")
def diff(
    first: Annotated[Path, typer.Argument(help="A run directory or a table.", metavar="RUN_A")],
    second: Annotated[Path, typer.Argument(help="Another one.", metavar="RUN_B")],
    gold: Annotated[Path | None, typer.Option("--gold", help="Gold: which of the two is right.")] = None,
    key: GoldKey = None,
    compare: Compared = None,
    fields: Fields = None,
    missing: MissingRows = "count",
    min_f1: MinF1 = None,
    examples: Annotated[int, typer.Option("--examples", min=0, help="Changed values shown for a field.")] = 3,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    as_json: AsJson = False,
    html: HtmlPage = None,
) -> None:
    """Compare two runs cell by cell; with gold, whether one is better.

    Exit codes: 0 done, 3 micro F1 of RUN_B is below --min-f1, 2 bad input.
    """
    from extract.evaluation import diff as compared

    if min_f1 is not None and gold is None:
        raise ConfigError("--min-f1 needs --gold")
    settings = _settings(key, compare, fields, missing, resamples, seed)
    found = compared(first, second, gold=gold, examples=examples, **settings)
    _write_page(html, found)
    _print(found.as_dict() if as_json else None, lambda: _show_difference(found))
    if min_f1 is not None and found.evaluations and not found.evaluations[1].reaches(min_f1):
        _below(found.evaluations[1], min_f1)


@app.command("sample")
def sample(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.", metavar="RUN_DIR")],
    source: Annotated[
        str | None,
        typer.Argument(help="The run's source; default the one that the manifest names.", metavar="[SOURCE]"),
    ] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="Records.")] = 100,
    by: Annotated[str, typer.Option("--by", help="Strata: reason, confidence, or a field.")] = "reason",
    out: Annotated[Path, typer.Option("-o", "--out", help="A .csv or .xlsx that is not there yet.")] = Path(
        "labels.csv"
    ),
    prefill: Annotated[bool, typer.Option("--prefill", help="Gold columns hold what was predicted.")] = False,
    equal: Annotated[bool, typer.Option("--equal", help="As many of each stratum, not in proportion.")] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Draw a stratified sample for people to label; `extract eval --gold` reads it back."""
    from extract.evaluation import draw_sample

    found = draw_sample(run_dir, number, by=by, source=source, prefill=prefill, equal=equal, seed=seed)
    found.write(out)
    strata = {name: {"drawn": drawn, "of": size} for name, (drawn, size) in found.strata.items()}
    data = {"out": str(out), "records": len(found.rows), "strata": strata, "notes": list(found.notes)}
    _print(data if as_json else None, lambda: _show_sample(found, out))


def _settings(
    key: str | None, compare: list[str] | None, fields: list[str] | None, missing: str, resamples: int, seed: int
) -> dict[str, Any]:
    pairs = {}
    for item in compare or []:
        field, equals, kind = item.partition("=")
        if not equals or not field.strip() or not kind.strip():
            raise ConfigError(f"--compare {item}: no kind", hint="FIELD=KIND, such as total=number:0.01")
        pairs[field.strip()] = kind.strip()
    names = [name.strip() for item in fields or [] for name in item.split(",") if name.strip()]
    shared = {"key": key, "compare": pairs, "fields": names, "missing": missing}
    return {**shared, "resamples": resamples, "seed": seed}


def _write_page(path: Path | None, found: Evaluation | Difference) -> None:
    if path is None:
        return
    try:
        path.write_bytes(found.html().encode("utf-8", "replace"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def _print(data: Any, show: Any) -> None:
    from extract.evaluation.plain import plain

    if data is None:
        show()
    else:
        typer.echo(json.dumps(plain(data), ensure_ascii=False))


def _below(found: Evaluation, min_f1: float) -> None:
    typer.echo(f"micro F1 {found.f1:.4f} is below {min_f1:g}", err=True)
    raise typer.Exit(EXIT_FAILED_RECORDS)


def _show_evaluation(found: Evaluation) -> None:
    _say(
        f"{found.predicted} against {found.gold}: {found.records:,} records, {found.in_table:,} in the table, "
        f"{found.quarantined:,} quarantined, {found.absent:,} absent"
    )
    table = _table("field", "precision", "recall", "F1", f"{found.level:.0%} of F1", "coverage", "accuracy")
    for path, each in found.fields.items():
        table.add_row(_clean(path), *_measures(each.score))
    table.add_section()
    for name, score in (("micro", found.micro), ("macro", found.macro)):
        table.add_row(name, *_measures(score))
    _draw(table)
    names = ("correct", "wrong", "spurious", "missed", "withheld", "unflagged")
    table = _table("values", "compared as", *names)
    for path, each in found.fields.items():
        table.add_row(_clean(path), _clean(each.comparator), *(f"{getattr(each, name):,}" for name in names))
    _draw(table)
    interval = f" ({_range(found.exact_interval)})" if found.exact_interval else ""
    _say(f"exact records: {found.exact:.3f}{interval}")
    for path, confusion in found.confusion.items():
        for gold, said, number in confusion.mistakes[:3]:
            _say(f"{path}: {number:,} × {said!r} for {gold!r}")
    for path, each_ in found.calibration.items():
        _say(f"confidence of {path}: ECE {each_.ece:.3f}, Brier {each_.brier:.3f}, {each_.number:,} values")
    _say(*(f"note: {note}" for note in found.notes))


def _show_difference(found: Difference) -> None:
    from extract.evaluation.page import moved_rows

    _say(f"first {found.first}, second {found.second}")
    _say(*(f"{number:,} {name}" for name, number, _ in moved_rows(found) if number))
    table = _table("field", "same", "changed", "null → value", "value → null", "differ", "95 %")
    for path, each in found.fields.items():
        counts = (each.same, each.changed, each.appeared, each.vanished)
        table.add_row(_clean(path), *(f"{n:,}" for n in counts), f"{each.share:.3f}", _range(each.interval))
    _draw(table)
    for path, each in found.fields.items():
        for example in each.examples:
            _say(f"{path}, {example.key}: {_brief(example.first)} → {_brief(example.second)}")
    if found.evaluations:
        table = _table("against gold", "first", "second", "gain", "95 %", "only first right", "only second right", "p")
        for path, compared in found.comparisons.items():
            split = ("", "", "") if compared.p is None else (compared.only_first, compared.only_second, compared.p)
            shown = [f"{part:.3g}" if isinstance(part, float) else str(part) for part in split]
            gain = "–" if compared.gain is None else f"{compared.gain:+.3f}"
            values = (_figure(compared.first), _figure(compared.second), gain, _range(compared.interval))
            table.add_row(_clean(path), *values, *shown)
        _draw(table)
    _say(*(f"note: {note}" for note in found.notes))


def _show_sample(found: Sample, out: Path) -> None:
    table = _table("stratum", "drawn", "of")
    for name, (drawn, size) in found.strata.items():
        table.add_row(_clean(name), f"{drawn:,}", f"{size:,}")
    _draw(table)
    _say(f"{len(found.rows):,} records in {out}", *(f"note: {note}" for note in found.notes))


def _measures(score: Any) -> list[str]:
    values = (score.precision, score.recall, score.f1)
    return [*map(_figure, values), _range(score.intervals.get("f1")), _figure(score.coverage), _figure(score.accuracy)]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _range(interval: tuple[float, float] | None) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""


def _brief(value: Any) -> str:
    from extract.evaluation.plain import plain

    text = json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _say(*lines: str) -> None:
    for line in lines:
        typer.echo(_clean(line))


def _clean(text: str) -> str:
    """One line, without what would steer a terminal or is no Unicode."""
    return printable(str(text).replace("\n", " ")).encode("utf-8", "replace").decode()


def _table(first: str, *names: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(first, overflow="fold", min_width=12)
    for name in names:
        is_word = name == "compared as"
        table.add_column(name, justify="left" if is_word else "right", overflow="fold", no_wrap=not is_word)
    return table


def _draw(table: Table) -> None:
    """The table as text, as wide as the terminal."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=_WIDTH)
    console.print(table)
    console.print()
