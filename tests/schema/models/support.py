"""Documents of those who help customers."""

from __future__ import annotations

import datetime as dt
from enum import IntEnum, StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, EmailStr, Field

from schema.models.case import documents


class Priority(IntEnum):
    LOW = 1
    NORMAL = 2
    HIGH = 3
    URGENT = 4


class Team(StrEnum):
    BILLING = "billing"
    TECHNICAL = "technical"
    SALES = "sales"
    LEGAL = "legal"


class Ticket(BaseModel):
    """A customer's request, sorted."""

    subject: str = Field(max_length=120)
    team: Team
    priority: Priority
    customer_email: EmailStr | None
    products: list[str]
    summary: str
    angry: bool
    order_numbers: list[str] = Field(default_factory=list)


class Promise(BaseModel):
    what: str
    by: dt.date | None


class ChatSummary(BaseModel):
    """A chat in short."""

    chat: UUID
    problem: str
    tried: list[str]
    solved: bool | None
    promises: list[Promise]
    wait: dt.timedelta | None = Field(None, description="Until the first answer")


class Environment(BaseModel):
    system: str
    version: str | None
    browser: str | None = None


class BugReport(BaseModel):
    """Something that does not work."""

    title: str
    steps: list[str] = Field(min_length=1)
    expected: str
    actual: str
    environment: Environment
    severity: Literal["blocker", "major", "minor", "cosmetic"]
    reproducible: Literal["always", "sometimes", "once", "unknown"] = "unknown"


class FeatureRequest(BaseModel):
    """Something that is wanted."""

    title: str
    who: str = Field(description="Who would use it")
    problem: str
    votes: int = Field(0, ge=0)
    similar_to: set[int] = Field(default_factory=set, description="Numbers of other requests")


class CallLog(BaseModel):
    """A telephone call."""

    caller: str = Field(pattern=r"^\+?[0-9]{3,15}$")
    began: dt.datetime
    lasted: dt.timedelta
    topics: list[str]
    outcome: Literal["resolved", "call back", "escalated", "abandoned"]
    call_back_at: dt.datetime | None


class Answer(BaseModel):
    question: str
    answer: int | bool | str | None = Field(description="Null when it was left out")


class SurveyResponse(BaseModel):
    """A filled questionnaire."""

    respondent: UUID | None
    answers: list[Answer]
    score: int | None = Field(ge=0, le=10)
    comment: str | None


class TimelineEntry(BaseModel):
    at: dt.datetime
    what: str
    by: str | None


class IncidentReport(BaseModel):
    """An outage, told afterwards."""

    title: str
    began: dt.datetime
    ended: dt.datetime | None
    affected: dict[str, Literal["down", "slow", "degraded"]]
    timeline: list[TimelineEntry]
    root_cause: str | None
    actions: list[Promise]


class KnowledgeArticle(BaseModel):
    """How to do something."""

    title: str
    audience: set[Literal["user", "administrator", "developer"]] = Field(min_length=1)
    prerequisites: list[str]
    steps: list[str]
    see_also: list[str] = Field(default_factory=list)


MODELS = documents(
    Ticket, ChatSummary, BugReport, FeatureRequest, CallLog, SurveyResponse, IncidentReport, KnowledgeArticle
)
