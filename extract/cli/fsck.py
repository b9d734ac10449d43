"""`extract fsck`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extract.cli.app import EXIT_FAILED_RECORDS, app, printable
from extract.cli.options import AsJson

if TYPE_CHECKING:
    from extract.fsck import Findings


@app.command()
def fsck(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.", metavar="RUN_DIR")],
    source: Annotated[
        str | None,
        typer.Argument(help="The run's source; default the one that the manifest names.", metavar="[SOURCE]"),
    ] = None,
    journal: Annotated[
        Path | None, typer.Option("--journal", help="Where the journal is, when not in the directory.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a run directory is whole: in = ok + quarantined + pending, derived anew. Changes nothing.

    Exit codes: 0 sound, 3 something is wrong, 2 no run directory or one of a newer version.
    """
    from extract.fsck import fsck as look

    found = look(run_dir, source, journal)
    typer.echo(json.dumps(found.as_dict(), ensure_ascii=False) if as_json else printable(_text(found)))
    if not found.is_sound:
        raise typer.Exit(EXIT_FAILED_RECORDS)


def _text(found: Findings) -> str:
    counts = ", ".join(f"{'?' if number is None else f'{number:,}'} {name}" for name, number in found.counts.items())
    lines = [f"{found.path}: {counts}; {found.answers:,} answers in the journal"]
    lines += [f"note: {note}" for note in found.notes]
    for each in found.violations:
        lines += [f"wrong: {each.file} {each.problem}", f"  do: {each.remedy}"]
    lines.append("sound" if found.is_sound else _wrong(len(found.violations)))
    return "\n".join(lines)


def _wrong(number: int) -> str:
    return "1 thing is wrong" if number == 1 else f"{number:,} things are wrong"
