"""The command line, called in this process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from extract import cli
from extract.cli import app
from extract.errors import ConfigError, InputError

Run = Callable[..., tuple[int, str, str]]


def console(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """What calls it as the console script does: (exit code, stdout, stderr)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["extract", *arguments])
        before = signal.getsignal(signal.SIGTERM)
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            signal.signal(signal.SIGTERM, before)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def said(*words: str) -> tuple[int, str]:
    """Exit code and stdout of a command; for an error of configuration or input 2 and its message."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=True)
    if isinstance(result.exception, ConfigError | InputError):
        return 2, str(result.exception)
    return result.exit_code, result.stdout
