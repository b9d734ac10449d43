"""Where a source supports a value: finders over one text, and what they find."""

from extract.evidence.entries import Wanted
from extract.evidence.finder import NEAR, Finder, finder_of, has_writing
from extract.evidence.items import located
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
    "Wanted",
    "finder_of",
    "has_writing",
    "located",
]
