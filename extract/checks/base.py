"""What a check is, how its findings become issues, and what it says of itself before a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

from extract.checks.paths import ROOT, resolve
from extract.errors import ConfigError
from extract.nearest import did_you_mean
from extract.records import Issue, Record, Severity, short

if TYPE_CHECKING:
    from extract.schema.shapes import Shape

Finding = str | Issue
Check = Callable[[Any, Record], Finding | Iterable[Finding] | None]
Kinds = tuple[frozenset[str], ...]  # families of kinds of shapes; all fields of a check are of one family

MAX_FINDINGS = 100  # of one check about one record; what is more is not looked for
MAX_LOOKED_AT = 10_000  # findings of one check that are looked through where none may be missed
LONGEST = 100  # characters of a value in a message
HUGE = 10_000  # bits of a whole number that is not written out

NUMBERS = frozenset({"int", "float", "decimal"})
DAYS = frozenset({"date", "datetime"})
TEXTS = frozenset({"str", "text"})
ORDERED: Kinds = (NUMBERS, DAYS, frozenset({"time"}), frozenset({"timedelta"}))
OPEN = frozenset({"json", "null"})  # anything may stand there


@dataclass(frozen=True)
class FieldCheck:
    """A ready check: `fields` and `columns` are what it reads, so that a misspelt one is refused before any call.

    settings: what else decides, for the fingerprint. kinds: what its fields may be, empty for anything. prepare: looks
    at what else it needs before the first request, such as a file; raises ConfigError.
    """

    code: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    judge: Callable[[Any, Record], Iterator[Issue]]
    settings: tuple[Any, ...] = ()
    severity: Severity = "reject"
    kinds: Kinds = ()
    prepare: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        refuse_severity(self.code, self.severity)
        for field in self.fields:
            if not isinstance(field, str) or not all(field.split(".")):
                raise ConfigError(f"the check {self.code} names a field {field!r}", hint="a path such as lines.amount")
        for column in self.columns:
            if not isinstance(column, str):
                raise ConfigError(f"the check {self.code} names a column {column!r}", hint="the name of a column")

    def __call__(self, value: Any, record: Record) -> list[Issue]:
        return list(islice(self.judge(value, record), MAX_FINDINGS))

    @property
    def settled(self) -> tuple[Any, ...]:
        """All that decides what it finds, for the fingerprint."""
        return self.code, self.severity, self.fields, self.columns, self.settings

    def refuse(self, shape: Shape, columns: Sequence[str]) -> None:
        """Refuse fields and columns that are not there, or that it can make nothing of. Raises ConfigError."""
        refuse_fields(self.code, self.fields, shape, self.kinds)
        for name in self.columns:
            if name not in columns:
                raise ConfigError(
                    f"the check {self.code} reads a column {name!r} that the source has not",
                    hint=did_you_mean(name, columns),
                )
        if self.prepare is not None:
            self.prepare()


def refuse_checks(given: Any) -> None:
    """Refuse what is no list of checks. Raises ConfigError."""
    if callable(given) or isinstance(given, str) or not isinstance(given, Sequence):
        shown = named(given) if callable(given) else repr(given)[:200]
        raise ConfigError(f"checks is {shown}, not a list", hint="checks=[…], with the checks of a record in it")


def named(check: Any) -> str:
    """A check in a message: its code, and what it reads."""
    fields = getattr(check, "fields", ())
    called = name_of(check)
    return f"the check {called} of {', '.join(map(str, fields))}" if fields else f"the check {called}"


def refuse_severity(code: str, severity: Any) -> None:
    """Raises ConfigError."""
    if severity not in get_args(Severity):
        raise ConfigError(
            f"the check {code} has the severity {severity!r}", hint=f"one of {', '.join(get_args(Severity))}"
        )


def refuse_fields(check: str, fields: Sequence[str], shape: Shape, kinds: Kinds, *, tables: bool = False) -> None:
    """Refuse paths that name nothing, or nothing of these kinds. Raises ConfigError."""
    families = [set(range(len(kinds))) for _ in fields]
    for field, family in zip(fields, families, strict=True):
        leaves = resolve(check, field, shape, tables=tables)
        found = {kind for leaf in leaves for kind in _kinds_of(leaf)}
        if kinds and not found & OPEN:
            family &= {number for number, kind in enumerate(kinds) if found & kind}
            if not family:
                wanted = " or ".join(sorted(name for kind in kinds for name in kind))
                raise ConfigError(f"the check {check} takes {wanted}, and {field} is {' or '.join(sorted(found))}")
    if kinds and families and not set.intersection(*families):
        raise ConfigError(f"the check {check} cannot compare {', '.join(fields)}: they are of different kinds")


def _kinds_of(shape: Shape) -> Iterator[str]:
    """The kind of a scalar; an enum is what its values are."""
    if shape.kind != "enum":
        yield shape.kind
        return
    names = {str: "str", int: "int", float: "float", bool: "bool"}
    yield from (names.get(type(choice.json), "json") for choice in shape.choices)


def issue_of(code: str, severity: Severity) -> Callable[[str, str, Any], Issue]:
    """What makes the issues of one check, from path, message and value."""

    def make(path: str, message: str, value: Any = None) -> Issue:
        return Issue("semantic", code, path, message, _bounded(value), severity)

    return make


def _bounded(value: Any) -> Any:
    """The value as an issue holds it: no longer than can be read, and always one that can be written."""
    if isinstance(value, int) and value.bit_length() > HUGE:
        return shown(value)
    return short(value) if isinstance(value, str) else value


def shown(value: Any) -> str:
    """A value in a message: texts in quotes, long ones cut."""
    if isinstance(value, int) and value.bit_length() > HUGE:
        return f"a whole number of {value.bit_length():,} bits"
    text = repr(value[: LONGEST + 1]) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST + 2 else f"{text[:LONGEST]}…"


def run_check(check: Check, value: Any, record: Record) -> list[Issue]:
    """The findings of one check as issues. What the check raises is the caller's to handle."""
    if isinstance(check, FieldCheck):
        return check(value, record)
    found = check(value, record)
    if found is None:
        return []
    if not isinstance(found, str | Issue | Iterable):  # True and False, mostly
        raise TypeError(f"a check gives nothing, a message, an Issue, or several of these, and not {shown(found)}")
    findings = [found] if isinstance(found, str | Issue) else list(islice(found, MAX_FINDINGS))
    code = f"semantic.{name_of(check)}"
    return [item if isinstance(item, Issue) else Issue("semantic", code, "$", str(item)) for item in findings]


def thorough(check: Check, told: Collection[tuple[str, str]] = ()) -> Check:
    """The same check, of which none but a warning goes unsaid; what was `told`, by code and path, is not said again.

    The gravest findings come first, and a warning about the record as a whole (`$`) stands for those that are left out.
    """
    if isinstance(check, FieldCheck):
        judge, code = check.judge, check.code
        return replace(check, judge=lambda value, record: iter(_gravest(code, judge(value, record), told)))

    def judged(value: Any, record: Record) -> Finding | Iterable[Finding] | None:
        found = check(value, record)
        is_many = isinstance(found, Iterable) and not isinstance(found, str | Issue)
        return _gravest(f"semantic.{name_of(check)}", found, told) if is_many else found  # type: ignore[arg-type]

    judged.__name__ = name_of(check)
    return judged


def _gravest(code: str, found: Iterable[Finding], told: Collection[tuple[str, str]]) -> list[Any]:
    looked = list(islice(found, MAX_LOOKED_AT + 1))
    new = [item for item in looked if not (isinstance(item, Issue) and (item.code, item.path) in told)]
    if len(looked) > MAX_LOOKED_AT:
        return [Issue("semantic", code, ROOT, f"more than {MAX_LOOKED_AT:,} findings")]
    if len(new) <= MAX_FINDINGS:
        return new
    new.sort(key=_mildness)
    left = len(new) - MAX_FINDINGS + 1
    more = Issue("semantic", code, ROOT, f"and {left:,} findings more", severity="warn")
    return [*new[: MAX_FINDINGS - 1], more]


def _mildness(item: Finding) -> int:
    return ("reject", "repair", "warn").index(item.severity) if isinstance(item, Issue) else 0


def name_of(check: Check) -> str:
    """What a check is called: the code of a ready one, else the function's name."""
    if isinstance(check, FieldCheck):
        return check.code
    return str(getattr(check, "__name__", type(check).__name__)).strip("<>")
