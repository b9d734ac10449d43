"""What a pipeline says of untrusted documents and of values that are not to be sent → its requests and its judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from extract.errors import ConfigError
from extract.prompts import Example, Prompt
from extract.redaction import ABOUT_PLACEHOLDERS, Redactor, redactor_of
from extract.requests import RequestBuilder
from extract.untrusted import Untrusted
from extract.untrusted.policy import about_canary
from extract.validate import Judge

Redact = Sequence[str | tuple[str, str]]


def guarded(
    build: RequestBuilder, judge: Judge, untrusted: Any, redact: Redact, *, has_tools: bool = False
) -> tuple[RequestBuilder, Judge]:
    """The same with all that is asked for; untouched where nothing is. Raises ConfigError."""
    policy = untrusted if isinstance(untrusted, Untrusted) else Untrusted(policy=untrusted)
    if policy.looks:
        build = replace(build, untrusted=policy)
        if build.attachments and policy.of("hidden_text") != "off":
            build = replace(build, attachments=replace(build.attachments, looks_below=True))
    prompt = build.prompt
    if canary := policy.canary_for(prompt.system, prompt.user, build.schema.fingerprint):
        build = _told(build, about_canary(canary))
        judge = replace(judge, canary=canary)
    if redact:
        _refuse_what_is_not_masked(prompt, has_tools)
        redactor = _redactor(build, redact)
        examples = [Example(*redactor.example(each.record, each.answer)) for each in prompt.loaded_examples]
        build = replace(build, prompt=replace(build.prompt, examples=examples), redactor=redactor)
        build = _told(build, ABOUT_PLACEHOLDERS)
        judge = replace(judge, redactor=redactor)
    return build, judge


def settings_of(build: RequestBuilder) -> list[Any]:
    """What of this changes rows, for a fingerprint; empty where nothing is asked for."""
    untrusted, redactor = build.untrusted, build.redactor
    return [
        *([build.prompt.untrusted] if build.prompt.untrusted else []),
        *([untrusted.model_dump(mode="json")] if untrusted else []),
        *([redactor.settings] if redactor else []),
    ]


def _redactor(build: RequestBuilder, redact: Redact) -> Redactor:
    """All columns of which anything may be sent: those that the prompt shows, and those that fields are bound to."""
    prompt = build.prompt
    bound = (shape.verbatim.column for _, shape in build.schema.bindings if shape.verbatim)
    columns = dict.fromkeys((*prompt.shown_columns(build.columns), *(name for name in bound if name)))
    return redactor_of(redact, tuple(columns), prompt.texts, build.schema.wire_schema)


def _refuse_what_is_not_masked(prompt: Prompt, has_tools: bool) -> None:
    """What would be sent as it is."""
    for media in prompt.media_columns:
        if media.as_ != "text":
            raise ConfigError(
                f"redact cannot mask the files of {media.column!r}: only text is masked",
                hint=f"Media(column={media.column!r}, as_='text') sends the text of PDFs, or leave redact out",
            )
    if has_tools:
        raise ConfigError(
            "redact does not go with tools: what a function takes and gives back is not masked",
            hint="look things up before the run, as a column of the source",
        )


def _told(build: RequestBuilder, sentence: str) -> RequestBuilder:
    """The builder whose system message says this too."""
    system = build.prompt.system
    return replace(build, prompt=replace(build.prompt, system=f"{system}\n\n{sentence}" if system else sentence))
