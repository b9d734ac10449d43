"""The wire: one attempt per call, errors as types."""

from extract.client.exchange import Client, completion_from

__all__ = ["Client", "completion_from"]
