"""Options that several commands have, and the pipeline that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extract.errors import ConfigError

if TYPE_CHECKING:
    from extract.pipeline import Pipeline

PipelineName = Annotated[
    str, typer.Argument(help="pipelines.receipts or pipelines/receipts.py[:name].", metavar="PIPELINE")
]
SourcePath = Annotated[
    Path | None,
    typer.Argument(
        help="CSV, TSV, Parquet or JSONL file, a folder of files, or a pattern such as 'docs/*.pdf'. "
        "Default: the pipeline's own.",
        metavar="[SOURCE]",
    ),
]
OutPath = Annotated[Path | None, typer.Option("--out", help="Run directory. Default: out/<name of the pipeline>.")]
Local = Annotated[bool, typer.Option("--local", help="Use the model on this machine: no key, no network.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many records.")]
JournalPath = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        help="A file that holds the answers, if not in the run directory; several runs may share it.",
        metavar="PATH",
    ),
]
ShareLimits = Annotated[
    Path | None,
    typer.Option(
        "--share-limits",
        help="A file: all runs on this machine that name it keep to one budget. It is made if it is not there.",
        metavar="PATH",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="model.…, limits.…, retry.… or repair.… =VALUE, such as limits.concurrency=8; may be given again.",
        metavar="NAME=VALUE",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print machine-readable results on stdout.")]
SchemaName = Annotated[
    str | None, typer.Option("--schema", help="Without a pipeline: schemas/receipts.py:Receipt.", metavar="MODEL")
]
PromptText = Annotated[str | None, typer.Option("--prompt", help="Without a pipeline: the template, '… {{ text }}'.")]
MediaColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--media", help="Without a pipeline: a column of files, such as file of a folder; again.", metavar="COLUMN"
    ),
]
KeyColumn = Annotated[
    str | None, typer.Option("--key", help="Key column. Default: the pipeline's, else the row number.")
]


SplitFields = Annotated[
    str | None,
    typer.Option(
        "--split-fields",
        help="Ask for each record in several requests: how many, or the fields of each, such as name,date/lines.",
        metavar="PARTS",
    ),
]


def chosen(
    arguments: list[str],
    schema: str | None,
    prompt: str | None,
    key: str | None,
    settings: list[str] | None,
    media: list[str] | None = None,
) -> tuple[Pipeline, str | None]:
    """The pipeline and the source that the words of `run` name."""
    from dataclasses import replace

    from extract.loading import load_model, load_pipeline
    from extract.pipeline import Pipeline
    from extract.prompts import Prompt
    from extract.schema import name_of

    source: str | None
    if (schema is None) != (prompt is None):
        raise ConfigError("--schema and --prompt go together")
    if media and schema is None:
        raise ConfigError("--media goes with --schema and --prompt", hint="a pipeline has Prompt(media=…)")
    if schema is not None and prompt is not None:
        if len(arguments) != 1:
            raise ConfigError("with --schema and --prompt name one source, and no pipeline")
        model = load_model(schema)
        asked = Prompt(user=prompt, media=media or ())
        pipeline, source = Pipeline(name=name_of(model).lower(), schema=model, prompt=asked), arguments[0]
    else:
        if len(arguments) > 2:
            raise ConfigError(f"one pipeline and one source, got {len(arguments)} words")
        pipeline, source = load_pipeline(arguments[0]), arguments[1] if len(arguments) > 1 else None
    pipeline = replace(pipeline, key=key) if key is not None else pipeline
    return pipeline.with_settings(given_settings(settings)), source


def laid_out(pipeline: Pipeline, children: str | None, flat: bool) -> Pipeline:
    """The pipeline with the tables' layout from the command line, which the pipeline checks."""
    from dataclasses import replace

    changes: dict[str, Any] = {"children": children} if children is not None else {}
    return replace(pipeline, **changes, flat=flat or pipeline.flat)


def split(pipeline: Pipeline, parts: str | None) -> Pipeline:
    """The pipeline with the parts from the command line, which the pipeline checks."""
    from dataclasses import replace

    if parts is None:
        return pipeline
    if parts.isdecimal():
        return replace(pipeline, split_fields=int(parts))
    return replace(pipeline, split_fields=[[name.strip() for name in part.split(",")] for part in parts.split("/")])


def given_settings(given: list[str] | None) -> dict[str, str]:
    found = {}
    for item in given or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item}: no value", hint="NAME=VALUE, such as limits.concurrency=8")
        found[name.strip()] = value.strip()
    return found
