"""Digests of what is stored, so that a bit that turned over on the disk is seen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

_SEAL, _OLD_SEAL = 16, 8  # bytes of a digest; those of format 1 told only of the body


def seal(request: str, kind: str, status: int | None, attempts: int, message: str | None, body: bytes) -> bytes:
    """A digest of all that is read back, so that a bit that turned over is seen wherever it stands."""
    head = f"{request}\0{kind}\0{status}\0{attempts}\0{message!r}\0"
    return hashlib.blake2b(head.encode() + body, digest_size=_SEAL).digest()


def is_sealed(request: str, stored: Sequence[Any], digest: object) -> bool:
    """Whether kind, status, attempts, message and body are as they were stored."""
    body = stored[-1]
    if not isinstance(body, bytes) or not isinstance(digest, bytes):
        return False
    if len(digest) == _OLD_SEAL:
        return hashlib.blake2b(body, digest_size=_OLD_SEAL).digest() == digest
    return seal(request, *stored) == digest


def is_sealed_note(request: str, kind: str, body: object, digest: object) -> bool:
    """Whether a note is as it was stored; those of format 1 have no digest."""
    if not isinstance(body, bytes):
        return False
    return digest is None or digest == seal(request, kind, None, 0, None, body)
