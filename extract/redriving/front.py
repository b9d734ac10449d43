"""`redrive`: asks again for quarantined records of a finished run, and for nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract import progress
from extract.api import Result, chosen_endpoint, in_thread, prepare_run, refuse_no_endpoint
from extract.config import Endpoint, model_name
from extract.deriving import Derivation
from extract.errors import ConfigError
from extract.pipeline import Pipeline, Prepared
from extract.preparing import prepare
from extract.prices import with_price_of
from extract.probe import settle
from extract.prompts import Prompt
from extract.records import Key
from extract.redriving.asking import ApprovePlan, Redrive, Wanted
from extract.redriving.plans import Plan
from extract.report import OnProgress
from extract.stop import Stop

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, repr=False)
class Redriven(Result):
    """A finished run after a redrive. `plan`: what was asked; `mended`: records that have a row since."""

    plan: Plan | None = None
    mended: int = 0


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a redrive goes about it; each as in `redrive`."""

    settings: Mapping[str, str] = field(default_factory=dict)
    endpoint: Endpoint | None = None
    local: bool = False
    limit: int | None = None
    journal: str | Path | None = None
    share_limits: str | Path | None = None
    max_failed: int = 0
    on_progress: OnProgress | None = None
    transport: httpx.AsyncBaseTransport | None = None
    approve: ApprovePlan | None = None


def redrive(
    run_dir: str | Path,
    pipeline: Pipeline,
    source: Any = None,
    *,
    reasons: Sequence[str] = (),
    keys: Sequence[Key] = (),
    model: str | None = None,
    prompt: str | None = None,
    settings: Mapping[str, str] | None = None,
    endpoint: Endpoint | None = None,
    local: bool = False,
    limit: int | None = None,
    journal: str | Path | None = None,
    share_limits: str | Path | None = None,
    max_failed: int = 0,
    on_progress: OnProgress | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    approve: ApprovePlan | None = None,
) -> Redriven:
    """Ask again for the quarantined records of a finished run, and for nothing else; then make its tables anew.

    pipeline, source, limit: those of the run. reasons: codes or patterns such as "schema.*"; keys: of records; without
    either all that have a request. model: another model's name; prompt: another user template. settings: of `model`,
    `limits` and `retry` for these calls, by dotted name. approve: sees the plan before anything is asked; what it
    raises ends the redrive. The rest as in `run`.

    An answer that comes takes the place of the old one, in this run directory and in all later runs there. A record
    that gets none keeps its row. Raises ConfigError before any call when the directory does not hold the finished
    tables of this pipeline and source; else as `run` does.
    """
    wanted = Wanted(_several(reasons, "reasons"), _several(keys, "keys"), model, prompt)
    options = Options(
        settings=settings or {},
        endpoint=endpoint,
        local=local,
        limit=limit,
        journal=journal,
        share_limits=share_limits,
        max_failed=max_failed,
        on_progress=on_progress,
        transport=transport,
        approve=approve,
    )
    stop = Stop()
    return in_thread(partial(aredrive, run_dir, pipeline, source, wanted, options, stop), stop)


async def aredrive(
    run_dir: str | Path, pipeline: Pipeline, source: Any, wanted: Wanted, options: Options, stop: Stop
) -> Redriven:
    """`redrive` for a running event loop."""
    root, transport = Path(run_dir), options.transport
    there = chosen_endpoint(pipeline, options.endpoint, options.local)
    changed = changed_pipeline(pipeline, wanted, options.settings)
    own = await settle(there, model_name(pipeline.model), transport)
    others = (
        own if changed.model.name == pipeline.model.name else await settle(there, model_name(changed.model), transport)
    )
    prepared = prepare_run(pipeline, source, endpoint=own, limit=options.limit)
    asked = prepare_again(prepared, changed, others)
    if transport is None:
        refuse_no_endpoint(asked.endpoint)
    scan = await asyncio.to_thread(prepared.source.scan)
    with nullcontext(options.on_progress) if options.on_progress else progress.default() as notify:
        place = Path(options.journal) if options.journal is not None else None
        shared = Path(options.share_limits) if options.share_limits else None
        tables = Derivation(prepared, scan, root, stop, notify, place)
        work = Redrive(tables, asked, wanted, options.approve, shared)
        report = await work.run(transport)
    return Redriven(root, report, prepared, tables.fingerprints, options.max_failed, work.plan, work.mended)


def planned(
    run_dir: Path,
    pipeline: Pipeline,
    source: Any,
    wanted: Wanted,
    settings: Mapping[str, str],
    *,
    local: bool = False,
    limit: int | None = None,
) -> Plan:
    """What a redrive would ask and may cost. Nothing is changed."""
    prepared = prepare_run(pipeline, source, local=local, limit=limit)
    changed = changed_pipeline(pipeline, wanted, settings)
    asked = prepare_again(prepared, changed, chosen_endpoint(changed, None, local))
    scan = prepared.source.scan()
    tables = Derivation(prepared, scan, run_dir, Stop(), lambda tally: None)
    tables.refuse_others()
    return Redrive(tables, asked, wanted).planned("")


def changed_pipeline(pipeline: Pipeline, wanted: Wanted, settings: Mapping[str, str]) -> Pipeline:
    """The pipeline that asks. Raises ConfigError.

    A model of another name does not cost what the pipeline's does: its price is that of the entry of `models` by this
    name, else of the table; those of `settings` are meant for it.
    """
    name = wanted.model or model_name(pipeline.with_settings(settings).model)
    changed = _at_price_of(pipeline, name).with_settings(settings)
    if wanted.model is not None:
        samples = changed.samples and changed.samples.replaced({"escalate_below": None})  # there is no next model
        changed = replace(changed, model=changed.model.replaced({"name": wanted.model}), models=(), samples=samples)
    if wanted.prompt is not None:
        own = changed.prompt if isinstance(changed.prompt, Prompt) else Prompt(user=changed.prompt)
        changed = replace(changed, prompt=replace(own, user=wanted.prompt))
    return changed


def _at_price_of(pipeline: Pipeline, name: str) -> Pipeline:
    """The pipeline whose first model costs what the one of this name does, as far as the pipeline knows."""
    if name == model_name(pipeline.model):
        return pipeline
    other = next((each for each in pipeline.models[1:] if each.name == name), None)
    model = with_price_of(pipeline.model, other)
    return replace(pipeline, model=model, models=(model, *pipeline.models[1:]) if pipeline.models else ())


def prepare_again(prepared: Prepared, changed: Pipeline, endpoint: Endpoint) -> Prepared:
    """What asks the chosen records. Raises ConfigError, InputError."""
    if endpoint.is_local and changed.model.name != prepared.pipeline.model.name:
        raise ConfigError("the local model is the only one there", hint="--model goes with an endpoint")
    return prepare(changed, prepared.source, endpoint)


def _several(given: Any, name: str) -> tuple[Any, ...]:
    """Raises ConfigError for one text where several are meant: its letters would be taken for them."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ConfigError(f"{name} is {given!r}, not a list", hint=f"{name}=[{given!r}]")
    return tuple(given)
