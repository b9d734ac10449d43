"""Documents of medicine and care."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents


class Patient(BaseModel):
    """Who the document is about."""

    name: str
    born: dt.date | None
    sex: Literal["female", "male", "other", "unknown"]


class Flag(StrEnum):
    """How a value stands to its range."""

    LOW = "L"
    NORMAL = "N"
    HIGH = "H"
    CRITICAL = "C"


class Range(BaseModel):
    low: Decimal | None = None
    high: Decimal | None = None


class LabResult(BaseModel):
    """One measured value."""

    test: str = Field(description="Name of the analyte")
    loinc: str | None = Field(None, pattern=r"^[0-9]{1,5}-[0-9]$")
    value: Decimal | str = Field(description="A number, or a text such as 'negative'")
    unit: str | None
    reference: Range | None
    flag: Flag | None


class LabReport(BaseModel):
    """Results of a laboratory."""

    patient: Patient
    laboratory: str
    collected: dt.datetime
    reported: dt.datetime | None
    specimen: Literal["blood", "urine", "swab", "tissue", "other"]
    results: list[LabResult]
    comment: str | None = None


class Dose(BaseModel):
    amount: Decimal = Field(gt=0, max_digits=8, decimal_places=3)
    unit: Literal["mg", "g", "ml", "IU", "drops", "tablets"]


class Medicine(BaseModel):
    """One medicine of a prescription."""

    name: str
    dose: Dose
    times_a_day: int | None = Field(ge=1, le=24)
    as_needed: bool = False
    days: int | None = None


class Prescription(BaseModel):
    """What a physician prescribes."""

    patient: Patient
    prescriber: str
    date: dt.date
    medicines: list[Medicine] = Field(min_length=1)
    refills: int = Field(0, ge=0, le=12)


class Diagnosis(BaseModel):
    text: str
    icd10: str | None = Field(pattern=r"^[A-Z][0-9]{2}(\.[0-9]{1,2})?$")
    certainty: Literal["confirmed", "suspected", "excluded"]


class DischargeSummary(BaseModel):
    """The letter at the end of a stay in hospital."""

    patient: Patient
    admitted: dt.date
    discharged: dt.date
    diagnoses: list[Diagnosis]
    procedures: list[str]
    medication: list[Medicine]
    follow_up: str | None


class Finding(BaseModel):
    site: str
    size_mm: float | None = Field(gt=0)
    description: str


class RadiologyReport(BaseModel):
    """What an image shows."""

    modality: Literal["X-ray", "CT", "MRI", "ultrasound"]
    contrast: bool | None
    findings: list[Finding]
    impression: str
    birads: Annotated[int, Field(ge=0, le=6)] | None = None


class Vaccination(BaseModel):
    vaccine: str
    lot: str | None
    given: dt.date
    dose_number: int = Field(ge=1)


class VaccinationRecord(BaseModel):
    """A vaccination card."""

    holder: Patient
    vaccinations: list[Vaccination]


class Phase(IntEnum):
    ONE = 1
    TWO = 2
    THREE = 3
    FOUR = 4


class Arm(BaseModel):
    label: str
    intervention: str
    participants: int | None = Field(ge=0)


class ClinicalTrial(BaseModel):
    """A registered study."""

    registry_id: str
    phase: Phase | None
    blinded: bool
    arms: list[Arm]
    primary_outcomes: list[str]
    started: dt.date | None
    completed: dt.date | None


class AdverseEvent(BaseModel):
    """Something went wrong under a treatment."""

    drug: str
    reaction: str
    onset_after: dt.timedelta | None = Field(description="Time since the dose")
    severity: Literal[1, 2, 3, 4, 5]
    outcome: Literal["recovered", "recovering", "lasting harm", "death", "unknown"]
    rechallenge: bool | None = None


class Meal(BaseModel):
    at: dt.time
    dishes: list[str]
    energy_kcal: int | None = Field(ge=0)


class DietPlan(BaseModel):
    """What to eat on each day of the week."""

    days: dict[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], list[Meal]]
    allergies: frozenset[str]
    target_weight_kg: float | None = Field(None, gt=0, lt=500)


MODELS = documents(
    LabReport,
    Prescription,
    DischargeSummary,
    RadiologyReport,
    VaccinationRecord,
    ClinicalTrial,
    AdverseEvent,
    DietPlan,
)
