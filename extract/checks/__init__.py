"""Ready semantic checks, and the rule for your own; `tables` has checks over whole tables.

A check is any function `(value, record) -> issues`: the model instance, the source record, and in return nothing,
a message, an `Issue`, or several of these. A message gets the code `semantic.<name of the function>`.

A ready check has a `severity`: "reject" puts the record into the quarantine, "repair" does so once asking again has not
helped, "warn" only flags the row.
"""

from extract.checks.base import Check, FieldCheck, Finding, name_of, run_check
from extract.checks.codes import checksum, currency, unit
from extract.checks.faults import BrokenCheck, Faults
from extract.checks.figures import before, between, not_after, sums_to
from extract.checks.lists import required_if, unique_items
from extract.checks.reference import one_of_table
from extract.checks.sources import grounded, labelled, matches_column, one_of_column, verbatim
from extract.checks.text import language, matches

__all__ = [
    "BrokenCheck",
    "Check",
    "Faults",
    "FieldCheck",
    "Finding",
    "before",
    "between",
    "checksum",
    "currency",
    "grounded",
    "labelled",
    "language",
    "matches",
    "matches_column",
    "name_of",
    "not_after",
    "one_of_column",
    "one_of_table",
    "required_if",
    "run_check",
    "sums_to",
    "unique_items",
    "unit",
    "verbatim",
]
