"""Where a source supports a value: finders over one text, and what they find."""

from extract.evidence.finder import NEAR, Finder, finder_of, has_writing
from extract.evidence.support import How, Support

__all__ = ["NEAR", "Finder", "How", "Support", "finder_of", "has_writing"]
