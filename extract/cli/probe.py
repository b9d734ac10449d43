"""`extract probe`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from extract.cli.app import app, printable
from extract.cli.options import AsJson, Local
from extract.errors import ConfigError

if TYPE_CHECKING:
    from extract.probe import Finding


@app.command()
def probe(
    base_url: Annotated[
        str | None, typer.Argument(help="Default: EXTRACT_BASE_URL.", metavar="[BASE_URL]", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Default: EXTRACT_MODEL.", show_default=False)] = None,
    dialect: Annotated[
        str | None,
        typer.Option(
            "--dialect", help="toapis, kie, openai, llamacpp or auto. Default: EXTRACT_DIALECT.", show_default=False
        ),
    ] = None,
    local: Local = False,
    again: Annotated[bool, typer.Option("--again", help="Ask anew, although an earlier probe is kept.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the paid requests.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find out what an endpoint really does: forms of response_format, streaming, tools, search, thoughts, media.

    Asks at most 20 small requests, which are paid for. The report is kept for each endpoint and model;
    EXTRACT_DIALECT=auto makes use of it.
    """
    import asyncio

    from extract.api import probed
    from extract.config import Endpoint, model_name
    from extract.config import Model as Settings
    from extract.probe import MOST, recall

    changes = {"base_url": base_url, "dialect": dialect}
    endpoint = Endpoint.local() if local else Endpoint.from_environment()
    endpoint = endpoint.replaced({name: value for name, value in changes.items() if value is not None})
    if not endpoint.is_set:
        raise ConfigError("no endpoint is set", hint="name one: extract probe https://…/v1, or set EXTRACT_BASE_URL")
    name = model_name(Settings(name=model))
    kept = None if again or local else recall(endpoint.base_url, name)
    if kept is not None and endpoint.dialect in ("auto", kept.dialect):
        typer.echo(f"kept from {kept.probed_at}; --again asks anew", err=True)
    else:
        what = "the model on this machine" if local else f"{name} at {endpoint.base_url}"
        typer.echo(f"asks {what} at most {MOST} small requests{'' if local else ', which are paid for'}", err=True)
        if not (yes or local):
            _confirm()
        kept = asyncio.run(probed(endpoint, name, heard=_say))
    typer.echo(json.dumps(kept.as_dict(), ensure_ascii=False) if as_json else printable(kept.table()))


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to confirm", hint="extract probe --yes")
    if not typer.confirm("go on?", err=True):
        raise ConfigError("nothing was asked", hint="it was not confirmed")


def _say(finding: Finding) -> None:
    typer.echo(f"  {finding.name}: {printable(finding.verdict)}", err=True)
