"""Where a source supports a value: finders over one text, and what they find."""

from extract.evidence.finder import NEAR, Finder, finder_of, has_writing
from extract.evidence.mark import EVIDENCE, Evidence, Unsupported
from extract.evidence.support import How, Support

__all__ = [
    "EVIDENCE",
    "NEAR",
    "Evidence",
    "Finder",
    "How",
    "Support",
    "Unsupported",
    "finder_of",
    "has_writing",
]
