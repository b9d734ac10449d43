"""Documents of schools."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents


class Week(BaseModel):
    number: int = Field(ge=1, le=52)
    topic: str
    readings: list[str] = Field(default_factory=list)


class Syllabus(BaseModel):
    """A course, week by week."""

    course: str = Field(pattern=r"^[A-Z]{2,4} [0-9]{3}$")
    title: str
    credits: float = Field(ge=0, le=30, multiple_of=0.5)
    lecturers: list[str]
    weeks: list[Week]
    weights: dict[str, int] = Field(description="Part of the grade to percent")


class Choice(BaseModel):
    """A question with given answers."""

    kind: Literal["choice"]
    text: str
    options: list[str] = Field(min_length=2, max_length=6)
    correct: set[int]


class FreeText(BaseModel):
    """A question to be answered in words."""

    kind: Literal["free text"]
    text: str
    words: int | None = Field(ge=1)


class Numeric(BaseModel):
    """A question to be answered with a number."""

    kind: Literal["numeric"]
    text: str
    answer: Decimal
    tolerance: Decimal = Decimal(0)


Question = Annotated[Choice | FreeText | Numeric, Field(discriminator="kind")]


class Exam(BaseModel):
    """An examination paper."""

    subject: str
    minutes: int = Field(gt=0, le=480)
    aids: list[str] | None = Field(description="Null when it is not said")
    questions: list[Question] = Field(min_length=1)


class CourseResult(BaseModel):
    course: str
    grade: Literal["A", "B", "C", "D", "F", "pass"] | None
    credits: float = Field(ge=0)


class Term(BaseModel):
    label: str
    results: list[CourseResult]


class AcademicTranscript(BaseModel):
    """What a student has passed."""

    student: str
    student_number: str
    programme: str
    terms: list[Term]
    average: Decimal | None = Field(ge=0, le=5, max_digits=3, decimal_places=2)
    graduated: dt.date | None


class Activity(BaseModel):
    minutes: int = Field(gt=0)
    what: str
    form: Literal["whole class", "groups", "pairs", "alone"]


class LessonPlan(BaseModel):
    """An hour in class."""

    subject: str
    grade: int = Field(ge=1, le=13)
    aims: list[str] = Field(min_length=1, max_length=5)
    activities: list[Activity]
    homework: str | None


class Scholarship(BaseModel):
    """Help for students."""

    name: str
    amount: Decimal | Literal["full tuition"] | None
    deadline: dt.date | None
    eligible: list[str]
    renewable: bool = False


class Flashcard(BaseModel):
    front: str
    back: str
    tags: frozenset[str] = frozenset()


class FlashcardDeck(BaseModel):
    """Cards to learn by."""

    title: str
    language_from: str
    language_to: str
    cards: list[Flashcard]


MODELS = documents(Syllabus, Exam, AcademicTranscript, LessonPlan, Scholarship, FlashcardDeck)
