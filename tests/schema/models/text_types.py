"""Types that JSON writes as text."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import UUID4, AnyUrl, Base64Bytes, BaseModel, EmailStr, Field, HttpUrl, StringConstraints

from schema.models.case import Case


class Formats(BaseModel):
    """Text with a format."""

    id: UUID
    fourth: UUID4
    url: AnyUrl
    page: HttpUrl = Field(description="Of the web")
    mail: EmailStr
    host: IPv4Address
    host6: IPv6Address
    path: Path


class Optional(BaseModel):
    """The same, where they may be missing, and inside."""

    id: UUID | None
    page: HttpUrl | None = None
    hosts: list[IPv4Address]
    mails: dict[str, EmailStr]
    ids: set[UUID]


class Bytes(BaseModel):
    """Bytes are Base64 on the wire."""

    raw: bytes
    maybe: bytes | None
    encoded: Base64Bytes
    many: list[bytes]
    sized: bytes = Field(min_length=1, max_length=8)


Code = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}-[0-9]{3}$")]


class Limited(BaseModel):
    """Text with bounds."""

    short: str = Field(max_length=5)
    some: str = Field(min_length=2, max_length=4, description="Two to four")
    code: Code
    codes: list[Code]
    maybe: Code | None = None
    word: Annotated[str, StringConstraints(min_length=1, max_length=10, pattern=r"^[a-z]+$")]


MODELS = [
    Case("text_formats", Formats),
    Case("text_formats_optional", Optional),
    Case("text_bytes", Bytes),
    Case("text_limited", Limited),
]
