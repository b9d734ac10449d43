"""The command itself: its options, its logs, and how an error ends it."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Annotated, TextIO

import typer

from extract.errors import APIError, ConfigError, ExtractError, InputError, RunStopped
from extract.version import __version__

EXIT_USAGE = 2
EXIT_FAILED_RECORDS = 3
EXIT_STOPPED = 4
_BY_SIGINT = 130  # how Typer ends when it is interrupted outside of a run, such as while files are read

app = typer.Typer(
    name="extract",
    help="Turn tables and documents into validated, typed tables with a chat-completions model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
    except SystemExit as end:
        if end.code != _BY_SIGINT:
            raise
        typer.echo("interrupted", err=True)
        sys.exit(EXIT_STOPPED)


def _complain(error: ExtractError) -> None:
    typer.echo(f"error: {printable(str(error))}", err=True)
    line = getattr(error.report, "line", None)  # of a Report, which is too heavy to import for a message
    if line is not None:
        typer.echo(f"stopped: {line}; what was answered is kept", err=True)
        typer.echo("the same command goes on from here", err=True)


def printable(text: str) -> str:
    """Text that may hold a server's words, without what would steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the time: while a live line is drawn it is one that makes room."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _set_up_logging(verbose: bool) -> None:
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("extract")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("extract.progress").setLevel(logging.INFO)
