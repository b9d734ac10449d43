"""`extract redrive`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extract.cli.app import EXIT_FAILED_RECORDS, app
from extract.cli.asking import agreed, progress_for, stoppable
from extract.cli.options import AsJson, JournalPath, Settings, ShareLimits, given_settings
from extract.errors import ConfigError

if TYPE_CHECKING:
    from extract.redriving import Plan


@app.command()
def redrive(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.", metavar="RUN_DIR")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            help="Pipeline and source of the run, where its manifest does not say how it was started.",
            metavar="[PIPELINE [SOURCE]]",
        ),
    ] = None,
    reasons: Annotated[
        list[str] | None,
        typer.Option("--reason", help="Only records with this reason, such as 'schema.*'; again.", metavar="CODE"),
    ] = None,
    keys: Annotated[list[str] | None, typer.Option("--key", help="Only the record with this key; again.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Ask another model.", metavar="NAME")] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="Ask with another user template, or that of @file.", metavar="TEXT")
    ] = None,
    settings: Settings = None,
    journal: JournalPath = None,
    share_limits: ShareLimits = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be asked and what it may cost; send nothing.")
    ] = False,
    as_json: AsJson = False,
    max_failed: Annotated[
        int, typer.Option("--max-failed", min=0, help="Quarantined records that are still success.")
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask without showing the plan first.")] = False,
) -> None:
    """Ask again for quarantined records of a finished run, and for nothing else.

    What is answered takes the place of the old answers, in the tables and in all later runs. The run's own settings
    count; --set changes them for these calls.
    """
    from extract.cli.started import started_as
    from extract.redriving import Wanted, planned
    from extract.redriving import redrive as ask_again

    started = started_as(run_dir, arguments or [], "extract redrive RUN_DIR PIPELINE [SOURCE]")
    pipeline, source = started.pipeline_of(run_dir)
    wanted = Wanted(tuple(reasons or ()), tuple(keys or ()), model, _text(prompt))
    if dry_run:
        found = planned(
            run_dir, pipeline, source, wanted, given_settings(settings), local=started.local, limit=started.limit
        )
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False) if as_json else found.text)
        return
    with stoppable(as_json), progress_for(quiet) as on_progress:
        result = ask_again(
            run_dir,
            pipeline,
            source,
            reasons=wanted.reasons,
            keys=wanted.keys,
            model=wanted.model,
            prompt=wanted.prompt,
            settings=given_settings(settings),
            local=started.local,
            limit=started.limit,
            journal=journal,
            share_limits=share_limits,
            max_failed=max_failed,
            on_progress=on_progress,
            approve=None if yes or started.local else _ask_first,
        )
    plan = result.plan.as_dict() if result.plan else {}
    if as_json:
        more = {"out": str(result.path), "redriven": {**plan, "mended": result.mended}}
        typer.echo(json.dumps({**result.report.as_dict(), **more}, ensure_ascii=False))
    else:
        typer.echo(_line(plan, result.mended))
        is_other = model is not None or any(each.startswith("model.name=") for each in settings or ())
        if is_other and plan.get("records") and plan["cost_unknown"] and plan["endpoint"] != "local":
            typer.echo(plan["cost_unknown"])
        typer.echo(result.report.line)
    if not result.ok:
        raise typer.Exit(EXIT_FAILED_RECORDS)


def _text(prompt: str | None) -> str | None:
    """The template: as given, or what stands in the file after the @. Raises ConfigError."""
    if prompt is None or not prompt.startswith("@"):
        return prompt
    try:
        return Path(prompt[1:]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"--prompt {prompt}: cannot be read: {error}") from None


def _ask_first(plan: Plan) -> None:
    """Show what is asked, and go on only when that is wanted. Raises ConfigError."""
    if not plan.choice.rows:
        return
    if not agreed(plan.text):
        raise ConfigError("nothing was asked", hint="--yes goes on without asking")


def _line(plan: dict[str, object], mended: int) -> str:
    found = f"{plan.get('records', 0):,} records asked again, {mended:,} have a row now"
    more = [f"{plan[name]:,} {what}" for name, what in _LEFT.items() if plan.get(name)]
    return ", ".join([found, *more])


_LEFT = {"unaskable": "have no request and were not asked", "sharing": "share a request with rows that stay"}
