"""Checks over the finished table of a run: `Pipeline(table_checks=[checks.tables.unique("invoice_no")])`.

They are made when every record has its outcome, over the rows that passed. What they find is in the report and in the
manifest; it hinders no table from being put in place.
"""

from extract.checks.tables.finding import TableCheck, TableFinding, Verdict, culprits, refuse_table_checks
from extract.checks.tables.frames import pandera
from extract.checks.tables.keys import foreign_key, unique
from extract.checks.tables.rows import Culprit, Place, TableRows
from extract.checks.tables.shift import shift
from extract.checks.tables.totals import total

__all__ = [
    "Culprit",
    "Place",
    "TableCheck",
    "TableFinding",
    "TableRows",
    "Verdict",
    "culprits",
    "foreign_key",
    "pandera",
    "refuse_table_checks",
    "shift",
    "total",
    "unique",
]
