"""Documents of money."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents

Money = Annotated[Decimal, Field(max_digits=18, decimal_places=2)]
Rate = Annotated[Decimal, Field(description="Percent a year", max_digits=7, decimal_places=4)]
Iban = Annotated[str, Field(pattern=r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$")]


class Booking(BaseModel):
    """One line of a statement."""

    booked: dt.date
    value_date: dt.date | None
    text: str
    amount: Money = Field(description="Negative for a debit")
    balance: Money | None = None


class BankStatement(BaseModel):
    """A statement of account."""

    bank: str
    iban: Iban
    period: tuple[dt.date, dt.date]
    opening: Money
    closing: Money
    bookings: list[Booking]


class Segment(BaseModel):
    name: str
    revenue: Money
    growth_percent: float | None


class EarningsReport(BaseModel):
    """The figures of a quarter."""

    company: str
    ticker: str | None = Field(pattern=r"^[A-Z]{1,5}$")
    quarter: Literal["Q1", "Q2", "Q3", "Q4"]
    year: int
    revenue: Money
    net_income: Money
    earnings_per_share: Decimal = Field(max_digits=9, decimal_places=4)
    guidance: tuple[Money, Money] | None
    segments: list[Segment]


class Income(BaseModel):
    source: Literal["salary", "self-employed", "rent", "pension", "other"]
    monthly: Money


class LoanApplication(BaseModel):
    """Somebody wants to borrow."""

    applicants: list[str] = Field(min_length=1, max_length=2)
    amount: Money = Field(gt=0)
    months: int = Field(ge=6, le=480, multiple_of=6)
    purpose: str
    incomes: list[Income]
    debts: Money = Decimal(0)
    collateral: str | None = None


class Deduction(BaseModel):
    kind: str
    amount: Money = Field(ge=0)


class TaxReturn(BaseModel):
    """What somebody declares for a year."""

    year: int = Field(ge=1990, le=2100)
    tax_id: str = Field(pattern=r"^[0-9]{11}$")
    status: Literal["single", "joint", "separate"]
    income: dict[Literal["work", "capital", "rent"], Money]
    deductions: list[Deduction]
    refund: Money | None


class ClaimKind(StrEnum):
    FIRE = "fire"
    WATER = "water"
    THEFT = "theft"
    LIABILITY = "liability"
    MOTOR = "motor"


class DamagedItem(BaseModel):
    what: str
    bought: dt.date | None
    value: Money


class InsuranceClaim(BaseModel):
    """Damage that an insurer is to pay."""

    policy: str
    kind: ClaimKind
    happened: dt.datetime | dt.date = Field(description="The moment, or only the day")
    place: str | None
    items: list[DamagedItem]
    police_informed: bool
    bank_account: Iban | None = None


class Holding(BaseModel):
    isin: str = Field(pattern=r"^[A-Z]{2}[A-Z0-9]{9}[0-9]$")
    name: str
    units: Decimal = Field(max_digits=20, decimal_places=8)
    price: Decimal
    currency: Literal["EUR", "USD", "GBP", "CHF"]


class Portfolio(BaseModel):
    """What somebody holds on a day."""

    owner: str
    as_of: dt.date
    holdings: list[Holding]
    cash: dict[str, Money]
    risk_class: Literal[1, 2, 3, 4, 5, 6, 7]


class PaymentOrder(BaseModel):
    """Money to be sent."""

    debtor: Iban
    creditor: Iban
    creditor_name: str = Field(max_length=70)
    amount: Money = Field(gt=0)
    execute_on: dt.date | None = None
    reference: str | None = Field(None, max_length=140)
    instant: bool = False


class Expense(BaseModel):
    day: dt.date
    category: Literal["travel", "meals", "lodging", "other"]
    amount: Money
    currency: str = "EUR"
    receipt: bool


class ExpenseReport(BaseModel):
    """What an employee has laid out."""

    employee: str
    trip: str | None
    expenses: list[Expense] = Field(min_length=1, max_length=100)
    approved_by: str | None = None


class Position(BaseModel):
    label: str
    amount: Money
    last_year: Money | None


class BalanceSheet(BaseModel):
    """Assets on one side, their sources on the other."""

    company: str
    as_of: dt.date
    assets: list[Position]
    liabilities: list[Position]
    equity: list[Position]
    audited: bool | None
    in_thousands: bool = False


class Bond(BaseModel):
    """A bond's terms."""

    issuer: str
    isin: str
    coupon: Rate | Literal["zero", "floating"]
    issued: dt.date
    matures: dt.date | None = Field(description="Null for a perpetual bond")
    callable_on: list[dt.date]
    rating: dict[Literal["M", "S", "F"], str]


MODELS = documents(
    BankStatement,
    EarningsReport,
    LoanApplication,
    TaxReturn,
    InsuranceClaim,
    Portfolio,
    PaymentOrder,
    ExpenseReport,
    BalanceSheet,
    Bond,
)
