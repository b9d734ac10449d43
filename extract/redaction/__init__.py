"""Values that are not to leave this machine: masked in what is asked, put back into what is answered."""

from extract.redaction.masks import Masks, Redactor, redactor_of
from extract.redaction.placeholders import ABOUT_PLACEHOLDERS
from extract.redaction.room import with_room

__all__ = ["ABOUT_PLACEHOLDERS", "Masks", "Redactor", "redactor_of", "with_room"]
