"""Quarantined records of a finished run are asked again, and their new answers take the place of the old ones."""

from extract.redriving.asking import ApprovePlan, Wanted
from extract.redriving.front import Redriven, aredrive, planned, redrive
from extract.redriving.plans import Plan

__all__ = ["ApprovePlan", "Plan", "Redriven", "Wanted", "aredrive", "planned", "redrive"]
