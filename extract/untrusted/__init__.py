"""Content that nobody vouches for: told apart from instructions by lines around it, and looked through for tricks."""

from extract.untrusted.fences import ABOUT_DATA, ABOUT_FILES, fenced, unheld
from extract.untrusted.look import KINDS, Finding, in_cells, in_text
from extract.untrusted.policy import Policy, Untrusted

__all__ = [
    "ABOUT_DATA",
    "ABOUT_FILES",
    "KINDS",
    "Finding",
    "Policy",
    "Untrusted",
    "fenced",
    "in_cells",
    "in_text",
    "unheld",
]
