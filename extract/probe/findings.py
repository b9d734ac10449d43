"""What was found, as plain data, as a table and as the settings that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from extract.config import Dialect, Form
from extract.dialects import DIALECTS

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One question and its answer.

    `verdict` is one of: yes; no; taken (accepted, and nothing shows whether it did anything); enforced, JSON only,
    ignored (of a response format); refused (with the endpoint's own words in `detail`); failed (no answer, so nothing
    is known).
    """

    name: str
    verdict: str
    detail: str = ""


@dataclass(frozen=True)
class ProbeReport:
    """What an endpoint does with a model. `limits`: the rate limits that its headers tell."""

    base_url: str
    model: str
    dialect: Dialect
    findings: tuple[Finding, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    probed_at: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether every question has its answer."""
        return all(finding.verdict != "failed" for finding in self.findings)

    def verdict(self, name: str) -> str | None:
        """The verdict on a question; None: it was not asked."""
        return next((finding.verdict for finding in self.findings if finding.name == name), None)

    @property
    def enforced_forms(self) -> tuple[Form, ...]:
        """The forms of response_format that bind the model, the dialect's own first."""
        own = self._own_form
        forms: list[Form] = [own, *(form for form in ("C", "A", "B") if form != own)]
        return tuple(form for form in forms if self.verdict(f"response_format {form}") == "enforced")

    @property
    def _own_form(self) -> Form:
        return DIALECTS[self.dialect].form

    @property
    def settings(self) -> dict[str, Any]:
        """What to set for this endpoint: environment, and fields of Model."""
        found: dict[str, Any] = {"EXTRACT_BASE_URL": self.base_url, "EXTRACT_MODEL": self.model}
        found["EXTRACT_DIALECT"] = self.dialect
        if self.enforced_forms and self.enforced_forms[0] != self._own_form:
            found["EXTRACT_FORM"] = self.enforced_forms[0]
        if not self.enforced_forms and self.verdict("function call") == "enforced":
            found["Model.mode"] = "tool"
        return found

    @property
    def advice(self) -> list[str]:
        """What a user should know before paying for many records."""
        said = []
        if not self.enforced_forms:
            said.append(
                "no form of response_format is enforced: every answer is judged here, expect more to be refused"
            )
        if not self.is_whole:
            said.append("some questions got no answer: this report is not kept, ask again later")
        if self.verdict("usage") == "no":
            said.append("no token counts: cost cannot be told or capped")
        if self.verdict("streaming by default") == "yes":
            said.append("the endpoint streams unless told otherwise; we always say which")
        return said

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON data."""
        return {
            "format": FORMAT,
            "base_url": self.base_url,
            "model": self.model,
            "dialect": self.dialect,
            "probed_at": self.probed_at,
            "requests": self.requests,
            "tokens": {"input": self.input_tokens, "output": self.output_tokens},
            "findings": [{"name": each.name, "verdict": each.verdict, "detail": each.detail} for each in self.findings],
            "limits": dict(self.limits),
            "settings": self.settings,
            "advice": self.advice,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ProbeReport:
        """A report that was stored. Raises KeyError, TypeError, ValueError for what is none."""
        if data["format"] != FORMAT or data["dialect"] not in DIALECTS:
            raise ValueError("another format")
        findings = tuple(
            Finding(str(each["name"]), str(each["verdict"]), str(each["detail"])) for each in data["findings"]
        )
        return cls(
            base_url=str(data["base_url"]),
            model=str(data["model"]),
            dialect=data["dialect"],
            findings=findings,
            limits=dict(data["limits"]),
            requests=int(data["requests"]),
            input_tokens=int(data["tokens"]["input"]),
            output_tokens=int(data["tokens"]["output"]),
            probed_at=str(data["probed_at"]),
        )

    def table(self) -> str:
        """One line a finding, then limits, settings and advice."""
        width = max((len(each.name) for each in self.findings), default=0)
        lines = [
            f"{self.model} at {self.base_url}, dialect {self.dialect}, {self.requests} requests, {self.probed_at}",
            "",
        ]
        lines += [f"{each.name:<{width}}  {each.verdict:<9}  {each.detail}".rstrip() for each in self.findings]
        lines += ["", *(f"limit {name}: {_left(value)}" for name, value in self.limits.items())] if self.limits else []
        lines += ["", "settings:", *(f"  {name}={value}" for name, value in self.settings.items())]
        lines += ["", *self.advice] if self.advice else []
        return "\n".join(lines)


def _left(window: Any) -> str:
    """599 of 600 left, new in 12 s"""
    if not isinstance(window, Mapping):
        return str(window)
    left, most, reset = (window.get(name) for name in ("remaining", "limit", "reset"))
    said = f"{'?' if left is None else f'{left:g}'} of {'?' if most is None else f'{most:g}'} left"
    return said if reset is None else f"{said}, new in {reset:g} s"
