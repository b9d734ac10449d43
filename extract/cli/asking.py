"""What the commands that ask have in common: progress on stderr, and a report however they end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import typer

from extract.cli.app import EXIT_STOPPED
from extract.errors import APIError, RunStopped

if TYPE_CHECKING:
    from extract.report import OnProgress


def progress_for(quiet: bool) -> AbstractContextManager[OnProgress]:
    """A bar on a terminal, lines elsewhere, nothing when quiet."""
    from extract import progress

    if quiet:
        return progress.unseen()
    return progress.on_terminal() if sys.stderr.isatty() else progress.in_log()


def agreed(plan: str) -> bool:
    """Show a plan, and whether somebody on the terminal says yes to it; nobody does where there is no terminal."""
    from extract import progress

    with progress.aside():
        typer.echo(plan, err=True)
        try:
            return sys.stdin.isatty() and typer.confirm("Go on?", err=True)
        except typer.Abort:  # Ctrl-C or Ctrl-D
            typer.echo(err=True)
            return False


@contextmanager
def stoppable(as_json: bool) -> Iterator[None]:
    """What stops a run early comes with its report; a second Ctrl-C ends the process at once."""
    from extract.report import Report

    try:
        yield
    except (RunStopped, APIError) as error:
        if as_json and isinstance(error.report, Report):
            typer.echo(json.dumps(error.report.as_dict(), ensure_ascii=False))
        raise
    except KeyboardInterrupt:  # the second one: do not wait for the calls in flight
        typer.echo("interrupted; the same command goes on from here", err=True)
        sys.stderr.flush()
        os._exit(EXIT_STOPPED)
