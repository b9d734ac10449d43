"""The wire: one attempt per call, errors as types."""

from extract.client.coding import PLAIN, read_bytes
from extract.client.exchange import Client, auth_headers
from extract.client.pool import DirectTransport
from extract.client.reading import completion_from
from extract.client.reqwest import reqwest_transport
from extract.client.transport import default_transport

__all__ = [
    "PLAIN",
    "Client",
    "DirectTransport",
    "auth_headers",
    "completion_from",
    "default_transport",
    "read_bytes",
    "reqwest_transport",
]
