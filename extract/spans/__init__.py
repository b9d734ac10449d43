"""Spans of a text that could be a value: amounts, numbers, dates, lines, names; and how they read.

Every finder returns exact substrings in order of appearance. Regular expressions here have bounded repeats and none
inside another, so a finder takes time linear in the text, whatever the text holds.
"""

from extract.spans.dates import date_spans, parse_date
from extract.spans.numbers import money_spans, number_spans, parse_number
from extract.spans.span import Span
from extract.spans.words import labelled, line_spans, name_spans

__all__ = [
    "Span",
    "date_spans",
    "labelled",
    "line_spans",
    "money_spans",
    "name_spans",
    "number_spans",
    "parse_date",
    "parse_number",
]
