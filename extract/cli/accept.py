"""`extract accept`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extract.cli.app import EXIT_FAILED_RECORDS, EXIT_USAGE, app, printable
from extract.cli.asking import agreed, progress_for, stoppable
from extract.cli.options import AsJson, JournalPath
from extract.errors import ConfigError, EditError

if TYPE_CHECKING:
    from extract.accepting import Accepted, Intended
    from extract.cli.started import Started

_USAGE = "extract accept RUN_DIR EDITS PIPELINE [SOURCE]"


@app.command()
def accept(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.", metavar="RUN_DIR")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            help="A .csv, .xlsx or .jsonl that people have filled in (none with --template or --undo), then pipeline "
            "and source of the run, where its manifest does not say how it was started.",
            metavar="EDITS [PIPELINE [SOURCE]]",
        ),
    ] = None,
    template: Annotated[
        bool, typer.Option("--template", help="Write the file to be filled in, and change nothing.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="With --template: a .csv, .xlsx or .jsonl that is not there yet.")
    ] = None,
    reasons: Annotated[
        list[str] | None,
        typer.Option("--reason", help="With --template: only this reason, such as 'schema.*'; again.", metavar="CODE"),
    ] = None,
    keys: Annotated[
        list[str] | None, typer.Option("--key", help="With --template: only the record with this key; again.")
    ] = None,
    undo: Annotated[
        list[str] | None, typer.Option("--undo", help="Take back what was accepted for this key; again.", metavar="KEY")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Accept the rows that pass when others do not.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge the rows; change nothing.")] = False,
    journal: JournalPath = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept without asking first.")] = False,
) -> None:
    """Put rows of the quarantine that people have filled in into the table, marked as human. Asks no model.

    Exit codes: 0 done, 2 a row or the file cannot be accepted and nothing was changed, 3 a check of the table fails,
    or, with --partial, some rows were not accepted.
    """
    words = list(arguments or [])
    if template:
        _write_template(run_dir, words, out, reasons or [], keys or [], journal, as_json)
        return
    if out or reasons or keys:
        raise ConfigError("-o, --reason and --key go with --template", hint="a file of edits says which rows it holds")
    from extract.accepting import accept as accepted

    edits = None if undo else _taken(words)
    started, pipeline, source = _run_of(run_dir, words)
    approve = None if yes or dry_run else _ask_first
    try:
        with stoppable(as_json), progress_for(quiet) as on_progress:
            result = accepted(
                run_dir,
                pipeline,
                edits,
                source,
                undo=undo or (),
                partial=partial,
                dry_run=dry_run,
                local=started.local,
                limit=started.limit,
                journal=journal,
                on_progress=on_progress,
                approve=approve,
            )
    except EditError as error:
        if as_json:
            refused = [problem.as_dict() for problem in error.problems]  # type: ignore[attr-defined]
            typer.echo(json.dumps({"accepted": {"refused": refused}}, ensure_ascii=False))
            raise typer.Exit(EXIT_USAGE) from None
        raise
    _show(result, dry_run=dry_run, as_json=as_json)
    if result.intended.problems or not (dry_run or result.report.table_ok):
        raise typer.Exit(EXIT_FAILED_RECORDS)


def _write_template(
    run_dir: Path,
    words: list[str],
    out: Path | None,
    reasons: list[str],
    keys: list[str],
    journal: Path | None,
    as_json: bool,
) -> None:
    from extract.accepting import write_template

    if out is None:
        raise ConfigError("--template writes which file?", hint="-o edits.csv")
    started, pipeline, source = _run_of(run_dir, words)
    options: dict[str, Any] = {"local": started.local, "limit": started.limit, "journal": journal}
    number = write_template(run_dir, pipeline, out, source, reasons=reasons, keys=keys, **options)
    data = {"out": str(out), "records": number}
    typer.echo(json.dumps(data, ensure_ascii=False) if as_json else f"{number:,} records in {out}")


def _taken(words: list[str]) -> Path:
    """The file, which is the first of the words. Raises ConfigError."""
    if not words:
        raise ConfigError("which file of edits?", hint="extract accept RUN_DIR --template -o edits.csv writes one")
    return Path(words.pop(0))


def _run_of(run_dir: Path, words: list[str]) -> tuple[Started, Any, str | None]:
    from extract.cli.started import started_as

    started = started_as(run_dir, words, _USAGE)
    return (started, *started.pipeline_of(run_dir))


def _ask_first(intended: Intended) -> None:
    """Show what is to be changed, and go on only when that is wanted. Raises ConfigError."""
    if not intended.notes:
        return
    if not agreed(printable(_line(intended, "are accepted"))):
        raise ConfigError("nothing was changed", hint="--yes goes on without asking")


def _show(result: Accepted, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        more = {"out": str(result.path), "accepted": result.intended.as_dict(), "dry_run": dry_run}
        typer.echo(json.dumps({**result.report.as_dict(), **more}, ensure_ascii=False))
        return
    typer.echo(printable(_line(result.intended, "would be accepted" if dry_run else "accepted")))
    if not dry_run:
        typer.echo(result.report.line)


def _line(intended: Intended, verb: str) -> str:
    parts = [f"{len(intended.accepted):,} rows {verb}"]
    parts += [f"{len(intended.overridden):,} of them against a check or the source"] if intended.overridden else []
    parts += [f"{len(intended.undone):,} taken back"] if intended.undone else []
    parts += [f"{intended.unchanged:,} were so already"] if intended.unchanged else []
    lines = [", ".join(parts), *(problem.text for problem in intended.problems)]
    return "\n".join(lines)
