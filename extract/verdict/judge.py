"""The judgement itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from jsonschema.exceptions import ValidationError as Violation
from jsonschema_specifications import REGISTRY as META_SCHEMAS  # type: ignore[import-untyped]  # has no stubs
from referencing.exceptions import Unresolvable

from extract.errors import SchemaError
from extract.patterns import matcher, portable
from extract.records import Issue, short
from extract.verdict.circles import Part, refuse_circles
from extract.verdict.formats import FORMATS, exact
from extract.verdict.reading import Form, compiled_validator
from extract.verdict.reference import CLASSES, Session, TooManyStepsError, draft_of

MAX_ISSUES = 100  # of one answer; more tell nothing new
_UNEXPLAINED = "the value does not fit its schema; where takes too long to say"


class Verdict:
    """Judges instances by one schema; built once, used from any thread.

    The schema's `$schema` names the draft (04, 06, 07, 2019-09, 2020-12; without one 2020-12). `documents` are other
    schemas by address, for `$ref`; nothing is ever fetched. With `formats` the formats date, time and date-time are
    judged, else all formats are annotations.

    SchemaError, with the path in the schema: it breaks its meta-schema, a `$ref` leads nowhere or in a circle, a
    pattern is none or needs what the local engine lacks (atomic groups, conditions on groups, 20,000 characters), it is
    too deep or too big.
    """

    def __init__(
        self,
        schema: Mapping[str, Any] | bool,
        documents: Mapping[str, Mapping[str, Any] | bool] | None = None,
        *,
        formats: bool = False,
    ) -> None:
        form = Form(draft_of(schema), formats)
        whole = form.read(schema)
        others = {address: form.read(document) for address, document in (documents or {}).items()}
        fast = compiled_validator(form, whole, others)  # first, since it refuses what is no schema
        self.routed = form.features  # why jsonschema judges alone; empty for nearly every schema
        self._formats = FORMATS if formats else {}
        self._matchers: dict[str, Callable[[str], bool]] = {}
        registry = META_SCHEMAS.with_resources((address, form.resource(each)) for address, each in others.items())
        resolver = registry.resolver_with_root(form.resource(whole))
        refuse_circles(Part(whole, resolver, None), form)
        if isinstance(fast, SchemaError):
            raise fast
        self._fast = fast
        self._slow = CLASSES[form.draft](whole, registry=registry, _resolver=resolver)

    def accepts(self, instance: Any) -> bool:
        """Whether the instance fits."""
        return self._passes(instance) or not self._errors(instance, 1)

    def issues(self, instance: Any, limit: int = MAX_ISSUES) -> list[Issue]:
        """What does not fit, in order of place; empty for a valid instance."""
        if self._passes(instance):
            return []
        errors = sorted(self._errors(instance, limit), key=lambda error: _order(error.path))
        return [_issue(error) for error in errors]

    def _passes(self, instance: Any) -> bool:
        if self.routed:
            return False
        try:
            return self._fast.is_valid(instance)
        except ValueError:  # no JSON: a lone surrogate, a key that is no text
            return False

    def _errors(self, instance: Any, limit: int) -> list[Violation]:
        plain = exact(instance)
        session = Session(self._matches, self._formats, bool(self.routed), plain)
        found: list[Violation] = []
        try:
            for error in islice(self._slow.evolve(format_checker=session).iter_errors(plain), limit):
                found.append(error)  # one by one: those found before an end stay
        except (TooManyStepsError, RecursionError, Unresolvable):
            if not found and not self._fast.is_valid(plain):
                found.append(Violation(_UNEXPLAINED, validator="unexplained", instance=instance))
        return found

    def _matches(self, pattern: str, text: str) -> bool:
        found = self._matchers.get(pattern)
        if found is None:
            found = self._matchers[pattern] = matcher(portable(pattern))
        try:
            return found(text)
        except UnicodeEncodeError:  # half of a surrogate pair
            return False


def _order(path: Iterable[int | str]) -> list[tuple[bool, int | str]]:
    """Items of a list by number: the 2nd before the 10th."""
    return [(isinstance(step, str), step) for step in path]


def _issue(error: Violation) -> Issue:
    return Issue("schema", f"schema.{error.validator}", error.json_path, error.message[:500], short(error.instance))
