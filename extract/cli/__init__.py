"""The command line: parse, call, print. Results go to stdout, progress and logs to stderr.

Exit codes: 0 all records ok; 1 unexpected error; 2 usage, configuration or input error, nothing sent; 3 finished, but
more than --max-failed records quarantined; 4 stopped early, the same command goes on.
"""

from __future__ import annotations

from extract.cli import accept, evaluate, fsck, look, probe, redrive, run, serve
from extract.cli.app import EXIT_FAILED_RECORDS, EXIT_STOPPED, EXIT_USAGE, app, main

__all__ = [
    "EXIT_FAILED_RECORDS",
    "EXIT_STOPPED",
    "EXIT_USAGE",
    "accept",
    "app",
    "evaluate",
    "fsck",
    "look",
    "main",
    "probe",
    "redrive",
    "run",
    "serve",
]
