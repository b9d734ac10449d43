"""Edits by hand: the file that people fill in, what of it is read back, and what is wrong with it."""

from extract.edits.bench import Bench, Intended, answer_in
from extract.edits.form import Draft, Edit, EditForm
from extract.edits.problems import Problem

__all__ = ["Bench", "Draft", "Edit", "EditForm", "Intended", "Problem", "answer_in"]
