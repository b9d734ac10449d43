"""Writes docs/cli.md from the help of each command: `python docs/make_cli.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "cli.md"

HEAD = """# Command line

Made by `docs/make_cli.py` from the help texts; do not edit.

Results go to stdout; progress, logs and errors to stderr. Exit codes:

| code | meaning |
|--:|---|
| 0 | all records ok |
| 1 | unexpected error |
| 2 | usage, configuration or input error, nothing sent |
| 3 | finished, but more than `--max-failed` records are in the quarantine |
| 4 | stopped early, the same command goes on |

[Scheduling](scheduling.md) says what to do on each.

From the environment:

| variable | what |
|---|---|
| `EXTRACT_BASE_URL`, `EXTRACT_API_KEY` | where requests go, and with which key |
| `EXTRACT_MODEL` | the model's name, unless the pipeline names one |
| `EXTRACT_DIALECT` | `openai`, `toapis`, `kie`, `llamacpp` or `auto` |
| `EXTRACT_FORM` | the form of `response_format`: `A`, `B` or `C`; unset: that of the dialect |
| `EXTRACT_PRICES` | a table of prices, see [cost](cost.md) |
| `EXTRACT_CACHE_DIR` | where probes are kept |
| `EXTRACT_SERVE_KEY`, `EXTRACT_UPSTREAM_KEY` | the key that `extract serve` asks for, and the one it sends on |

[Endpoints](endpoints.md) says more.
"""


def help_text(*command: str) -> str:
    """What `extract COMMAND --help` prints, as plain text."""
    code = "import sys; sys.argv[0] = 'extract'; from extract.cli import main; main()"
    plain = {"TYPER_USE_RICH": "0", "COLUMNS": "100", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"],
        env=os.environ | plain,
        cwd=PAGE.parents[1],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def commands() -> list[str]:
    """The names of the commands, in the order of the help."""
    import typer

    from extract.cli import app

    return list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # an app with commands is a group


def page() -> str:
    """The whole page."""
    parts = [HEAD, f"## extract\n\n```text\n{help_text()}\n```\n"]
    parts += [f"## extract {name}\n\n```text\n{help_text(name)}\n```\n" for name in commands()]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
