"""The wire: one attempt per call, dialects as data, errors as types."""

from extract.client.dialects import DIALECTS, DialectRules
from extract.client.exchange import Client, completion_from

__all__ = ["DIALECTS", "Client", "DialectRules", "completion_from"]
