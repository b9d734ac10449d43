"""Documents about people."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, EmailStr, Field, HttpUrl

from schema.models.case import documents

Phone = Annotated[str, Field(pattern=r"^\+[0-9]{6,15}$", description="International form, digits only")]


class Period(BaseModel):
    """From when to when; an open end is null."""

    start: dt.date
    end: dt.date | None


class Job(BaseModel):
    """A position held."""

    employer: str
    title: str
    period: Period
    achievements: list[str] = Field(default_factory=list, max_length=20)


class Degree(BaseModel):
    institution: str
    degree: str = Field(description="Such as BSc or PhD")
    field: str | None
    year: int | None = Field(ge=1900, le=2100)


class Level(StrEnum):
    """Command of a language."""

    BASIC = "basic"
    GOOD = "good"
    FLUENT = "fluent"
    NATIVE = "native"


class Spoken(BaseModel):
    language: str
    level: Level


class Resume(BaseModel):
    """A curriculum vitae."""

    name: str = Field(description="Full name, as written")
    email: EmailStr | None
    phone: Phone | None = None
    links: list[HttpUrl] = Field(default_factory=list)
    summary: str | None = None
    jobs: list[Job] = Field(description="Latest first")
    education: list[Degree]
    languages: list[Spoken]
    skills: list[str] = Field(max_length=50)
    driving_licence: bool | None = None


class Contact(BaseModel):
    """An entry of an address book."""

    first_name: str
    last_name: str | None
    emails: list[EmailStr]
    phones: dict[Literal["home", "work", "mobile"], Phone]
    birthday: dt.date | None = None
    favourite: bool = False


class BusinessCard(BaseModel):
    """A printed card."""

    name: str
    position: str | None
    company: str | None
    email: EmailStr | None
    website: HttpUrl | None
    address_lines: list[str] = Field(max_length=5)


class LifeEvent(BaseModel):
    year: int
    what: str
    where: str | None = None
    certain: bool = True


class Biography(BaseModel):
    """The life of a person."""

    name: str
    also_known_as: list[str]
    born: dt.date | int | None = Field(description="The day, or only the year")
    died: dt.date | int | None
    occupations: list[str]
    events: list[LifeEvent]


class Obituary(BaseModel):
    """A notice of a death."""

    name: str
    age: int | None = Field(ge=0, le=130)
    died: dt.date
    survivors: list[str]
    service_at: dt.datetime | None
    donations_to: str | None


class IdentityDocument(BaseModel):
    """A passport or an identity card."""

    kind: Literal["passport", "identity card", "residence permit"]
    number: str = Field(pattern=r"^[A-Z0-9]{6,12}$")
    surname: str
    given_names: list[str] = Field(min_length=1)
    sex: Literal["F", "M", "X"] | None
    born: dt.date
    issued: dt.date
    expires: dt.date
    authority: str


class Member(BaseModel):
    number: int = Field(gt=0)
    name: str
    since: dt.date
    role: Literal["member", "board", "honorary"] = "member"


class MemberDirectory(BaseModel):
    """The members of a club."""

    club: str
    as_of: dt.date
    members: list[Member]


class Guest(BaseModel):
    name: str
    diet: set[Literal["vegetarian", "vegan", "halal", "kosher", "gluten-free"]] = Field(default_factory=set)
    plus_one: bool = False


class Invitation(BaseModel):
    """To a feast, with those who are asked."""

    occasion: str
    at: dt.datetime
    place: str
    answer_by: dt.date | None
    guests: list[Guest]


MODELS = documents(Resume, Contact, BusinessCard, Biography, Obituary, IdentityDocument, MemberDirectory, Invitation)
