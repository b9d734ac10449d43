"""What is asked again of an answer that failed: only what is wrong, within a budget; then of the next model. And what
becomes of what is still wrong then."""

from extract.repair.allowance import Allowance, Ask
from extract.repair.last import refuse_failed
from extract.repair.plan import Plan, Planner
from extract.repair.rounds import Tier, Workshop
from extract.repair.second_look import SecondLooks, by_key

__all__ = ["Allowance", "Ask", "Plan", "Planner", "SecondLooks", "Tier", "Workshop", "by_key", "refuse_failed"]
