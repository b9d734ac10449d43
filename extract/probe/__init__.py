"""What an endpoint really does: small paid questions, each with an answer that only obedience gives."""

from extract.probe.asking import probe, settle
from extract.probe.cache import recall, recalled, remember
from extract.probe.findings import Finding, ProbeReport
from extract.probe.questions import MOST, planned

__all__ = ["MOST", "Finding", "ProbeReport", "planned", "probe", "recall", "recalled", "remember", "settle"]
