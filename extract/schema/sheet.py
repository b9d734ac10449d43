"""A compiled schema as a person reads it, and as JSON: what goes on the wire, what is lost, how big it is."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from extract.schema.compile import CompiledSchema, Form
from extract.schema.profiles import PROFILES

_FORMS = {
    "A": '{"type": "json_schema", …the schema without its type}',
    "B": "the schema as it is",
    "C": '{{"type": "json_schema", "json_schema": {{"name": "{name}", "strict": true, "schema": …}}}}',
}


def sheet(compiled: CompiledSchema) -> str:
    """Wire schema, losses, size, forms and columns, each under a heading."""
    losses = [f"  {loss}" for loss in compiled.losses]
    parts = {
        "On the wire:": json.dumps(compiled.wire_schema, indent=2, ensure_ascii=False, default=str),
        f"What the profile {compiled.profile!r} does not carry ({len(losses)}):": "\n".join(losses) or "  nothing",
        "Size:": "\n".join(_size(compiled)),
        "Forms of response_format (--form A, B or C prints one whole):": "\n".join(
            f"  {form}  {text.format(name=compiled.name) if form == 'C' else text}" for form, text in _FORMS.items()
        ),
        "Columns of the table:": "\n".join(f"  {name}: {kind}" for name, kind in columns(compiled).items()),
    }
    return "\n\n".join(f"{heading}\n{text}" for heading, text in parts.items())


def facts(compiled: CompiledSchema, form: Form = "C") -> dict[str, Any]:
    """The same for programs."""
    return {
        "profile": compiled.profile,
        "wire_schema": compiled.wire_schema,
        "json_schema": compiled.json_schema,
        "losses": [asdict(loss) for loss in compiled.losses],
        "size": asdict(compiled.size),
        "limits": dict(PROFILES[compiled.profile].limits),
        "warnings": list(compiled.warnings),
        "response_format": compiled.response_format_as(form),
        "columns": columns(compiled),
    }


def columns(compiled: CompiledSchema) -> dict[str, str]:
    """Column → its Arrow type."""
    return {field.name: f"{field.type}{'' if field.nullable else ' not null'}" for field in compiled.arrow_schema}


def _size(compiled: CompiledSchema) -> list[str]:
    limits = PROFILES[compiled.profile].limits
    lines = []
    for name, value in asdict(compiled.size).items():
        limit = f" of {limits[name]:,}" if name in limits else ""
        lines.append(f"  {name.replace('_', ' ')}: {value:,}{limit}")
    return lines + [f"  warning: {warning}" for warning in compiled.warnings]
