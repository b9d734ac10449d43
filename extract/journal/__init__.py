"""Every answer and every attempt, in SQLite, stored before it is judged.

What functions gave back to the model is kept beside the answers, so that a restart does not call them again.
Answers are kept under the hash of the exact request: a restart asks only what has no answer, and a change of checks or
columns re-derives the tables without a call. A thread of its own commits in groups, so that one fsync serves many.
Several runs may share a journal, also at the same time.
"""

from extract.journal.book import Journal
from extract.journal.by_hand import ByHand
from extract.journal.complaints import Charge, Complaint
from extract.journal.entries import COMPLETION, Answer, Totals
from extract.journal.file import APPLICATION, FORMAT
from extract.journal.instead import Instead
from extract.journal.seals import is_sealed
from extract.journal.writer import GROUP, WINDOW

__all__ = [
    "APPLICATION",
    "COMPLETION",
    "FORMAT",
    "GROUP",
    "WINDOW",
    "Answer",
    "ByHand",
    "Charge",
    "Complaint",
    "Instead",
    "Journal",
    "Totals",
    "is_sealed",
]
