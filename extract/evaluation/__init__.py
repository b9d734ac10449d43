"""Tables against gold, two runs against each other, and a sample for people to label."""

from extract.evaluation.difference import Difference, diff
from extract.evaluation.sample import Sample, draw_sample
from extract.evaluation.scoring import Evaluation, evaluate

__all__ = ["Difference", "Evaluation", "Sample", "diff", "draw_sample", "evaluate"]
