"""Whether JSON fits its schema: a compiled validator decides, `jsonschema` writes the messages.

The two agree, since both are given the same numbers (Decimals, exact), the same patterns (extract.patterns) and the
same formats. Where they read the standard differently, `jsonschema` has the last word: what the compiled validator
refuses it judges again, and a schema with a feature of `ROUTED` it judges alone.
"""

from extract.verdict.judge import MAX_ISSUES, Verdict
from extract.verdict.reading import MAX_DEPTH
from extract.verdict.words import ROUTED

__all__ = ["MAX_DEPTH", "MAX_ISSUES", "ROUTED", "Verdict"]
