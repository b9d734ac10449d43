"""A pipeline: one frozen value that says what to ask of which records and how to judge the answers.

`Prepared` is what `preparing` makes of it, once it fits a source and an endpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from extract.checks import Check, FieldCheck
from extract.checks.base import refuse_checks
from extract.checks.tables import TableCheck, refuse_table_checks
from extract.config import Endpoint, Limits, Model, Repair, Retry, Samples, Settings
from extract.dialects import body_fields
from extract.errors import ConfigError
from extract.evidence import Evidence
from extract.fingerprint import source_of
from extract.guarding import Redact, settings_of
from extract.ladder import Question
from extract.parts import SplitFields
from extract.prices import without_price
from extract.prompts import Prompt
from extract.repair import Tier
from extract.requests import RequestBuilder
from extract.schema import CompiledSchema, Decimals, Enums, Profile
from extract.schema.functions import Tool
from extract.sources import Source
from extract.tools import Toolbox
from extract.untrusted import Policy, Untrusted
from extract.validate import Judge
from extract.votes import Voting

TableFormat = Literal["parquet", "csv"]
Children = Literal["columns", "tables"]

JUDGING = 2  # raised when a new version asks or judges otherwise, so that tables are derived anew
SHARD_ROWS = 5000  # records in one shard
RESERVED = (
    *("_attempts", "_flags", "_model", "_input_tokens", "_output_tokens", "_cost_usd", "_request"),
    *("_reasoning", "_confidence"),
)
_GROUPS = ("model", "limits", "retry", "repair")
_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {  # what a setting must be, and what to write
    "model": (Model, 'model=Model(name="…")'),
    "limits": (Limits, "limits=Limits(concurrency=8)"),
    "retry": (Retry, "retry=Retry(max_attempts=6)"),
    "endpoint": (Endpoint, 'endpoint=Endpoint(base_url="…")'),
    "repair": (Repair, "repair=Repair(max_repairs=2): how often a record may be asked again"),
    "samples": (Samples, "samples=Samples(n=3): how many answers vote"),
    "evidence": ((bool, Evidence), 'True, or evidence=Evidence(unsupported="flag")'),
}
_MAY_BE_NONE = ("endpoint", "samples", "evidence")
LOCAL_MODEL = "SmolLM2-135M-Instruct"
LOCAL_CONCURRENCY = 4  # calls in flight to the model on this machine: its slots, and as many waiting


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Schema + prompt + checks + settings.

    name: letters, digits, "_", "-"; the run directory is `out/<name>` unless told otherwise.
    schema: a Pydantic model, or any type that `compile_schema` takes; `unroll`, `decimals` and `enums` are its options.
    prompt: a `Prompt`, or the user template alone.
    source: path (of a folder too), DataFrame or Arrow table, overridden by the one given to `run`. key: its key column;
    None: row number.
    columns: source columns passed through to the table. checks: semantic checks, see `extract.checks`. table_checks:
    checks over the finished table, see `extract.checks.tables`.
    profile: what the endpoint honours of JSON Schema. format: of the table's shards, "parquet" or "csv".
    shard_rows: records a shard. share_answers: identical records are asked once.
    children: where lists and maps go, "columns" of the table or "tables" of their own. flat: a nested object becomes
    columns such as `address.city`. CSV has both always.
    neutralise_formulas: in CSV, text that a spreadsheet would run as a formula gets an apostrophe in front.
    mend_json: repair answers that are nearly JSON (a trailing comma, a bare key, a bracket short); their rows say so.
    tools: typed Python functions that the model may call, round by round, before it is asked for the record; `tool_of`
    gives one another name.
    keep_reasoning: the model's thoughts, where they come with the answer, are a column `_reasoning` of the table.
    split_fields: ask for each record in several requests: lists of field names, each field in one of them, or how many.
    evidence: look every value up that has a writing of its own, in the text that was sent: True, or an `Evidence` that
    says how; fields that are marked with `Evidence` are looked up in any case.
    repair: whether failed answers are asked for again. models: the model, and then those that get the records which
    fail with the one before; in place of `model`. samples: several answers to each question, which vote field by field;
    the column `_confidence` says how far they agree.
    prices: a TOML file of prices by name of model, for a model that states none; None: that of EXTRACT_PRICES, if any.
    untrusted: what is done with records that seem to steer the model: "off", "flag", "quarantine", or an `Untrusted`.
    redact: what is masked in requests and put back into answers: "email", "phone", "card", "iban", (name, pattern).
    """

    name: str
    schema: Any
    prompt: Prompt | str
    source: Any = None
    key: str | None = None
    columns: Sequence[str] = ()
    checks: Sequence[Check] = ()
    table_checks: Sequence[TableCheck] = ()
    model: Model = Model()
    limits: Limits = Limits()
    retry: Retry = Retry()
    endpoint: Endpoint | None = None  # None: from the environment
    profile: Profile = "gemini"
    unroll: int = 0  # levels to which a recursive model is unrolled
    decimals: Decimals = "number"  # a Decimal on the wire: "number" or "string"
    enums: Enums = "value"  # an Enum on the wire: by "value" or by "name"
    format: TableFormat = "parquet"
    shard_rows: int = SHARD_ROWS
    share_answers: bool = True
    neutralise_formulas: bool = True
    children: Children = "columns"
    flat: bool = False
    split_fields: SplitFields = ()
    mend_json: bool = False
    tools: Sequence[Callable[..., Any] | Tool] = ()
    keep_reasoning: bool = False
    prices: str | Path | None = None
    evidence: bool | Evidence = False
    repair: Repair = Repair()
    models: Sequence[Model] = ()
    samples: Samples | None = None
    untrusted: Policy | Untrusted = "off"
    redact: Redact = ()

    def __post_init__(self) -> None:
        if not self.name or not all(c.isalnum() or c in "_-" for c in self.name):
            raise ConfigError(f"a pipeline's name is letters, digits, '_' and '-', got {self.name!r}")
        if self.format not in ("parquet", "csv"):
            raise ConfigError(f"unknown format {self.format!r}", hint='"parquet" or "csv"')
        if self.children not in ("columns", "tables"):
            raise ConfigError(f"unknown children {self.children!r}", hint='"columns" or "tables"')
        if not isinstance(self.flat, bool):
            raise ConfigError(f"flat is {self.flat!r}", hint="True or False")
        if not isinstance(self.keep_reasoning, bool):
            raise ConfigError(f"keep_reasoning is {self.keep_reasoning!r}", hint="True or False")
        self._refuse_other_settings()
        self._take_models()
        _check_tools(self.tools)
        refuse_checks(self.checks)
        refuse_table_checks(self.table_checks)
        if self.shard_rows < 1:
            raise ConfigError(f"shard_rows is {self.shard_rows}", hint="at least 1")
        if isinstance(self.prompt, str):
            object.__setattr__(self, "prompt", Prompt(user=self.prompt))

    def _refuse_other_settings(self) -> None:
        """Refuse what is no setting of its kind, such as `repair=True`. Raises ConfigError."""
        for name, (kind, hint) in _KINDS.items():
            given = getattr(self, name)
            if not isinstance(given, kind) and not (given is None and name in _MAY_BE_NONE):
                shown = type(given).__name__ if name == "endpoint" else repr(given)[:200]  # a URL may hold a password
                raise ConfigError(f"{name} is {shown}", hint=hint)

    def _take_models(self) -> None:
        """The first of the models is the model."""
        if isinstance(self.models, Model) or not all(isinstance(model, Model) for model in self.models):
            raise ConfigError(f"models is {self.models!r}", hint="a list: models=[Model(…), Model(…)]")
        if len(self.models) < 2 and self.samples is not None and self.samples.escalate_below is not None:
            said = "samples.escalate_below asks the next model, and there is none"
            raise ConfigError(said, hint="name a second model in models=[Model(…), Model(…)]")
        if not self.models:
            return
        if self.model not in (Model(), self.models[0]):
            raise ConfigError("model and models are both given", hint="models=[…] alone; the first is asked first")
        object.__setattr__(self, "model", self.models[0])

    def with_settings(self, changes: Mapping[str, str]) -> Pipeline:
        """A copy with `model.*`, `limits.*` and `retry.*` set by dotted name. Raises ConfigError."""
        groups: dict[str, dict[str, str]] = {}
        for name, value in changes.items():
            group, _, field = name.partition(".")
            if group not in _GROUPS or not field:
                raise ConfigError(
                    f"cannot set {name!r}", hint="model.…, limits.…, retry.… or repair.…, such as limits.concurrency=8"
                )
            groups.setdefault(group, {})[field] = value
        settings: dict[str, Settings] = {
            group: getattr(self, group).replaced(_typed(given)) for group, given in groups.items()
        }
        models = {"models": (settings["model"], *self.models[1:])} if self.models and "model" in settings else {}
        return replace(self, **settings, **models)  # type: ignore[arg-type]  # a group keeps its own class


@dataclass(frozen=True)
class Prepared:
    """A pipeline that fits its source and endpoint: everything that a run needs, checked."""

    pipeline: Pipeline
    source: Source
    endpoint: Endpoint
    model_name: str
    schema: CompiledSchema
    build: RequestBuilder  # of a request for all fields
    questions: tuple[Question, ...]  # what is asked of each record: all fields at once, or parts of them
    judge: Judge
    toolbox: Toolbox  # what the model may use before it is asked
    voting: Voting | None = None  # of several answers to each question
    tiers: tuple[Tier, ...] = ()  # the model, and those that get what fails with the one before
    price_table: str = ""  # what the table of prices says of the model; "": it has its own price, or none

    @property
    def limits(self) -> Limits:
        """The pipeline's, with fewer calls in flight for the local model."""
        limits = self.pipeline.limits
        if not self.endpoint.is_local or limits.concurrency <= LOCAL_CONCURRENCY:
            return limits
        return limits.replaced({"concurrency": LOCAL_CONCURRENCY})

    def losses(self, relaxed: Sequence[str] = ()) -> tuple[str, ...]:
        """What is not on the wire, once so much is given up for the endpoint."""
        return tuple(str(loss) for loss in self.questions[0].descent.at(relaxed).losses)

    @property
    def fingerprint(self) -> str:
        """Changes when anything changes that can change a row: prompt, schema, checks, model, columns, format."""
        pipeline = self.pipeline
        prompt = self.build.prompt
        parts = [
            JUDGING,
            *(pipeline.key, tuple(pipeline.columns), pipeline.format, pipeline.shard_rows, pipeline.share_answers),
            *(pipeline.neutralise_formulas, pipeline.children, pipeline.flat, pipeline.mend_json),
            [question.part for question in self.questions],
            *(prompt.system, prompt.user, prompt.nearest, tuple(prompt.narrow), prompt.loaded_examples),
            *((tuple(prompt.turns), prompt.media_columns) if prompt.turns or prompt.media else ()),
            *(self.model_name, self._as_set(pipeline.model).model_dump(mode="json"), self.build.dialect.form),
            *([self.price_table] if self.price_table else []),  # and not the price of today: tables stay as they are
            *(self.build.dialect.model_in_body, body_fields(self.build.dialect, pipeline.model)),
            *(self.schema.fingerprint, self.build.toolbox),
            [_check_source(check) for check in pipeline.checks],
            *(["reasoning"] if pipeline.keep_reasoning else []),
            *([list(self.judge.grounding.settings)] if self.judge.grounding else []),
            *settings_of(self.build),
            *([pipeline.repair] if pipeline.repair.max_repairs or pipeline.repair.failed != "quarantine" else []),
            *([pipeline.samples] if pipeline.samples else []),
            *((tier.name, self._as_set(tier.model).model_dump(mode="json")) for tier in self.tiers[1:]),
        ]
        return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def _as_set(self, model: Model) -> Model:
        """The model without what a table of prices says of it."""
        return without_price(model) if self.price_table else model


def _check_tools(tools: Any) -> None:
    """Refuse what is no list of functions. Raises ConfigError."""
    if isinstance(tools, str) or not isinstance(tools, Sequence):
        given = getattr(tools, "name", None) or getattr(tools, "__name__", None)
        raise ConfigError(f"tools is {tools!r}, not a list", hint=f"a list of functions: tools=[{given or 'lookup'}]")
    for tool in tools:
        if isinstance(tool, Tool):
            continue
        if isinstance(tool, type) or not callable(tool):
            raise ConfigError(f"{tool!r} is no tool", hint="a typed function, or tool_of(function, name=…)")


def _typed(given: Mapping[str, str]) -> dict[str, Any]:
    """Texts from the command line; "none" empties an optional setting, a list or object is written as JSON."""
    return {name: _value_of(name, value) for name, value in given.items()}


def _value_of(name: str, text: str) -> Any:
    if text.lower() == "none":
        return None
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"--set {name}: not JSON: {error}") from None


def _check_source(check: Check) -> str:
    """What a check does: its code and settings when it is a ready one, else its source."""
    if isinstance(check, FieldCheck):
        return repr(check.settled)
    return source_of(check)


def default_out(pipeline: Pipeline) -> Path:
    """The run directory of a pipeline that is told no other."""
    return Path("out") / pipeline.name
