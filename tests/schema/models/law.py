"""Documents of the law."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents


class Signatory(BaseModel):
    name: str
    capacity: str | None = Field(description="Such as 'Managing Director'")
    signed_on: dt.date | None


class ContractParty(BaseModel):
    """One side of a contract."""

    name: str
    short_name: str | None = Field(None, description="As defined in the contract: 'the Seller'")
    registered_in: str | None
    signatories: list[Signatory]


class Clause(BaseModel):
    """A clause with its number."""

    number: str = Field(pattern=r"^[0-9]+(\.[0-9]+)*$")
    heading: str | None
    text: str
    obliges: list[str] = Field(description="Short names of the parties that it binds")


class Contract(BaseModel):
    """A contract between two or more parties."""

    title: str
    effective: dt.date | None
    ends: dt.date | None
    renews: Literal["automatic", "by agreement", "never"] | None
    parties: list[ContractParty] = Field(min_length=2, max_length=10)
    governing_law: str | None
    clauses: list[Clause]
    liability_cap: Decimal | None = Field(None, ge=0, max_digits=15, decimal_places=2)


class Outcome(StrEnum):
    GRANTED = "granted"
    PARTLY = "granted in part"
    DISMISSED = "dismissed"
    REMANDED = "remanded"


class Judge(BaseModel):
    name: str
    opinion: Literal["majority", "concurring", "dissenting"]


class CourtDecision(BaseModel):
    """A judgment."""

    court: str
    docket: str = Field(description="File number")
    decided: dt.date
    plaintiff: list[str]
    defendant: list[str]
    outcome: Outcome
    bench: list[Judge]
    cites: set[str] = Field(description="Docket numbers of decisions that are cited")
    headnote: str | None


class PatentClaim(BaseModel):
    number: int = Field(ge=1)
    depends_on: list[int]
    text: str


class Patent(BaseModel):
    """A patent specification."""

    number: str
    title: str = Field(max_length=500)
    filed: dt.date
    granted: dt.date | None
    inventors: list[str] = Field(min_length=1)
    assignee: str | None
    classes: list[Annotated[str, Field(pattern=r"^[A-H][0-9]{2}[A-Z]$")]]
    claims: list[PatentClaim]


class NonDisclosureAgreement(BaseModel):
    """What must stay secret, and for how long."""

    disclosing: str
    receiving: str
    mutual: bool
    term_months: int | None = Field(description="Null when it has no end", ge=1)
    exceptions: list[Literal["public", "already known", "independently developed", "required by law"]]
    penalty: Decimal | None


class Collected(BaseModel):
    category: str
    purposes: list[str]
    shared_with: list[str] = Field(default_factory=list)
    kept_days: int | None = Field(None, ge=0)


class PrivacyPolicy(BaseModel):
    """What a service does with data of people."""

    service: str
    updated: dt.date | None
    controller: str
    data: list[Collected]
    rights: set[Literal["access", "erasure", "portability", "objection"]]


class Paragraph(BaseModel):
    mark: str
    text: str


class Section(BaseModel):
    number: str
    title: str
    paragraphs: list[Paragraph]


class Statute(BaseModel):
    """An act with its sections."""

    title: str
    citation: str
    in_force: dt.date | None
    repealed: dt.date | None = None
    sections: list[Section]


class PowerOfAttorney(BaseModel):
    """Somebody may act for somebody else."""

    principal: str
    agent: str
    powers: dict[Literal["banking", "property", "health", "courts"], bool]
    from_date: dt.date
    until: dt.date | None
    notarised: bool


class Trademark(BaseModel):
    """A registered mark."""

    mark: str
    kind: Literal["word", "figurative", "combined", "sound"]
    owner: str
    nice_classes: set[Annotated[int, Field(ge=1, le=45)]] = Field(min_length=1)
    status: Literal["pending", "registered", "expired", "opposed"]


MODELS = documents(
    Contract, CourtDecision, Patent, NonDisclosureAgreement, PrivacyPolicy, Statute, PowerOfAttorney, Trademark
)
