"""`extract serve`."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from extract.cli.app import app
from extract.errors import ConfigError


@app.command()
def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to bind; others than loopback need a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free port.")] = 8080,
    model: Annotated[str | None, typer.Option("--model", help="A GGUF file. Default: SmolLM2-135M-Instruct.")] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            "--upstream", help="Front this endpoint (…/v1) in place of a model; its key: EXTRACT_UPSTREAM_KEY."
        ),
    ] = None,
    search_corpus: Annotated[
        Path | None,
        typer.Option("--search-corpus", help="Folder of .txt, .md, .rst, .html and .pdf files for googleSearch."),
    ] = None,
    ledger: Annotated[Path | None, typer.Option("--ledger", help="Append a JSON line for each request.")] = None,
    faults: Annotated[
        str | None,
        typer.Option(
            "--faults",
            help="toapis, kie, newapi, chaos, a quirk such as Q14, "
            "or none (only for requests with the header X-Fault).",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the faults.")] = 0,
    max_body: Annotated[int, typer.Option("--max-body", min=1, help="Largest request, in bytes.")] = 16 * 1024 * 1024,
    max_file: Annotated[int, typer.Option("--max-file", min=1, help="Largest file in a request, in bytes.")] = 10
    * 1024
    * 1024,
    max_waiting: Annotated[
        int, typer.Option("--max-waiting", min=0, help="Requests that may wait; more get a 429.")
    ] = 256,
    keep_alive: Annotated[
        float, typer.Option("--keep-alive", help="Seconds without a token until a stream gets a comment.")
    ] = 10.0,
    slots: Annotated[int, typer.Option("--slots", min=1, help="Answers at a time.")] = 2,
    context: Annotated[int, typer.Option("--context", min=1, help="Tokens of a prompt and its answer.")] = 4096,
) -> None:
    """Serve the model on this machine as a chat-completions API. A key is asked for when EXTRACT_SERVE_KEY is set."""
    from extract.faults import UnknownFault
    from extract.job import server_package

    if model and upstream:
        raise ConfigError("--model and --upstream exclude each other")
    logging.getLogger("extract.server").setLevel(logging.INFO)
    try:
        server_package().serve(
            host=host,
            port=port,
            model=model,
            upstream=upstream,
            upstream_key=os.environ.get("EXTRACT_UPSTREAM_KEY") or None,
            search_corpus=search_corpus,
            api_key=os.environ.get("EXTRACT_SERVE_KEY") or None,
            ledger=ledger,
            faults=faults,
            seed=seed,
            max_body=max_body,
            max_file=max_file,
            max_waiting=max_waiting,
            keep_alive=keep_alive,
            slots=slots,
            context=context,
        )
    except UnknownFault as error:
        raise ConfigError(str(error)) from None
