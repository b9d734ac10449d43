"""A type compiled once: the schema that goes on the wire, the full one that judges, and what lies between.

On the wire every object is closed and every field required, in the order of the model; an optional field may be null.
What the profile cannot carry is listed in `losses` and is enforced locally all the same, since the full schema and the
model judge every answer; what it can only carry in another form is read back exactly.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from extract.errors import SchemaError
from extract.fingerprint import source_of, source_of_model, without_addresses
from extract.schema.cells import Tabulator
from extract.schema.core import TypeReading
from extract.schema.fits import fits_json, fits_type
from extract.schema.forms import Properties, Reading
from extract.schema.losses import RUNGS, Action, Loss
from extract.schema.misfit import Misfit
from extract.schema.nodes import json_text, with_null_types, without
from extract.schema.options import Decimals, Enums, Options
from extract.schema.profiles import PROFILES, Profile
from extract.schema.raw import RawReading, read_raw, verdict_of_raw
from extract.schema.rows import input_of
from extract.schema.shapes import Field, JsonSchema, Shape, bindings
from extract.schema.size import SchemaSize, size_of, warnings_of
from extract.schema.types import read_type
from extract.schema.wire import Writer
from extract.schema.wrapping import WRAPPED, is_compilable, name_of, wrapped_schema, wrapped_type
from extract.verdict import Verdict

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["A", "B", "C"]


@dataclass(frozen=True)
class CompiledSchema:
    """A type as the endpoint, the judge and the table need it."""

    model: Any  # as it was given
    options: Options
    json_schema: JsonSchema  # full; judges every answer, in the draft that it names (without one 2020-12)
    wire_schema: JsonSchema  # what the profile carries
    losses: tuple[Loss, ...]
    shape: Shape
    form: Properties = field(repr=False)  # how an answer is written and read back
    fits: Callable[[Shape, Any], bool] = field(repr=False)  # whether a value is of a part of the shape
    verdict: Verdict = field(repr=False)  # the judge of answers by the full schema
    reading: TypeReading | None = field(repr=False)  # None for a raw JSON Schema, whose instances are plain JSON
    wrapped: bool = False  # the type is no object: it stands in a field `value`

    @property
    def profile(self) -> Profile:
        return self.options.profile

    @cached_property
    def name(self) -> str:
        """The schema's name on the wire: letters, digits, "_" and "-", at most 64."""
        return re.sub(r"[^A-Za-z0-9_-]", "_", name_of(self.model))[:64]

    @property
    def response_format(self) -> JsonSchema:
        """Form C, the one that gateways pass on to the model as a schema."""
        return self.response_format_as("C")

    def response_format_as(self, form: Form, wire_schema: JsonSchema | None = None) -> JsonSchema:
        """`response_format` in one of its written forms, of this schema or of a record's own `wire_schema`.

        A: {"type": "json_schema", "properties": …}; B: the bare schema, {"type": "object", …};
        C: {"type": "json_schema", "json_schema": {"name", "strict", "schema"}}.
        """
        schema = self.wire_schema if wire_schema is None else wire_schema
        if form == "A":
            return {"type": "json_schema"} | without(schema, "type")
        if form == "B":
            return schema
        return {"type": "json_schema", "json_schema": {"name": self.name, "strict": True, "schema": schema}}

    @cached_property
    def bindings(self) -> tuple[tuple[tuple[str, ...], Shape], ...]:
        """Fields marked `Verbatim`: path on the wire ("*" for list items) and shape."""
        return tuple(bindings(self.shape))

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The columns of the table, field by field, with descriptions as metadata."""
        from extract.schema.arrow import arrow_schema  # pyarrow is heavy and not needed to compile

        return arrow_schema(self.shape)

    @cached_property
    def size(self) -> SchemaSize:
        """How big the schema is on the wire."""
        return size_of(self.wire_schema)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the endpoint may refuse the schema, as far as that can be told before paying."""
        return tuple(warnings_of(self.size, {}, automaton=PROFILES[self.profile].automaton))

    @cached_property
    def fingerprint(self) -> str:
        """Changes when the schema, a default or a validator of the model changes."""
        digest = hashlib.blake2b(json_text([self.json_schema, self.wire_schema]).encode(), digest_size=16)
        digest.update(repr(self.options).encode())
        if self.reading:
            digest.update(source_of_model(self.model).encode())
        digest.update(without_addresses(repr([(path, shape.verbatim) for path, shape in self.bindings])).encode())
        for _, shape in self.bindings:
            if shape.verbatim and callable(shape.verbatim.kind):
                digest.update(source_of(shape.verbatim.kind).encode())
        return digest.hexdigest()

    def answer_form(self, instance: Any) -> JsonSchema:
        """What an endpoint would answer for an instance: JSON that obeys `wire_schema`, Decimals as such.

        Raises ValueError for what the wire has no place for (a float that is not finite, a recursion that is too deep).
        """
        try:
            found: JsonSchema = self.form.to_wire(self._wrap(instance))
        except (AttributeError, TypeError, KeyError) as error:
            raise ValueError(f"this is no instance of the schema: {error}") from error
        if self.reading is None:
            self._refuse_other(found)
        return found

    def _refuse_other(self, answer: JsonSchema) -> None:
        """Plain JSON may be of any type; what the wire has no form for must not pass for something else."""
        for issue in self._wire_verdict.issues(answer, 1):
            raise ValueError(f"the wire has no form for it: {issue.path}: {issue.message}")

    @cached_property
    def _wire_verdict(self) -> Verdict:
        return Verdict(with_null_types(self.wire_schema))

    def restore(self, answer: Any, context: Any = None) -> Any:
        """The instance that an answer stands for: the inverse of `answer_form`.

        `context` is handed to the model's validators. Raises ValueError; what a raw schema or a bound field asks for is
        only judged in a run.
        """
        reading = Reading()
        found = self.form.from_wire(answer, "$", reading)
        if reading.issues:
            issue = reading.issues[0]
            raise ValueError(f"{issue.path}: {issue.message}")
        return self.unwrapped(self.instance(found, reading, context))

    @cached_property
    def is_plain(self) -> bool:
        """Whether what the model takes is an answer as it stands."""
        return self.form.plain and not self.form.live

    def instance(self, found: Any, reading: Reading | None = None, context: Any = None) -> Any:
        """The model instance of JSON that was read back, with the `reading` unless it `is_plain`; raises Misfit."""
        if self.reading is None:
            return found
        if self.form.live:
            reading = reading or Reading()
            reading.context = context
            found = self.form.hydrate(found, "$", reading)
            if reading.errors:
                raise Misfit(reading.errors)
        try:
            return self.reading.validate(found, context)
        except ValidationError as error:
            raise Misfit([("$", error)]) from None

    def unwrapped(self, instance: Any) -> Any:
        """What the user's type is: the value itself where it is no object."""
        if not self.wrapped:
            return instance
        return instance[WRAPPED] if self.reading is None else instance.value

    def row_of(self, instance: Any) -> dict[str, Any]:
        """An instance as the cells of a row of `arrow_schema`. Raises ValueError for what no column can hold."""
        cells, issues, _ = self.tabulator(self._wrap(instance))
        if issues:
            raise ValueError(f"{issues[0].path}: {issues[0].message}")
        return cells

    @cached_property
    def tabulator(self) -> Tabulator:
        """What makes rows of instances (of the object around the value, where the type is none)."""
        return Tabulator(self.shape, self.fits)

    def instance_of(self, row: Mapping[str, Any]) -> Any:
        """The instance that a row stands for: the inverse of `row_of`, for cells as Arrow's `to_pylist` gives them.

        A table knows no key that is not there: of a TypedDict's `NotRequired[X | None]`, null comes back as absent.
        Raises ValueError where the row does not say it all (an excluded field without default).
        """
        found = input_of(self.shape, row, self._validated)
        if self.reading is None:
            return self.unwrapped(found)
        return self.unwrapped(self.reading.validate(found))

    def relaxed(self) -> CompiledSchema | None:
        """The schema one rung further down `RUNGS`, the first that changes the wire; None when there is none."""
        for rung in range(self.options.relax + 1, len(RUNGS) + 1):
            found = compile_schema(self.model, **(asdict(self.options) | {"relax": rung}))
            if found.wire_schema != self.wire_schema:
                return found
        return None

    @property
    def rungs(self) -> tuple[str, ...]:
        """What was given up so far."""
        return RUNGS[: self.options.relax]

    def part(self, names: Sequence[str], wires: Sequence[str]) -> CompiledSchema:
        """The schema of some of the top-level fields, by their names in Python, and of these properties on the wire."""
        fields = tuple(item for item in self.shape.fields if item.name in names)
        wire = dict(self.wire_schema)
        for key in ("properties", "required", "propertyOrdering"):
            if key in wire:
                kept = [name for name in wire[key] if name in wires]
                wire[key] = {name: wire[key][name] for name in kept} if key == "properties" else kept
        return replace(self, wire_schema=wire, shape=replace(self.shape, fields=fields))

    def _wrap(self, instance: Any) -> Any:
        if not self.wrapped:
            return instance
        return {WRAPPED: instance} if self.reading is None else SimpleNamespace(value=instance)

    def _validated(self, shape: Shape, value: Any) -> Any:
        return value if self.reading is None else self.reading.validate_part(shape)(value, None)


def compile_schema(
    model: Any,
    profile: Profile = "gemini",
    *,
    unroll: int = 0,
    relax: int = 0,
    decimals: Decimals = "number",
    enums: Enums = "value",
) -> CompiledSchema:
    """Compile a type for an endpoint profile.

    model: a Pydantic model, dataclass, TypedDict, Enum, Literal, list[Model], scalar, or a JSON Schema as a dict. What
        is no object is asked for in a field `value`, which `restore` takes out again.
    unroll: levels to which a recursive type is unrolled; 0 refuses it.
    relax: how many of `RUNGS` are given up on the wire.
    decimals: a Decimal is a "number" or a "string" on the wire. enums: an Enum goes by "value" or by "name".

    Raises SchemaError that names the path, and what to do, when something cannot be expressed.
    """
    options = Options(profile, unroll, relax, decimals, enums)
    options.check()
    try:
        compiled = _compile_raw(model, options) if isinstance(model, Mapping) else _compile_type(model, options)
        _check_limits(compiled)
    except SchemaError as error:
        raise error.for_profile(profile) from error.__cause__
    except RecursionError:
        hint = "a table has a few levels, not hundreds"
        raise SchemaError("nested too deeply", path="$", hint=hint, profile=profile) from None
    return compiled


def _compile_type(model: Any, options: Options) -> CompiledSchema:
    if not is_compilable(model):
        raise SchemaError(
            f"a type or a JSON Schema is needed, got a {type(model).__name__}",
            hint="a Pydantic model, or a dict with a schema",
        )
    reading = read_type(model, options.unroll)
    wrapped = reading.shape.kind != "object" or reading.shape.nullable
    if wrapped:
        reading = read_type(wrapped_type(model), options.unroll)
    fits = partial(fits_type, {}, reading)
    writer = _writer(options, reading.validate_part, fits)
    form = writer.whole(reading.shape)
    return CompiledSchema(
        model,
        options,
        json_schema=reading.shape.schema,
        wire_schema=form.schema,
        losses=tuple(writer.losses),
        shape=reading.shape,
        form=form,
        fits=fits,
        verdict=Verdict(reading.shape.schema, formats=True),
        reading=reading,
        wrapped=wrapped,
    )


def _compile_raw(model: Mapping[str, Any], options: Options) -> CompiledSchema:
    schema = dict(model)
    verdict = verdict_of_raw(schema, options.unroll)
    reading = read_raw(schema, options.unroll)
    shape, wrapped = reading.shape, reading.shape.kind != "object" or reading.shape.nullable
    if wrapped:
        schema = wrapped_schema(schema)
        verdict = Verdict(schema, formats=True)
        shape = Shape("object", schema, fields=(Field(WRAPPED, WRAPPED, reading.shape),), python=dict)
    fits = partial(fits_json, {}, dict(model))
    writer = _writer(options, lambda _: lambda value, _: value, fits)
    form = writer.whole(shape)
    _note_losses(writer, reading, f"$.{WRAPPED}" if wrapped else "$")
    return CompiledSchema(
        model,
        options,
        json_schema=schema,
        wire_schema=form.schema,
        losses=tuple(writer.losses),
        shape=shape,
        form=form,
        fits=fits,
        verdict=verdict,
        reading=None,
        wrapped=wrapped,
    )


def _note_losses(writer: Writer, reading: RawReading, root: str) -> None:
    """What the tree of a raw schema does not follow."""
    for path in reading.cuts:
        writer.lose(root + path[1:], "$ref", "rewritten", None, "to JSON text: the recursion is cut off here")
    for path, keyword in reading.notes:
        writer.lose(root + path[1:], keyword, *_NOTES.get(keyword, ("checked locally", None, "")))


_NOTES: Mapping[str, tuple[Action, Any, str]] = {
    "depth": ("rewritten", None, "to JSON text: the schema is too large to write out"),
    "type": ("rewritten", None, "to the only type that its keywords speak of"),
}


def _writer(
    options: Options, validate: Callable[[Shape], Callable[[Any, Any], Any]], fits: Callable[[Shape, Any], bool]
) -> Writer:
    return Writer(PROFILES[options.profile], options.decimals, options.enums, options.relax, validate, fits)


def _check_limits(compiled: CompiledSchema) -> None:
    """Published limits are refused before anything is paid."""
    found = list(warnings_of(compiled.size, PROFILES[compiled.profile].limits, automaton=False))
    if found:
        raise SchemaError(
            f"the profile {compiled.profile!r} does not take this schema: {found[0]}",
            path="$",
            hint="make it smaller, or ask for its fields in several requests: split_fields",
        )
