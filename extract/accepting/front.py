"""`accept` and the file for it: what people fill in takes its place in the table, marked as human."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract import progress
from extract.accepting.acceptance import Acceptance, ApproveEdits, drafts, form_of
from extract.accepting.bench import Intended
from extract.api import Result, in_thread, prepare_run
from extract.deriving import Derivation
from extract.errors import ConfigError
from extract.evaluation.sides import key_text
from extract.picking import Picking
from extract.records import Key
from extract.report import OnProgress
from extract.stop import Stop

if TYPE_CHECKING:
    from extract.config import Endpoint
    from extract.pipeline import Pipeline


@dataclass(frozen=True, repr=False)
class Accepted(Result):
    """A finished run after edits by hand. `intended`: which were accepted, taken back, and could not be."""

    intended: Intended = Intended()


def accept(
    run_dir: str | Path,
    pipeline: Pipeline,
    edits: Any = None,
    source: Any = None,
    *,
    undo: Sequence[Key] = (),
    partial: bool = False,
    dry_run: bool = False,
    endpoint: Endpoint | None = None,
    local: bool = False,
    limit: int | None = None,
    journal: str | Path | None = None,
    max_failed: int = 0,
    on_progress: OnProgress | None = None,
    approve: ApproveEdits | None = None,
) -> Accepted:
    """Put rows of the quarantine that people have filled in into the table, marked as human; nothing is asked.

    pipeline, source, limit, endpoint: those of the run. edits: a .csv, .xlsx or .jsonl as `write_template` writes it,
    or a table. undo: keys of records whose edits are taken back. partial: accept what passes when others do not.
    dry_run: judge, and change nothing. approve: sees what is intended; what it raises ends it, with nothing changed.

    Each row is judged by schema, model, checks and evidence as an answer would be. With `override` a row may go against
    evidence and against checks that ask for a repair. It stays through later runs and redrives, until the record's own
    cells change or it is taken back. Raises EditError for rows that do not pass, InputError for a file that is none,
    ConfigError when the directory does not hold the finished tables of this pipeline and source.
    """
    if edits is None and not undo:
        raise ConfigError("nothing to accept", hint="name a file of edits, or keys to take back")
    if isinstance(undo, str) or not isinstance(undo, Sequence):
        raise ConfigError(f"undo is {undo!r}, not a list", hint=f"undo=[{undo!r}]")
    with nullcontext(on_progress) if on_progress else progress.default() as notify:
        tables = _tables(run_dir, pipeline, source, endpoint, local, limit, journal, notify)
        label, given = ("", ()) if edits is None else form_of(tables.prepared).read(edits)
        keys = tuple(key_text(key) for key in undo)
        work = Acceptance(tables, given, label, keys, partial, dry_run, approve)
        report = in_thread(work.run, tables.stop)
    return Accepted(tables.out, report, tables.prepared, tables.fingerprints, max_failed, work.intended)


def write_template(
    run_dir: str | Path,
    pipeline: Pipeline,
    path: str | Path,
    source: Any = None,
    *,
    reasons: Sequence[str] = (),
    keys: Sequence[Key] = (),
    endpoint: Endpoint | None = None,
    local: bool = False,
    limit: int | None = None,
    journal: str | Path | None = None,
) -> int:
    """Write quarantined records to a .csv, .xlsx or .jsonl for people to fill in; how many.

    reasons: codes or patterns such as "schema.*"; keys: of records. Raises ConfigError for a file that is there
    already, and for a reason or key that no quarantined record has.
    """
    tables = _tables(run_dir, pipeline, source, endpoint, local, limit, journal, lambda tally: None)
    picking = Picking(reasons, [key_text(key) for key in keys])
    found = in_thread(lambda: drafts(tables, picking), tables.stop)
    form_of(tables.prepared).write(Path(path), found)
    return len(found)


def _tables(
    run_dir: str | Path,
    pipeline: Pipeline,
    source: Any,
    endpoint: Endpoint | None,
    local: bool,
    limit: int | None,
    journal: str | Path | None,
    notify: OnProgress,
) -> Derivation:
    """Which run it is. Raises ConfigError, InputError."""
    prepared = prepare_run(pipeline, source, endpoint=endpoint, local=local, limit=limit)
    place = Path(journal) if journal is not None else None
    return Derivation(prepared, prepared.source.scan(), Path(run_dir), Stop(), notify, place)
