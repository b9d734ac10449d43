"""Rows of the quarantine that people have filled in: their file, what is wrong with it, their way into the table."""

from extract.accepting.acceptance import ApproveEdits
from extract.accepting.bench import Intended
from extract.accepting.front import Accepted, accept, write_template
from extract.accepting.problems import Problem

__all__ = ["Accepted", "ApproveEdits", "Intended", "Problem", "accept", "write_template"]
