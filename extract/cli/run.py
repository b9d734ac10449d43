"""`extract run`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extract.cli.app import EXIT_FAILED_RECORDS, app, printable
from extract.cli.asking import agreed, progress_for, stoppable
from extract.cli.options import (
    AsJson,
    JournalPath,
    KeyColumn,
    Limit,
    Local,
    MediaColumns,
    OutPath,
    PromptText,
    SchemaName,
    Settings,
    ShareLimits,
    SplitFields,
)
from extract.cli.started import Started
from extract.errors import ConfigError

if TYPE_CHECKING:
    from extract.pipeline import Prepared
    from extract.report import Report


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
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            min=1,
            help="With --dry-run: really ask so many records, spread over the source, and estimate the rest from them. "
            "They are paid, and kept: a run asks them no more.",
            metavar="N",
        ),
    ] = None,
    settings: Settings = None,
    journal: JournalPath = None,
    share_limits: ShareLimits = None,
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

    started = Started(
        words=tuple(arguments),
        schema=schema,
        prompt=prompt,
        media=tuple(media or ()),
        key=key,
        settings=tuple(settings or ()),
        children=children,
        flat=flat,
        split_fields=split_fields,
        limit=limit,
        local=local,
    )
    pipeline, source = started.pipeline()
    if sample is not None and not dry_run:
        raise ConfigError("--sample goes with --dry-run", hint="a run of the first records: --limit")
    shared: dict[str, Any] = {
        "out": out,
        "local": local,
        "limit": limit,
        "journal": journal,
        "share_limits": share_limits,
    }
    if dry_run:
        asked = None
        if sample is not None:
            from extract.sampling import sample as ask_sample

            with stoppable(as_json), progress_for(quiet) as on_progress:
                asked = ask_sample(pipeline, source, number=sample, on_progress=on_progress, **shared)
        _dry_run(prepare_run(pipeline, source, local=local, limit=limit), out, journal, as_json, asked)
        return
    with stoppable(as_json), progress_for(quiet) as on_progress:
        result = run_pipeline(
            pipeline,
            source,
            max_failed=max_failed,
            on_progress=on_progress,
            approve=None if yes or local else partial(_refuse_unseen_cost, given=journal),
            started=started.as_dict(),
            **shared,
        )
    if as_json:
        typer.echo(json.dumps({**result.report.as_dict(), "out": str(result.path)}, ensure_ascii=False))
    else:
        for check in result.report.table_checks:
            if not check.passed:
                typer.echo(printable(f"table check {check.name}: {check.message}"), err=True)
        typer.echo(result.report.line)
        typer.echo(f"tables in {result.path}")
    if not result.ok:
        raise typer.Exit(EXIT_FAILED_RECORDS)


def _refuse_unseen_cost(prepared: Prepared, root: Path, given: Path | None = None) -> None:
    """Show what a changed prompt, schema or model would ask anew, and go on only when that is wanted.

    New and changed records are just asked, and what asks for nothing anew needs no consent. Raises ConfigError.
    """
    from extract.sinks import read_manifest
    from extract.sinks.rundir import account_of, journal_of
    from extract.survey import plan_text, survey

    before = read_manifest(root)
    if before is None or before["fingerprints"].get("pipeline") == prepared.fingerprint:
        return
    journal = journal_of(root, given)
    found = survey(prepared, journal if journal.exists() else None, account_of(root))
    has_rows = any(shard.get("ok") for shard in before["shards"])  # perhaps of answers that other runs have paid
    if not found["requests"] or not (before.get("answered") or has_rows):
        return
    if not agreed(f"The prompt, the schema or the model is not that of the tables in {root}.\n{plan_text(found)}"):
        raise ConfigError("nothing was asked", hint="--yes goes on; --out writes to another folder")


def _dry_run(
    prepared: Prepared, out: Path | None, given: Path | None, as_json: bool, asked: Report | None = None
) -> None:
    """`asked`: what a sample came to that was asked for it."""
    from extract.pipeline import default_out
    from extract.sinks.rundir import account_of, journal_of
    from extract.survey import survey, survey_text

    root = out or default_out(prepared.pipeline)
    journal = journal_of(root, given)
    found = survey(prepared, journal if journal.exists() else None, account_of(root))
    if as_json:
        sample = {"sample": asked.as_dict()} if asked else {}
        typer.echo(json.dumps(found | sample, ensure_ascii=False))
        return
    if found["first_request"]:  # first, since it is long, and what it costs is to be in sight
        typer.echo("The first request:")
        typer.echo(f"{json.dumps(found['first_request'], indent=2, ensure_ascii=False)}\n")
    if asked:
        typer.echo(f"a sample of {asked.records:,} records: {asked.line}")
    typer.echo(survey_text(found))
