"""How the gateways differ, as data: path, where the model goes, and the form of `response_format`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from extract.config import Dialect

Form = Literal["A", "B", "C"]


@dataclass(frozen=True, slots=True)
class DialectRules:
    """`path` follows the base URL and may hold `{model}`; `form` is that of `CompiledSchema.response_format_as`."""

    path: str
    model_in_body: bool
    form: Form


DIALECTS: dict[Dialect, DialectRules] = {
    "openai": DialectRules(path="/chat/completions", model_in_body=True, form="C"),
    "toapis": DialectRules(path="/chat/completions", model_in_body=True, form="C"),
    "kie": DialectRules(path="/{model}/v1/chat/completions", model_in_body=False, form="A"),
    "llamacpp": DialectRules(path="/chat/completions", model_in_body=True, form="C"),
}
