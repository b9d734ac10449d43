"""The command line: parse, call, print. Results go to stdout, progress and logs to stderr.

Exit codes: 0 all records ok; 1 unexpected error; 2 usage, configuration or input error, nothing sent; 3 finished, but
more than --max-failed records quarantined; 4 stopped early, the same command goes on.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extract.errors import APIError, ConfigError, ExtractError, InputError, RunStopped
from extract.version import __version__

if TYPE_CHECKING:
    from extract.pipeline import Pipeline, Prepared
    from extract.report import OnProgress

EXIT_USAGE = 2
EXIT_FAILED_RECORDS = 3
EXIT_STOPPED = 4

app = typer.Typer(
    name="extract",
    help="Turn tables and documents into validated, typed tables with a chat-completions model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

PipelineName = Annotated[
    str, typer.Argument(help="pipelines.receipts or pipelines/receipts.py[:name].", metavar="PIPELINE")
]
SourcePath = Annotated[
    Path | None,
    typer.Argument(help="CSV, TSV, Parquet or JSONL file. Default: the pipeline's own.", metavar="[SOURCE]"),
]
OutPath = Annotated[Path | None, typer.Option("--out", help="Run directory. Default: out/<name of the pipeline>.")]
Local = Annotated[bool, typer.Option("--local", help="Use the model on this machine: no key, no network.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many records.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="model.…, limits.… or retry.… =VALUE; may be given again.", metavar="NAME=VALUE"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print machine-readable results on stdout.")]
SchemaName = Annotated[
    str | None, typer.Option("--schema", help="Without a pipeline: schemas/receipts.py:Receipt.", metavar="MODEL")
]
PromptText = Annotated[str | None, typer.Option("--prompt", help="Without a pipeline: the template, '… {{ text }}'.")]
KeyColumn = Annotated[
    str | None, typer.Option("--key", help="Key column. Default: the pipeline's, else the row number.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tablecast {__version__}")
        raise typer.Exit


@app.callback()
def extract(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every retry and more.")] = False,
) -> None:
    _set_up_logging(verbose)


@app.command()
def run(
    arguments: Annotated[
        list[str],
        typer.Argument(
            help="PIPELINE [SOURCE], or only SOURCE with --schema and --prompt.", metavar="PIPELINE [SOURCE]"
        ),
    ],
    out: OutPath = None,
    local: Local = False,
    limit: Limit = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be asked and what it may cost; send nothing.")
    ] = False,
    settings: Settings = None,
    as_json: AsJson = False,
    max_failed: Annotated[
        int, typer.Option("--max-failed", min=0, help="Quarantined records that are still success.")
    ] = 0,
    schema: SchemaName = None,
    prompt: PromptText = None,
    key: KeyColumn = None,
    children: Annotated[
        str | None,
        typer.Option("--children", help="Where lists and maps go: columns, or tables of their own.", metavar="WHERE"),
    ] = None,
    flat: Annotated[bool, typer.Option("--flat", help="Nested objects as columns such as address.city.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Run a pipeline: ask for each record that has no answer yet, then write table and quarantine."""
    from extract.api import prepare_run
    from extract.api import run as run_pipeline
    from extract.report import Report

    pipeline, source = _chosen(arguments, schema, prompt, key, settings)
    pipeline = _laid_out(pipeline, children, flat)
    if dry_run:
        _dry_run(prepare_run(pipeline, source, local=local, limit=limit), out, as_json)
        return
    try:
        with _progress(quiet) as on_progress:
            result = run_pipeline(
                pipeline, source, out=out, local=local, limit=limit, max_failed=max_failed, on_progress=on_progress
            )
    except (RunStopped, APIError) as error:
        if as_json and isinstance(error.report, Report):
            typer.echo(json.dumps(error.report.as_dict(), ensure_ascii=False))
        raise
    except KeyboardInterrupt:  # the second one: do not wait for the calls in flight
        typer.echo("interrupted; the same command goes on from here", err=True)
        sys.stderr.flush()
        os._exit(EXIT_STOPPED)
    if as_json:
        typer.echo(json.dumps({**result.report.as_dict(), "out": str(result.path)}, ensure_ascii=False))
    else:
        typer.echo(result.report.line)
        typer.echo(f"tables in {result.path}")
    if not result.ok:
        raise typer.Exit(EXIT_FAILED_RECORDS)


@app.command()
def check(
    name: PipelineName,
    source: SourcePath = None,
    local: Local = False,
    limit: Limit = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Find out everything that can be known before paying. Sends nothing."""
    from extract.api import prepare_run
    from extract.loading import load_pipeline
    from extract.survey import survey, survey_text

    pipeline = load_pipeline(name).with_settings(_settings(settings))
    prepared = prepare_run(pipeline, source, local=local, limit=limit)
    found = survey(prepared, None)
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
    as_json: AsJson = False,
) -> None:
    """Show what a model becomes: the wire schema, what it cannot carry, its size, and the columns of the table."""
    from extract.loading import load_model
    from extract.schema import compile_schema
    from extract.schema.sheet import facts, sheet

    if form not in (None, "A", "B", "C"):
        raise ConfigError(f"unknown form {form!r}", hint="A, B or C")
    compiled = compile_schema(load_model(model), profile, unroll=unroll, relax=relax)  # type: ignore[arg-type]  # checked there
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
    if rows:
        typer.echo(_first_rows(run_dir, manifest, rows))


@app.command()
def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to bind; others than loopback need a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free port.")] = 8080,
    model: Annotated[str | None, typer.Option("--model", help="A GGUF file. Default: SmolLM2-135M-Instruct.")] = None,
    ledger: Annotated[Path | None, typer.Option("--ledger", help="Append a JSON line for each request.")] = None,
) -> None:
    """Serve the model on this machine as a chat-completions API. A key is asked for when EXTRACT_SERVE_KEY is set."""
    from extract.job import server_package

    logging.getLogger("extract.server").setLevel(logging.INFO)
    server_package().serve(
        host=host, port=port, model=model, api_key=os.environ.get("EXTRACT_SERVE_KEY"), ledger=ledger
    )


def main() -> None:
    """The console script: every error becomes one clear line and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop is as good as Ctrl-C
    try:
        app()  # ends the process with the exit code; usage errors with 2
    except (ConfigError, InputError) as error:
        _complain(error)
        sys.exit(EXIT_USAGE)
    except (RunStopped, APIError) as error:
        _complain(error)
        sys.exit(EXIT_STOPPED)


def _complain(error: ExtractError) -> None:
    text = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(error))  # servers' words are in it
    typer.echo(f"error: {text}", err=True)
    line = getattr(error.report, "line", None)  # of a Report, which is too heavy to import for a message
    if line is not None:
        typer.echo(f"stopped: {line}; what was answered is kept", err=True)
        typer.echo("the same command goes on from here", err=True)


def _set_up_logging(verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("extract")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("extract.progress").setLevel(logging.INFO)


def _progress(quiet: bool) -> AbstractContextManager[OnProgress]:
    from extract import progress

    if quiet:
        return progress.unseen()
    return progress.on_terminal() if sys.stderr.isatty() else progress.in_log()


def _chosen(
    arguments: list[str], schema: str | None, prompt: str | None, key: str | None, settings: list[str] | None
) -> tuple[Pipeline, str | None]:
    """The pipeline and the source that the words of `run` name."""
    from dataclasses import replace

    from extract.loading import load_model, load_pipeline
    from extract.pipeline import Pipeline
    from extract.schema import name_of

    source: str | None
    if (schema is None) != (prompt is None):
        raise ConfigError("--schema and --prompt go together")
    if schema is not None and prompt is not None:
        if len(arguments) != 1:
            raise ConfigError("with --schema and --prompt name one source, and no pipeline")
        model = load_model(schema)
        pipeline, source = Pipeline(name=name_of(model).lower(), schema=model, prompt=prompt), arguments[0]
    else:
        if len(arguments) > 2:
            raise ConfigError(f"one pipeline and one source, got {len(arguments)} words")
        pipeline, source = load_pipeline(arguments[0]), arguments[1] if len(arguments) > 1 else None
    pipeline = replace(pipeline, key=key) if key is not None else pipeline
    return pipeline.with_settings(_settings(settings)), source


def _laid_out(pipeline: Pipeline, children: str | None, flat: bool) -> Pipeline:
    """The pipeline with the tables' layout from the command line, which the pipeline checks."""
    from dataclasses import replace

    changes: dict[str, Any] = {"children": children} if children is not None else {}
    return replace(pipeline, **changes, flat=flat or pipeline.flat)


def _settings(given: list[str] | None) -> dict[str, str]:
    found = {}
    for item in given or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item}: no value", hint="NAME=VALUE, such as limits.concurrency=8")
        found[name.strip()] = value.strip()
    return found


def _dry_run(prepared: Prepared, out: Path | None, as_json: bool) -> None:
    from extract.pipeline import default_out
    from extract.sinks.rundir import JOURNAL
    from extract.survey import survey, survey_text

    journal = (out or default_out(prepared.pipeline)) / JOURNAL
    found = survey(prepared, journal if journal.exists() else None)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    typer.echo(survey_text(found))
    if found["first_request"]:
        typer.echo("\nThe first request:")
        typer.echo(json.dumps(found["first_request"], indent=2, ensure_ascii=False))


def _status_text(run_dir: Path, manifest: dict[str, Any]) -> str:
    from extract.sinks import folders_of

    counts, tokens = manifest["counts"], manifest["tokens"]
    reasons = ", ".join(f"{code} {number}" for code, number in manifest["reasons"].items())
    lines = [
        f"{run_dir}: {manifest['pipeline']} on {manifest['source']}, "
        f"{'complete' if manifest['complete'] else 'not complete'}",
        f"{counts['in']:,} in, {counts['ok']:,} ok, {counts['quarantined']:,} quarantined, "
        f"{counts['pending']:,} pending",
        *([f"reasons: {reasons}"] if reasons else []),
        f"{manifest['requests']:,} requests, {manifest['retries']:,} retries, "
        f"{tokens['input'] + tokens['output']:,} tokens, {manifest['model']} at {manifest['endpoint']}",
        *([f"{manifest['answered']:,} answers are stored and will not be asked again"] if counts["pending"] else []),
        f"files: {', '.join(f'{run_dir}/{name}' for name in (*folders_of(manifest), 'manifest.json'))}",
    ]
    return "\n".join(lines)


def _first_rows(run_dir: Path, manifest: dict[str, Any], rows: int) -> str:
    from extract.sinks import QUARANTINE, TABLE, count_rows, folders_of, read_shards

    table_format = manifest["table_format"]
    table = read_shards(run_dir / TABLE, table_format).slice(0, rows)
    if not table.num_columns:
        return "\nno rows yet: tables are written shard by shard"
    shown = table.select([name for name in table.column_names if not name.startswith("_")]).to_pandas()
    failed = read_shards(run_dir / QUARANTINE, table_format).slice(0, rows)
    parts = ["", "table:", shown.to_string(index=False, max_colwidth=40)]
    if children := folders_of(manifest)[2:]:
        parts += ["", "child tables:"]
        parts += [f"{name}: {count_rows(run_dir / name, table_format):,} rows" for name in children]
    if failed.num_rows:
        columns = ["key", "reason", "path", "message", "value"]
        parts += [
            "",
            "quarantine:",
            failed.select(columns).to_pandas().fillna("").to_string(index=False, max_colwidth=60),
        ]
    return "\n".join(parts)
