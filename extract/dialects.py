"""How the gateways differ, as data: addresses, fields of the request, what excludes what, forms of errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from extract.config import BASE_URLS, DEFAULT_BASE_URL, Dialect, Endpoint, Form, Model
from extract.errors import ConfigError

Effort = Literal["minimal", "low", "medium", "high"]

SEARCH = "googleSearch"  # a function of this name is the gateway's own search of the web, and no function call
_OPTIONAL_FIELDS = ("temperature", "top_p", "seed", "stop", "reasoning_effort", "include_thoughts")


def _search_tool() -> dict[str, Any]:
    return {"type": "function", "function": {"name": SEARCH}}


@dataclass(frozen=True, slots=True)
class Envelope:
    """How an endpoint writes an error: names of the fields, what holds them, and the status where it is always one."""

    code: str = "code"
    message: str = "message"
    holder: str | None = "error"  # None: the fields are those of the body itself
    http_status: int | None = None  # None: the error's own
    more: Mapping[str, Any] = field(default_factory=dict)

    def body(self, code: int | str, message: str) -> dict[str, Any]:
        """The JSON of one error."""
        error = {self.code: code, self.message: message} | dict(self.more)
        return {self.holder: error} if self.holder else error

    def error_in(self, document: Any) -> dict[str, Any] | None:
        """The error's members, code and message under these names; None where the document is not written so."""
        error = document.get(self.holder) if self.holder and isinstance(document, dict) else document
        if not isinstance(error, dict) or self.code not in error or not isinstance(error.get(self.message), str):
            return None
        return error | {"code": error[self.code], "message": error[self.message]}


@dataclass(frozen=True, slots=True)
class Signs:
    """What shows that an endpoint speaks this dialect, where its host is unknown and others have the same path."""

    header: str | None = None  # of the answer to an empty request
    refusals: frozenset[tuple[str, str, str | None]] = frozenset()  # likewise: code, type and param of its error
    owner: str | None = None  # `owned_by` in the list of models


_OPENAI_ERROR = Envelope(more={"type": None, "param": None})
_OPENAI_LIMITS = tuple(
    f"x-ratelimit-{what}-{unit}" for unit in ("requests", "tokens") for what in ("limit", "remaining", "reset")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DialectRules:
    """One dialect of the chat-completions API.

    `path` follows the base URL and may hold `{model}`; `form` is that of `CompiledSchema.response_format_as`.
    """

    path: str
    model_in_body: bool
    form: Form
    base_url: str = DEFAULT_BASE_URL
    hosts: tuple[str, ...] = ()  # these and their subdomains speak it
    output_limit: str = "max_tokens"  # the field with the number of output tokens
    documented: frozenset[str] = frozenset(_OPTIONAL_FIELDS)  # the optional fields that its own page knows
    efforts: Mapping[Effort, str] = field(default_factory=dict)  # reasoning_effort as it is sent, where not as it is
    include_thoughts: bool | None = None  # sent when the model does not say; None: nothing is sent
    search_tool: Mapping[str, Any] | None = field(default_factory=_search_tool)  # None: it has no search
    search_with_schema: bool = False  # its own page has search and response_format in one request
    stream_usage: bool = True  # a stream is asked for its usage
    finish_optional: bool = False  # a whole answer need not say that it is finished
    models_path: str | None = "/models"  # after the base URL; None: it has no list
    balance_path: str | None = None  # after the base URL; None: it does not say
    balance_field: str = "remain_balance"  # of what is served there
    limit_headers: tuple[str, ...] = ()  # its own; those of its upstream may stand beside them
    envelopes: tuple[Envelope, ...] = (_OPENAI_ERROR,)  # how it writes errors itself; looked for first
    signs: Signs = Signs()

    def path_for(self, model: str) -> str:
        """The path of a request, the model's name quoted. Raises ConfigError for a name that no path can hold."""
        if not self.model_in_body and model in (".", ".."):
            raise ConfigError(f"{model!r} is no name of a model", hint="set EXTRACT_MODEL or --set model.name=…")
        return self.path.format(model=quote(model, safe=""))


DIALECTS: dict[Dialect, DialectRules] = {
    "openai": DialectRules(
        path="/chat/completions",
        model_in_body=True,
        form="C",
        hosts=("api.openai.com",),
        documented=frozenset(_OPTIONAL_FIELDS) - {"include_thoughts"},
        limit_headers=_OPENAI_LIMITS,
    ),
    "toapis": DialectRules(
        path="/chat/completions",
        model_in_body=True,
        form="C",
        hosts=("toapis.com", "toapis.cn"),
        documented=frozenset({"temperature", "top_p", "stop"}),
        balance_path="/balance",
        limit_headers=(
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
            "X-RateLimit-Category",
        ),
        signs=Signs(
            header="x-ratelimit-category",
            refusals=frozenset(
                {
                    ("invalid_request_error", "invalid_request_error", "messages"),
                    ("unauthorized", "authentication_error", None),
                }
            ),
        ),
    ),
    "kie": DialectRules(
        path="/{model}/v1/chat/completions",
        model_in_body=False,
        form="A",
        base_url=BASE_URLS["kie"],
        hosts=("kie.ai",),
        documented=frozenset({"reasoning_effort", "include_thoughts"}),
        efforts={"minimal": "low", "medium": "high"},  # the page has low and high
        include_thoughts=False,  # its own default is true, and thoughts are paid for
        search_with_schema=True,
        stream_usage=False,  # the page lists its fields, and stream_options is none of them
        models_path=None,
        balance_path="/api/v1/chat/credit",
        balance_field="data",
        envelopes=(Envelope(message="msg", holder=None, http_status=200, more={"data": None}),),
    ),
    "llamacpp": DialectRules(
        path="/chat/completions",
        model_in_body=True,
        form="C",
        base_url=BASE_URLS["llamacpp"],
        documented=frozenset({"temperature", "top_p", "seed", "stop"}),
        search_tool=None,
        signs=Signs(owner="llamacpp"),
    ),
}


def dialect_of(base_url: str) -> Dialect | None:
    """The dialect that the host of an address is known to speak; None when only asking it would tell."""
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    for dialect, rules in DIALECTS.items():
        if any(host == known or host.endswith(f".{known}") for known in rules.hosts):
            return dialect
    return None


def settled(endpoint: Endpoint) -> Endpoint:
    """The endpoint with its dialect, where that is "auto" and the address tells; else as it is."""
    found = dialect_of(endpoint.base_url) if endpoint.dialect == "auto" else None
    return endpoint.resolved(found) if found else endpoint


def rules_of(endpoint: Endpoint) -> DialectRules:
    """The rules of an endpoint's dialect, with the form that the endpoint names.

    Raises ConfigError for "auto" where the address does not tell.
    """
    dialect = settled(endpoint).dialect
    if dialect == "auto":
        raise ConfigError(
            "the address does not tell which dialect this endpoint speaks",
            hint=f"set EXTRACT_DIALECT to one of {', '.join(DIALECTS)}",
        )
    rules = DIALECTS[dialect]
    return rules if endpoint.form is None else replace(rules, form=endpoint.form)


def finish_is_optional(endpoint: Endpoint) -> bool:
    """Whether a whole answer is taken that does not say it is finished: as the endpoint has it, else its dialect."""
    return rules_of(endpoint).finish_optional if endpoint.finish_optional is None else endpoint.finish_optional


def body_fields(rules: DialectRules, model: Model) -> dict[str, Any]:
    """The request body but for model, messages, tools and response_format.

    Always `stream` and one limit of output tokens; then what the model sets, as the dialect calls it; then
    `extra_body`, which has the last word.
    """
    extra = model.extra_body or {}
    fields: dict[str, Any] = {"stream": model.stream}
    if "max_completion_tokens" not in extra:  # beside it, max_tokens is refused
        fields[rules.output_limit] = model.max_tokens
    given = {name: getattr(model, name) for name in _OPTIONAL_FIELDS}
    if model.reasoning_effort:
        given["reasoning_effort"] = rules.efforts.get(model.reasoning_effort, model.reasoning_effort)
    if model.include_thoughts is None:
        given["include_thoughts"] = rules.include_thoughts
    fields |= {name: value for name, value in given.items() if value is not None}
    if model.stream and rules.stream_usage:
        fields["stream_options"] = {"include_usage": True}
    return fields | extra


def undocumented(rules: DialectRules, model: Model) -> tuple[str, ...]:
    """What the model sets and the dialect's own page does not know; it is sent all the same."""
    fields = [name for name in _OPTIONAL_FIELDS if getattr(model, name) is not None and name not in rules.documented]
    return (*fields, *(["search_with_schema"] if model.search_with_schema and not rules.search_with_schema else []))


def refuse_exclusions(model: Model, has_tools: bool, has_schema: bool, rules: DialectRules) -> None:
    """Refuse one request that the API's pages exclude, before it is paid for. Raises ConfigError."""
    if model.search and rules.search_tool is None:
        raise ConfigError("this endpoint has no search of the web", hint="leave out Model(search=True)")
    if has_tools and model.search:
        raise ConfigError(
            f"functions and {SEARCH} exclude each other in one request",
            hint='leave out the tools, mode="tool" included, or Model(search=True)',
        )
    if has_tools and has_schema:
        raise ConfigError(
            "functions and response_format exclude each other in one request",
            hint="ask with the tools first, and then once more, without tools, for the structured answer",
        )
    if model.search and has_schema and not model.search_with_schema:
        known = "as the page of this dialect does" if rules.search_with_schema else "which its page does not have"
        raise ConfigError(
            f"not every gateway takes {SEARCH} and response_format in one request",
            hint=f"Model(search_with_schema=True) sends both, {known}; extract probe shows whether they are taken",
        )
