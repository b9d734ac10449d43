"""What can be seen without asking anything: `extract check`, `schema`, `status`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from extract.cli.app import app, printable
from extract.cli.options import (
    AsJson,
    Limit,
    Local,
    OutPath,
    PipelineName,
    Settings,
    SourcePath,
    SplitFields,
    given_settings,
    split,
)
from extract.errors import ConfigError

FLAGS = "_flags"


@app.command()
def check(
    name: PipelineName,
    source: SourcePath = None,
    out: OutPath = None,
    local: Local = False,
    limit: Limit = None,
    settings: Settings = None,
    split_fields: SplitFields = None,
    as_json: AsJson = False,
) -> None:
    """Find out everything that can be known before paying. Sends nothing."""
    from extract.api import prepare_run
    from extract.loading import load_pipeline
    from extract.pipeline import default_out
    from extract.sinks.rundir import account_of, journal_of
    from extract.survey import survey, survey_text

    pipeline = split(load_pipeline(name), split_fields).with_settings(given_settings(settings))
    prepared = prepare_run(pipeline, source, local=local, limit=limit)
    root = out or default_out(prepared.pipeline)
    journal = journal_of(root)
    found = survey(prepared, journal if journal.exists() else None, account_of(root))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        typer.echo(survey_text(found))


@app.command()
def schema(
    model: Annotated[
        str,
        typer.Argument(
            help="schemas/receipts.py:Receipt, schemas.receipts:Receipt, or a JSON Schema in a .json file.",
            metavar="MODEL",
        ),
    ],
    profile: Annotated[
        str, typer.Option("--profile", help="gemini, page, openai, llamacpp, function or full.")
    ] = "gemini",
    form: Annotated[
        str | None, typer.Option("--form", help="Print only response_format, in the form A, B or C.")
    ] = None,
    unroll: Annotated[int, typer.Option("--unroll", help="Levels to which a recursive model is unrolled.")] = 0,
    relax: Annotated[
        int, typer.Option("--relax", help="Rungs to give up: array bounds, numeric bounds, formats, big enums.")
    ] = 0,
    decimals: Annotated[str, typer.Option("--decimals", help="A Decimal on the wire: number or string.")] = "number",
    enums: Annotated[str, typer.Option("--enums", help="An Enum on the wire: by value or by name.")] = "value",
    as_json: AsJson = False,
) -> None:
    """Show what a model becomes: the wire schema, what it cannot carry, its size, and the columns of the table."""
    from extract.loading import load_model
    from extract.schema import compile_schema
    from extract.schema.sheet import facts, sheet

    if form not in (None, "A", "B", "C"):
        raise ConfigError(f"unknown form {form!r}", hint="A, B or C")
    options: dict[str, Any] = {"unroll": unroll, "relax": relax, "decimals": decimals, "enums": enums}
    compiled = compile_schema(load_model(model), profile, **options)  # type: ignore[arg-type]  # checked there
    chosen: Any = form or "C"
    if as_json:
        typer.echo(json.dumps(facts(compiled, chosen), ensure_ascii=False, default=str))
    elif form is not None:
        typer.echo(json.dumps(compiled.response_format_as(chosen), indent=2, ensure_ascii=False, default=str))
    else:
        typer.echo(sheet(compiled))


@app.command()
def status(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.", metavar="RUN_DIR")],
    rows: Annotated[int, typer.Option("--rows", min=0, help="Also print the first so many rows of the tables.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show what a run directory holds."""
    from extract.sinks import read_manifest
    from extract.sinks.rundir import NEXT

    manifest = read_manifest(run_dir)
    if manifest is None:
        raise ConfigError(f"{run_dir} is no run directory", hint="it has no manifest.json")
    if as_json:
        typer.echo(json.dumps(manifest, ensure_ascii=False))
        return
    typer.echo(_status_text(run_dir, manifest))
    if growing := read_manifest(run_dir / NEXT):
        counts = growing["counts"]
        typer.echo(f"a newer run is not complete: {counts['pending']:,} of {counts['in']:,} records pending")
        for line in _stop_lines(growing):
            typer.echo(line)
    if rows:
        typer.echo(_first_rows(run_dir, manifest, rows))


def _status_text(run_dir: Path, manifest: dict[str, Any]) -> str:
    counts, tokens = manifest["counts"], manifest["tokens"]
    reasons = ", ".join(f"{code} {number}" for code, number in manifest["reasons"].items())
    lines = [
        f"{run_dir}: {manifest['pipeline']} on {manifest['source']}, "
        f"{'complete' if manifest['complete'] else 'not complete'}",
        f"{counts['in']:,} in, {counts['ok']:,} ok{_of_which(manifest)}, {counts['quarantined']:,} quarantined, "
        f"{counts['pending']:,} pending",
        *_stop_lines(manifest),
        *([f"reasons: {reasons}"] if reasons else []),
        f"{manifest['requests']:,} requests, {manifest['retries']:,} retries, "
        f"{tokens['input'] + tokens['output']:,} tokens, {manifest['model']} at {manifest['endpoint']}",
        *_money_lines(manifest),
        *_effort_lines(manifest),
        *_check_lines(manifest),
        *([f"{manifest['answered']:,} answers are stored and will not be asked again"] if counts["pending"] else []),
        f"files: {', '.join(_files(run_dir, manifest))}",
    ]
    return "\n".join(lines)


def _of_which(manifest: dict[str, Any]) -> str:
    """How many of the rows people filled in, and how many are doubtful."""
    from extract.report import of_which

    return of_which(manifest.get("human", 0), manifest.get("flagged", 0))


def _stop_lines(manifest: dict[str, Any]) -> list[str]:
    """Why the last run ended early, if it said so."""
    why = manifest.get("stopped")
    if not isinstance(why, dict):
        return []
    hint = f" ({why['hint']})" if why.get("hint") else ""
    return [printable(f"stopped {why.get('at')}: {why.get('code')}: {why.get('message')}{hint}")]


def _files(run_dir: Path, manifest: dict[str, Any]) -> list[str]:
    """Those that are there; of a journal that other runs share its own place."""
    from extract.sinks import folders_of
    from extract.sinks.rundir import journal_of

    known = [*(run_dir / name for name in folders_of(manifest)), run_dir / "manifest.json", journal_of(run_dir)]
    return [str(path) for path in known if path.exists()]


def _effort_lines(manifest: dict[str, Any]) -> list[str]:
    """What repairs and escalations cost and gained, and what was paid beside the answers of the tables."""
    from extract.efforts import beside

    is_priced = manifest.get("cost_usd") is not None
    lines = [
        f"{row['what']} ({row['model']}): {row['passed']:,} of {row['answers']:,} answers passed, "
        f"{row['input_tokens'] + row['output_tokens']:,} tokens"
        + (f", {row['cost_usd']:.4f} USD" if row["cost_usd"] else "")
        + (", cost unknown" if row["cost_usd"] is None and is_priced else "")
        for row in manifest.get("efforts") or []
    ]
    return [*lines, *([more] if (more := beside(manifest)) else [])]


def _check_lines(manifest: dict[str, Any]) -> list[str]:
    """What was found in the table as a whole."""
    failed = [check for check in manifest.get("table_checks") or [] if not check["passed"]]
    return [f"table check {check['name']} ({check['severity']}): {check['message']}" for check in failed]


def _money_lines(manifest: dict[str, Any]) -> list[str]:
    """What all runs in the directory have cost, as far as that is known."""
    from extract.report import unsure_words

    cost, unsure = manifest.get("cost_usd"), unsure_words(manifest.get("ambiguous", 0), manifest.get("unmetered", 0))
    return [", ".join([*([f"{cost:.4f} USD"] if cost else []), *unsure])] if cost or unsure else []


def _first_rows(run_dir: Path, manifest: dict[str, Any], rows: int) -> str:
    from extract.sinks import QUARANTINE, TABLE, children_of, count_rows, read_shards

    table_format = manifest["table_format"]
    table = read_shards(run_dir / TABLE, table_format).slice(0, rows)
    if not table.num_columns:
        return "\nno rows yet: tables are written shard by shard"
    names = [name for name in table.column_names if name == FLAGS or not name.startswith("_")]
    failed = read_shards(run_dir / QUARANTINE, table_format).slice(0, rows)
    parts = ["", "table:", _as_text(table.select(names), 40)]
    if children := children_of(manifest):
        parts += ["", "child tables:"]
        parts += [f"{name}: {count_rows(run_dir / name, table_format):,} rows" for name in children]
    if failed.num_rows:
        columns = ["key", "reason", "path", "message", "value"]
        parts += ["", "quarantine:", _as_text(failed.select(columns), 60)]
    return "\n".join(parts)


def _as_text(table: Any, width: int) -> str:
    """Rows for people: a null is empty, flags stand one after the other."""
    import pandas as pd

    cells = {name: [_cell(name, value) for value in table[name].to_pylist()] for name in table.column_names}
    return printable(pd.DataFrame(cells).to_string(index=False, max_colwidth=width))


def _cell(name: str, value: Any) -> Any:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if name == FLAGS and isinstance(value, list) else value
