"""What is asked again of an answer that failed: only what is wrong, within a budget; then of the next model."""

from extract.repair.allowance import Allowance
from extract.repair.plan import Plan, Planner
from extract.repair.rounds import Tier, Workshop

__all__ = ["Allowance", "Plan", "Planner", "Tier", "Workshop"]
