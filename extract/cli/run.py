"""`extract run`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extract.cli.app import EXIT_FAILED_RECORDS, EXIT_STOPPED, app
from extract.cli.options import (
    AsJson,
    KeyColumn,
    Limit,
    Local,
    MediaColumns,
    OutPath,
    PromptText,
    SchemaName,
    Settings,
    SplitFields,
    chosen,
    laid_out,
    split,
)
from extract.errors import APIError, RunStopped

if TYPE_CHECKING:
    from extract.pipeline import Prepared
    from extract.report import OnProgress


@app.command()
def run(
    arguments: Annotated[
        list[str],
        typer.Argument(
            help="PIPELINE [SOURCE], or only SOURCE with --schema and --prompt. SOURCE: CSV, TSV, Parquet or JSONL "
            "file, a folder of files, or a pattern such as 'docs/*.pdf'.",
            metavar="PIPELINE [SOURCE]",
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
    media: MediaColumns = None,
    key: KeyColumn = None,
    children: Annotated[
        str | None,
        typer.Option("--children", help="Where lists and maps go: columns, or tables of their own.", metavar="WHERE"),
    ] = None,
    flat: Annotated[bool, typer.Option("--flat", help="Nested objects as columns such as address.city.")] = False,
    split_fields: SplitFields = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask anew for records that a changed prompt, schema or model concerns.")
    ] = False,
) -> None:
    """Run a pipeline: ask for each record that has no answer yet, then write table and quarantine."""
    from extract.api import prepare_run
    from extract.api import run as run_pipeline
    from extract.report import Report

    pipeline, source = chosen(arguments, schema, prompt, key, settings, media)
    pipeline = split(laid_out(pipeline, children, flat), split_fields)
    if dry_run:
        _dry_run(prepare_run(pipeline, source, local=local, limit=limit), out, as_json)
        return
    try:
        with _progress(quiet) as on_progress:
            result = run_pipeline(
                pipeline,
                source,
                out=out,
                local=local,
                limit=limit,
                max_failed=max_failed,
                on_progress=on_progress,
                approve=None if yes or local else _refuse_unseen_cost,
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


def _progress(quiet: bool) -> AbstractContextManager[OnProgress]:
    from extract import progress

    if quiet:
        return progress.unseen()
    return progress.on_terminal() if sys.stderr.isatty() else progress.in_log()


def _refuse_unseen_cost(prepared: Prepared, root: Path) -> None:
    """Show what a changed prompt, schema or model would ask anew, and go on only when that is wanted.

    New and changed records are just asked, and what asks for nothing anew needs no consent. Raises ConfigError.
    """
    from extract.errors import ConfigError
    from extract.sinks import read_manifest
    from extract.sinks.rundir import JOURNAL
    from extract.survey import plan_text, survey

    before = read_manifest(root)
    if before is None or before["fingerprints"].get("pipeline") == prepared.fingerprint:
        return
    journal = root / JOURNAL
    found = survey(prepared, journal if journal.exists() else None)
    if not found["requests"] or not before.get("answered"):
        return
    typer.echo(
        f"The prompt, the schema or the model is not that of the tables in {root}.\n{plan_text(found)}", err=True
    )
    if not (sys.stdin.isatty() and typer.confirm("Go on?", err=True)):
        raise ConfigError("nothing was asked", hint="--yes goes on; --out writes to another folder")


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
