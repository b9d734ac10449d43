"""Settings as small frozen values, checked when built; the only reader of environment variables."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from extract.errors import ConfigError
from extract.nearest import did_you_mean

Dialect = Literal["toapis", "kie", "openai", "llamacpp", "auto"]  # auto: told by the address, or found out by asking

Form = Literal["A", "B", "C"]  # of response_format, see CompiledSchema.response_format_as

DEFAULT_MODEL = "gemini-3-1-pro-preview"
DEFAULT_BASE_URL = "https://toapis.com/v1"
BASE_URLS: dict[Dialect, str] = {
    "kie": "https://api.kie.ai",
    "llamacpp": "http://127.0.0.1:8080/v1",
}  # else the default
_OWN_FIELDS = frozenset(
    {"model", "messages", "stream", "max_tokens", "response_format", "tools", "tool_choice"}
    | {"functions", "function_call", "n"}  # other ways to the same, and a second answer, which nobody could choose
)
_SHARE = re.compile(r"p[5-9]\d(\.\d)?")


class Settings(BaseModel):
    """Base of all settings: frozen, keyword only, unknown names and impossible values are a ConfigError."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:  # so that type checkers keep the generated signature

        def __init__(self, **data: Any) -> None:
            try:
                super().__init__(**data)
            except ValidationError as error:
                raise ConfigError(_sentence(type(self), error)) from None

    def replaced(self, changes: Mapping[str, Any]) -> Self:
        """A copy with these fields set anew and checked."""
        return type(self)(**{name: getattr(self, name) for name in self.model_fields_set} | dict(changes))


def _sentence(kind: type[Settings], error: ValidationError) -> str:
    """Pydantic's findings in one line, without the input (it may hold a key)."""
    found = error.errors(include_input=False)
    own = [item for item in found if item["type"] != "default_factory_not_called"]  # that follows from another
    said = (".".join([kind.__name__, *map(str, item["loc"])]) + ": " + _message(kind, item) for item in own or found)
    return "; ".join(said)


def _message(kind: type[Settings], item: Mapping[str, Any]) -> str:
    """In the words of who sets it, not of who wrote the class."""
    if item["type"] == "extra_forbidden":
        return f"there is no such setting ({did_you_mean(str(item['loc'][-1]), kind.model_fields)})"
    return str(item["msg"]).removeprefix("Value error, ")


class Model(Settings):
    """Which model answers, and how it is asked."""

    name: str | None = Field(default=None, min_length=1)  # None: EXTRACT_MODEL, else the default of the endpoint
    max_tokens: int = Field(default=1024, ge=1)  # output tokens, thoughts included
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None  # for equal answers, where the endpoint heeds it
    stop: list[str] | None = Field(default=None, max_length=4)  # texts that end the answer
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None  # the next one that the dialect knows
    include_thoughts: bool | None = None  # thoughts come with the answer; None: not where the dialect can be told so
    stream: bool = False  # the answer comes in pieces; the table is the same
    search: bool = False  # the model may search the web; its sources go to the evidence table
    search_with_schema: bool = False  # search and response_format in one request; not every gateway takes both
    mode: Literal["schema", "tool"] = "schema"  # "tool": the record comes as the arguments of a function call
    extra_body: dict[str, Any] | None = None  # further fields; max_completion_tokens takes the place of max_tokens
    input_usd_per_million: float | None = Field(default=None, ge=0)  # price of input tokens
    output_usd_per_million: float | None = Field(default=None, ge=0)  # price of output tokens
    cached_input_usd_per_million: float | None = Field(default=None, ge=0)  # of those read before; None: as input
    thinking_usd_per_million: float | None = Field(default=None, ge=0)  # of thoughts; None: as output

    @model_validator(mode="after")
    def _own_fields_stay(self) -> Self:
        taken = _OWN_FIELDS & set(self.extra_body or {})
        if taken:
            raise ValueError(f"extra_body cannot set {', '.join(sorted(taken))}; these are the pipeline's own")
        twice = [name for name in self.extra_body or {} if getattr(self, name, None) is not None]
        if twice:
            raise ValueError(f"extra_body and the model's own field both set {', '.join(sorted(twice))}")
        return self

    def cost_usd(
        self, input_tokens: float, output_tokens: float, cached_tokens: float = 0, thinking_tokens: float = 0
    ) -> float | None:
        """Price in US dollars, None when a price is not stated. The cached are of the input, thoughts of the output."""
        given, made = self.input_usd_per_million, self.output_usd_per_million
        if given is None or made is None:
            return None
        cost = input_tokens * given + output_tokens * made
        if cached_tokens and (cached := self.cached_input_usd_per_million) is not None:
            cost += cached_tokens * (cached - given)
        if thinking_tokens and (thinking := self.thinking_usd_per_million) is not None:
            cost += thinking_tokens * (thinking - made)
        return cost / 1e6


class Limits(Settings):
    """How hard the endpoint is driven, and how much may be spent."""

    concurrency: int = Field(default=32, ge=1, le=100_000)  # calls in flight
    hedge_after: float | str | None = None  # seconds, or "p95" of the answers so far: then a second call is made beside
    adaptive: bool = True  # find out how many calls the endpoint takes, up to these limits; False: these count alone
    requests_per_minute: float | None = Field(default=None, gt=0)  # paced evenly; None: what the endpoint takes
    tokens_per_minute: float | None = Field(default=None, gt=0)  # input and output; guessed before, settled after
    max_cost_usd: float | None = Field(default=None, gt=0)  # of one run; needs the model's prices
    max_cost_usd_per_record: float | None = Field(default=None, gt=0)  # all calls for it in one run; likewise
    max_requests: int | None = Field(default=None, ge=1)  # calls of one run, retries included
    max_total_tokens: int | None = Field(default=None, ge=1)  # input and output of one run
    max_seconds: float | None = Field(default=None, gt=0)  # of one run, from its first call; those in flight finish
    outage_timeout: float = Field(default=1800.0, gt=0)  # seconds without any answer, then the run stops
    timeout: float = Field(default=600.0, gt=0)  # seconds for one whole call
    tool_rounds: int = Field(default=6, ge=1, le=100)  # in which the model may call functions, for one record
    tool_calls: int = Field(default=32, ge=1, le=10_000)  # of functions, for one record
    tool_timeout: float = Field(default=30.0, gt=0)  # seconds for one call of a function
    idle_timeout: float = Field(default=180.0, gt=0)  # seconds without a byte of an answer that has begun
    connect_timeout: float = Field(default=10.0, gt=0)  # seconds to get a connection

    @field_validator("hedge_after", mode="before")
    @classmethod
    def _seconds_or_share(cls, given: Any) -> Any:
        if isinstance(given, str) and _SHARE.fullmatch(given):
            return given
        try:
            seconds = float(given) if given is not None else 1.0
        except (TypeError, ValueError):
            seconds = math.nan
        if isinstance(given, bool) or not 0 < seconds < math.inf:
            raise ValueError("seconds above 0, or a share of the answers from p50 to p99.9")
        return None if given is None else seconds


class Retry(Settings):
    """When a call is tried again. `max_attempts` counts every call, the first included."""

    max_attempts: int = Field(default=6, ge=1, le=1000)
    max_seconds: float = Field(default=900.0, gt=0)  # of all attempts and waits of one record
    initial_wait: float = Field(default=0.5, ge=0)  # seconds before the second call, doubled each time
    max_wait: float = Field(default=60.0, ge=0)  # seconds, cap of the backoff
    max_retry_after: float = Field(default=300.0, gt=0)  # seconds, cap of what a server may ask for


class Repair(Settings):
    """Whether failed answers are asked for again, and what that may cost. Only what failed is asked for."""

    max_repairs: int = Field(default=0, ge=0, le=20)  # of one record, by one model; 0: failed answers are left
    longest_answer: int = Field(default=65_536, ge=1)  # tokens up to which a cut answer gets more room, doubled
    max_tokens: int | None = Field(default=None, ge=1)  # of all repairs of one run, input and output
    max_cost_usd: float | None = Field(default=None, gt=0)  # likewise; needs the model's prices
    max_tokens_per_record: int | None = Field(default=None, ge=1)  # of the repairs of one record
    max_cost_usd_per_record: float | None = Field(default=None, gt=0)
    failed: Literal["quarantine", "null", "flag"] = "quarantine"  # what becomes of a value that no repair has mended


class Samples(Settings):
    """Several answers to each question, which vote field by field. The model's temperature makes them differ."""

    n: int = Field(ge=2, le=25)  # answers to each record, all of them paid
    escalate_below: float | None = Field(default=None, gt=0, le=1)  # agreement about a field: the next model is asked
    flag_below: float | None = Field(default=None, gt=0, le=1)  # likewise: the row says so, `low_confidence:$.total`


def _base_url(given: Mapping[str, Any]) -> str:
    return BASE_URLS.get(given.get("dialect", "openai"), DEFAULT_BASE_URL)


class Endpoint(Settings):
    """Where requests go. Built by hand, from the environment, or `Endpoint.local()` for the model on this machine."""

    dialect: Dialect = "openai"
    base_url: str = Field(default_factory=_base_url)  # unless given, that of the dialect
    api_key: SecretStr | None = None
    form: Form | None = None  # of response_format; None: as the dialect has it
    finish_optional: bool | None = None  # an answer need not say that it is finished; None: as the dialect has it
    is_local: bool = False  # start the local API for the length of the run
    model_path: str | None = None  # of the local API: a GGUF file, None: SmolLM2-135M-Instruct

    @model_validator(mode="after")
    def _safe_url(self) -> Self:
        if self.is_local:
            return self
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            found = "" if "@" in self.base_url else f", got {self.base_url!r}"  # it may hold a password
            raise ValueError(f"base_url must be http(s)://host[:port]/path{found}")
        if parts.username or parts.password:
            raise ValueError("base_url must not hold a user name or password; pass api_key")
        _ = parts.port  # a ValueError when it is none
        if parts.scheme == "http" and self.api_key and not is_loopback(parts.hostname):
            raise ValueError("a key is not sent over plain http except to loopback; use https")
        return self

    def resolved(self, dialect: Dialect) -> Self:
        """The same endpoint, once it is known which dialect it speaks."""
        return self.replaced({"dialect": dialect})

    @property
    def is_set(self) -> bool:
        """Whether somebody said where requests go: a URL, a key, or the local model."""
        return self.is_local or self.api_key is not None or "base_url" in self.model_fields_set

    @classmethod
    def local(cls, model_path: str | None = None) -> Endpoint:
        """The local API on a free loopback port, for the length of the run: no key, no network."""
        return cls(is_local=True, model_path=model_path, dialect="openai", base_url="http://127.0.0.1/v1")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Endpoint:
        """EXTRACT_BASE_URL, EXTRACT_API_KEY, EXTRACT_DIALECT, EXTRACT_FORM; what is unset keeps its default."""
        env = os.environ if environment is None else environment
        names = {"base_url": "EXTRACT_BASE_URL", "api_key": "EXTRACT_API_KEY", "dialect": "EXTRACT_DIALECT"}
        names["form"] = "EXTRACT_FORM"
        return cls(**{field: env[name] for field, name in names.items() if env.get(name)})


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where what was found out is kept between runs: EXTRACT_CACHE_DIR, else the user's cache folder."""
    env = os.environ if environment is None else environment
    if own := env.get("EXTRACT_CACHE_DIR"):
        return Path(own)
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tablecast"


def prices_file(environment: Mapping[str, str] | None = None) -> Path | None:
    """The table of prices that EXTRACT_PRICES names, if it does."""
    env = os.environ if environment is None else environment
    return Path(own) if (own := env.get("EXTRACT_PRICES")) else None


def is_loopback(host: str) -> bool:
    """Whether this host name or address is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def model_name(model: Model, environment: Mapping[str, str] | None = None) -> str:
    """The name that goes on the wire: the pipeline's, else EXTRACT_MODEL, else the default."""
    env = os.environ if environment is None else environment
    return model.name or env.get("EXTRACT_MODEL") or DEFAULT_MODEL
