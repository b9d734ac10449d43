"""Checks of a text by itself: its form and its language.

The language is told by `py3langid` (4.5 MB, a naive Bayes model in numpy, which pandas brings along; lingua is better
with single words, and 94 MB), in the extra `checks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from extract.checks.base import TEXTS, FieldCheck, issue_of, shown
from extract.checks.codes import extra
from extract.checks.paths import reader
from extract.checks.sources import search_of
from extract.errors import ConfigError
from extract.nearest import did_you_mean
from extract.records import Issue, Record, Severity

LOOKED_AT = 2_000  # characters of a text whose language is told
MAX_TEXT = 1_000_000  # characters of a text that a pattern is searched in

_LETTERS = re.compile(r"[^\W\d_]")


def matches(field: str, pattern: str, *, severity: Severity = "repair") -> FieldCheck:
    """The field's text holds what a regular expression describes, as `re.search` finds it (code `semantic.matches`).

    `^` and `$` tie it to the whole text, `(?i)` ignores case. The engine takes linear time; look-around and references
    back are searched for with a limit of some 20 ms, beyond which the text counts as no match. What cannot be bounded
    (atomic groups, conditions) is refused when the check is made. Null passes.
    """
    code = "semantic.matches"
    search = search_of("checks.matches", pattern)
    read, issue = reader(field), issue_of(code, severity)

    def judge(value: Any, _: Record) -> Iterator[Issue]:
        for path, found in read(value):
            text = found if isinstance(found, str) else str(found)
            if len(text) > MAX_TEXT or not _is_match(search, text):
                yield issue(path, f"{field} is {shown(found)}, which does not match {pattern[:200]}", found)

    return FieldCheck(code, (field,), (), judge, (pattern,), severity, (TEXTS,))


def _is_match(search: Any, text: str) -> bool:
    try:
        return bool(search(text))
    except ValueError:  # half of a surrogate pair, which is no text for the engine
        return False


def language(
    field: str, *languages: str, min_letters: int = 40, certainty: float = 0.9, severity: Severity = "warn"
) -> FieldCheck:
    """The field's text is in one of the languages, by their ISO 639-1 codes (code `semantic.language`).

    Only a text that is surely in another one is found: with at least `min_letters` letters, and another language at
    least so likely as `certainty`. Null passes. Names, codes and quotations mislead the model: a warning unless told.
    """
    code = "semantic.language"
    if not languages:
        raise ConfigError(f"{code}: {field} has no language", hint='checks.language("summary", "en", "de")')
    if not 0 < certainty <= 1 or min_letters < 1:
        raise ConfigError(f"{code}: certainty is above 0 and at most 1, min_letters at least 1")
    read, issue = reader(field), issue_of(code, severity)

    def judge(value: Any, _: Record) -> Iterator[Issue]:
        for path, found in read(value):
            text = found[:LOOKED_AT]
            if sum(1 for __ in _LETTERS.finditer(text)) < min_letters:
                continue
            told, likely = _identifier().classify(text)
            if told not in languages and likely >= certainty:
                message = f"{field} is {shown(found)}, in {told} ({likely:.2f}); expected {', '.join(languages)}"
                yield issue(path, message, found)

    def prepare() -> None:
        known = _identifier().labels
        for name in languages:
            if name not in known:
                raise ConfigError(f"{code}: {name!r} is no language that is told", hint=did_you_mean(str(name), known))

    settings = (languages, min_letters, certainty)
    return FieldCheck(code, (field,), (), judge, settings, severity, (frozenset({"str"}),), prepare)


@cache  # the model takes a second to load
def _identifier() -> Any:
    module = extra("py3langid.langid", "checks.language")
    return module.LanguageIdentifier.from_model_file(module.MODEL_FILE, norm_probs=True)
