"""`prepare`: a pipeline, its source and its endpoint → everything that a run needs, checked.

What is wrong with them is found here, while that is still free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from extract.checks import Check, FieldCheck
from extract.checks.tables import TableCheck
from extract.config import Endpoint, model_name, prices_file
from extract.dialects import DialectRules, refuse_exclusions, rules_of
from extract.errors import ConfigError
from extract.evidence import Evidence
from extract.grounding import Grounding, SourceTexts
from extract.guarding import guarded
from extract.ladder import Descent, Question
from extract.media import Attachments
from extract.nearest import did_you_mean
from extract.parts import parts_of
from extract.pipeline import LOCAL_MODEL, RESERVED, Pipeline, Prepared
from extract.prices import has_own_price, priced, read_prices
from extract.prompts import Prompt
from extract.repair import Planner, Tier, refuse_failed
from extract.requests import RequestBuilder
from extract.schema import CompiledSchema, Shape, compile_schema
from extract.schema.functions import Tool, tool_of
from extract.sources import Source
from extract.tools import Toolbox
from extract.validate import Judge
from extract.votes import Voting


def prepare(pipeline: Pipeline, source: Source, endpoint: Endpoint) -> Prepared:
    """Compile and check everything that can be known before the first request. Raises ConfigError, InputError."""
    source.check()
    prompt = pipeline.prompt if isinstance(pipeline.prompt, Prompt) else Prompt(user=pipeline.prompt)
    prompt.check(source.columns, source.arrow_types)
    attachments = prompt.attachments(source.folder) if prompt.media else None
    if attachments:  # a picture that has changed is another source
        source = replace(source, also=attachments.digests)
    profile = "function" if pipeline.model.mode == "tool" else pipeline.profile
    schema = compile_schema(
        pipeline.schema, profile, unroll=pipeline.unroll, decimals=pipeline.decimals, enums=pipeline.enums
    )
    _check_columns(pipeline, source, schema)
    for check in pipeline.checks:
        _check_check(check, schema.shape, source.columns)
    for table_check in pipeline.table_checks:
        table_check.refuse(schema.shape, (source.key_name, *pipeline.columns))
    name = _local_name(endpoint) if endpoint.is_local else model_name(pipeline.model)
    pipeline, price_table = _priced(pipeline, name, endpoint)
    _check_budget(pipeline)
    text_columns = prompt.text_columns(source.columns)
    rules = rules_of(endpoint)
    toolbox = _toolbox(pipeline, rules)
    build = RequestBuilder(
        prompt=prompt,
        schema=schema,
        model=pipeline.model,
        model_name=name,
        dialect=rules,
        text_columns=text_columns,
        share_answers=pipeline.share_answers,
        attachments=attachments,
        toolbox=toolbox.fingerprint,
        columns=tuple(source.columns),
    ).with_wire_examples()
    grounding = _grounding(pipeline, schema, text_columns, source, attachments)
    judge = Judge(schema, tuple(pipeline.checks), text_columns, pipeline.mend_json, grounding)
    build, judge = guarded(build, judge, pipeline.untrusted, pipeline.redact, has_tools=bool(toolbox.tools))
    refuse_failed(pipeline.repair, schema.shape)
    questions = _questions(build, pipeline)
    voting, tiers = _voting(pipeline, judge), _tiers(pipeline, name, build, judge)
    return Prepared(
        *(pipeline, source, endpoint, name, schema, build, questions, judge, toolbox), voting, tiers, price_table
    )


def _voting(pipeline: Pipeline, judge: Judge) -> Voting | None:
    """The vote of several answers, if there is one. Raises ConfigError."""
    if pipeline.samples is None:
        return None
    if pipeline.split_fields or judge.schema.wrapped or not judge.schema.shape.asked:
        raise ConfigError("samples vote on the fields of one answer", hint="leave out split_fields, or use a model")
    return Voting(pipeline.samples, judge)


def _tiers(pipeline: Pipeline, name: str, build: RequestBuilder, judge: Judge) -> tuple[Tier, ...]:
    """The models of the run in order, with what mends their answers. Raises ConfigError."""
    tiers = [Tier(name, pipeline.model, Planner(build, judge, pipeline.repair))]
    for model in pipeline.models[1:]:
        if model.mode != pipeline.model.mode or model.search:
            raise ConfigError("all models are asked in one mode, and only the first may search", hint="Model(mode=…)")
        if model.name is None or model.name in [tier.name for tier in tiers]:
            raise ConfigError("each of the models needs a name of its own", hint="models=[Model(name=…), …]")
        own = replace(build, model=model, model_name=model.name)
        tiers.append(Tier(model.name, model, Planner(own, judge, pipeline.repair)))
    return tuple(tiers)


def _grounding(
    pipeline: Pipeline,
    schema: CompiledSchema,
    columns: Sequence[str],
    source: Source,
    attachments: Attachments | None,
) -> Grounding | None:
    """What looks values up, where any is to be. Raises ConfigError."""
    default = Evidence() if pipeline.evidence is True else pipeline.evidence or None
    grounding = Grounding(schema.shape, default, SourceTexts(columns, attachments))
    grounding.check(source.columns)
    return grounding if grounding.is_needed else None


def _questions(build: RequestBuilder, pipeline: Pipeline) -> tuple[Question, ...]:
    descent = Descent(build.schema)
    parts = parts_of(build.schema, pipeline.split_fields, mend_json=pipeline.mend_json)
    return tuple(Question(part.builder_of(build), descent, part) for part in parts) or (Question(build, descent),)


def _toolbox(pipeline: Pipeline, rules: DialectRules) -> Toolbox:
    """The tools and how far they may be used. Raises ConfigError for functions that are no tools."""
    limits, model = pipeline.limits, pipeline.model
    tools = tuple(tool if isinstance(tool, Tool) else tool_of(tool) for tool in pipeline.tools)
    names = [tool.name for tool in tools]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"two tools are called {twice[0]!r}", hint="rename one: tool_of(function, name=…)")
    if model.search_with_schema and not model.search:
        raise ConfigError("model.search_with_schema needs model.search")
    refuse_exclusions(model, bool(tools), has_schema=False, rules=rules)  # of a round
    if model.search_with_schema:
        refuse_exclusions(model, model.mode == "tool", has_schema=model.mode == "schema", rules=rules)
    search = rules.search_tool if model.search and not model.search_with_schema else None
    return Toolbox(tools, search, limits.tool_rounds, limits.tool_calls, limits.tool_timeout)


def _local_name(endpoint: Endpoint) -> str:
    return Path(endpoint.model_path).stem if endpoint.model_path else LOCAL_MODEL


def _check_columns(pipeline: Pipeline, source: Source, schema: CompiledSchema) -> None:
    for name in pipeline.columns:
        if name not in source.columns:
            raise ConfigError(
                f"{source.label} has no column {name!r} to pass through", hint=did_you_mean(name, source.columns)
            )
    names = [source.key_name, *(name for name in pipeline.columns if name != source.key)]
    for name in names:
        if name in RESERVED or names.count(name) > 1:
            raise ConfigError(
                f"two columns of the table would be called {name!r}", hint="rename the source's column, or leave it out"
            )
    field_names = schema.arrow_schema.names
    taken = [source.key_name, *(name for name in pipeline.columns if name != source.key)]
    for name in field_names:
        if name in taken or name in RESERVED:
            what = "is reserved" if name in RESERVED else "is also a column of the source that goes into the table"
            raise ConfigError(f"the field {name!r} {what}", hint="rename the field, or leave the column out")
    for _, shape in schema.bindings:
        column = shape.verbatim.column if shape.verbatim else None
        if column is not None and column not in source.columns:
            raise ConfigError(f"Verbatim looks in a column {column!r} that the source has not")


def _check_check(check: Check, shape: Shape, columns: Sequence[str]) -> None:
    if not callable(check):
        raise ConfigError(f"a check is a function (value, record) -> issues, got {check!r}"[:200])
    if isinstance(check, TableCheck):
        raise ConfigError(f"{check.name} is a check of the table", hint=f"it belongs in table_checks=[{check.name}]")
    if isinstance(check, FieldCheck):
        check.refuse(shape, columns)


def _check_budget(pipeline: Pipeline) -> None:
    for name in ("max_cost_usd", "max_cost_usd_per_record"):
        models = (pipeline.model, *pipeline.models[1:])
        if getattr(pipeline.limits, name) is not None and any(model.cost_usd(0, 0) is None for model in models):
            raise ConfigError(
                f"limits.{name} needs the model's prices",
                hint="set model.input_usd_per_million and model.output_usd_per_million, or name a table of prices "
                "that has this model: EXTRACT_PRICES",
            )


def _priced(pipeline: Pipeline, name: str, endpoint: Endpoint) -> tuple[Pipeline, str]:
    """The pipeline with the model's prices of today, and all that the table says of it. Raises ConfigError."""
    path = pipeline.prices or prices_file()
    if path is None or endpoint.is_local:  # what runs on this machine has no price
        return pipeline, ""
    prices, today = read_prices(path), datetime.now(UTC).date()
    model = priced(pipeline.model, name, prices, today)
    others = [priced(each, each.name or name, prices, today) for each in pipeline.models[1:]]
    models = (model, *others) if pipeline.models else ()
    return replace(pipeline, model=model, models=models), "" if has_own_price(pipeline.model) else prices.named(name)
