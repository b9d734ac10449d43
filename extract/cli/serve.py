"""`extract serve`."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from extract.cli.app import app


@app.command()
def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to bind; others than loopback need a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free port.")] = 8080,
    model: Annotated[str | None, typer.Option("--model", help="A GGUF file. Default: SmolLM2-135M-Instruct.")] = None,
    ledger: Annotated[Path | None, typer.Option("--ledger", help="Append a JSON line for each request.")] = None,
) -> None:
    """Serve the model on this machine as a chat-completions API. A key is asked for when EXTRACT_SERVE_KEY is set."""
    from extract.job import server_package

    logging.getLogger("extract.server").setLevel(logging.INFO)
    server_package().serve(
        host=host, port=port, model=model, api_key=os.environ.get("EXTRACT_SERVE_KEY"), ledger=ledger
    )
