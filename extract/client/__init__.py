"""The wire: one attempt per call, errors as types."""

from extract.client.coding import PLAIN, read_bytes
from extract.client.exchange import Client, auth_headers
from extract.client.reading import completion_from
from extract.client.transport import default_transport

__all__ = ["PLAIN", "Client", "auth_headers", "completion_from", "default_transport", "read_bytes"]
