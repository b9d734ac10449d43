"""Documents of work."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents

Money = Annotated[Decimal, Field(max_digits=10, decimal_places=2)]


class Salary(BaseModel):
    low: Money
    high: Money | None
    per: Literal["hour", "month", "year"] = "year"


class JobPosting(BaseModel):
    """A position to be filled."""

    title: str
    company: str
    location: str | None
    remote: Literal["no", "partly", "fully"] | None
    salary: Salary | None
    must_have: list[str]
    nice_to_have: list[str] = Field(default_factory=list)
    apply_by: dt.date | None


class PayItem(BaseModel):
    code: str | int
    text: str
    amount: Money


class Payslip(BaseModel):
    """What was earned in a month."""

    employee: str
    month: str = Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")
    earnings: list[PayItem]
    deductions: list[PayItem]
    net: Money
    tax_class: Literal[1, 2, 3, 4, 5, 6] | None


class Goal(BaseModel):
    goal: str
    reached: Annotated[int, Field(ge=0, le=100)] | None = Field(description="Percent")


class PerformanceReview(BaseModel):
    """How somebody has worked."""

    employee: str
    reviewer: str
    period: tuple[dt.date, dt.date]
    ratings: dict[Literal["quality", "speed", "teamwork"], Literal[1, 2, 3, 4, 5]]
    goals: list[Goal]
    promotion: bool | None = None


class LeaveRequest(BaseModel):
    """Somebody wants days off."""

    employee: str
    kind: Literal["holiday", "sick", "parental", "unpaid"]
    first_day: dt.date
    last_day: dt.date
    half_days: set[dt.date] = Field(default_factory=set)
    deputy: str | None


class Certificate(BaseModel):
    """Proof of a training."""

    holder: str
    course: str
    hours: float = Field(gt=0, multiple_of=0.25)
    passed: bool
    grade: Literal["A", "B", "C", "D"] | None
    valid_until: dt.date | None


class EmploymentContract(BaseModel):
    """Terms of employment."""

    employer: str
    employee: str
    position: str
    begins: dt.date
    ends: dt.date | None
    probation_months: int = Field(6, ge=0, le=12)
    weekly_hours: Decimal = Field(gt=0, le=60, max_digits=4, decimal_places=2)
    salary: Salary
    notice: dict[Literal["employer", "employee"], str]


class Shift(BaseModel):
    day: dt.date
    begins: dt.time
    ends: dt.time
    pause: dt.timedelta = dt.timedelta(minutes=30)
    project: str | None


class Timesheet(BaseModel):
    """Hours of a week."""

    employee: str
    week: int = Field(ge=1, le=53)
    shifts: list[Shift] = Field(max_length=21)


class Unit(BaseModel):
    name: str
    head: str | None
    reports_to: str | None = Field(description="Name of another unit")
    staff: int = Field(ge=0)


class OrganisationChart(BaseModel):
    """Units of a company, as a flat list."""

    company: str
    units: list[Unit] = Field(min_length=1)


MODELS = documents(
    JobPosting,
    Payslip,
    PerformanceReview,
    LeaveRequest,
    Certificate,
    EmploymentContract,
    Timesheet,
    OrganisationChart,
)
