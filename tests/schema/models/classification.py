"""Small answers: labels, scores, spans."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schema.models.case import documents

Score = Annotated[float, Field(ge=0, le=1)]


class Sentiment(BaseModel):
    """How a text feels."""

    reasoning: str = Field(description="One sentence")
    label: Literal["negative", "neutral", "positive"]
    score: Score


class Topic(StrEnum):
    ECONOMY = "economy"
    HEALTH = "health"
    SPORT = "sport"
    TECHNOLOGY = "technology"
    WEATHER = "weather"


class TopicLabels(BaseModel):
    """All topics of a text."""

    main: Topic
    others: set[Topic]
    confidence: dict[Topic, Score]


class SpamVerdict(BaseModel):
    """Is it spam, and why."""

    spam: bool
    signs: list[Literal["link", "urgency", "money", "impersonation", "misspelling"]] = Field(max_length=5)
    certainty: int = Field(ge=0, le=100)


class LanguageGuess(BaseModel):
    """Languages of a text, most likely first."""

    code: str = Field(pattern=r"^[a-z]{2,3}$")
    script: Literal["Latn", "Cyrl", "Arab", "Hans", "Deva", "other"]
    alternatives: list[tuple[str, Score]] = Field(max_length=3)


class Toxicity(BaseModel):
    """Scores of a comment."""

    insult: Score
    threat: Score
    obscenity: Score
    identity_attack: Score
    rewritten: str | None = Field(description="The comment said politely")


class Slot(BaseModel):
    name: str
    value: str | int | float | bool


class Intent(BaseModel):
    """What somebody wants of an assistant."""

    intent: Literal["book", "cancel", "ask", "complain", "greet", "none"]
    slots: list[Slot]
    needs_human: bool = False


class Entity(BaseModel):
    """A name in the text."""

    text: str
    kind: Literal["PER", "ORG", "LOC", "MISC"]
    start: int = Field(ge=0)
    end: int = Field(ge=0)


class NamedEntities(BaseModel):
    """The names of a text."""

    entities: list[Entity]


class Grade(IntEnum):
    EASY = 1
    MIDDLE = 2
    HARD = 3


class ReadingLevel(BaseModel):
    """How hard a text is."""

    grade: Grade
    age_from: int | None = Field(ge=3, le=18)
    hard_words: list[str] = Field(max_length=20)


class Box(BaseModel):
    """Shares of the width and the height."""

    left: Score
    top: Score
    right: Score
    bottom: Score


class Detected(BaseModel):
    label: str
    box: Box | None
    score: Score


class ImageTags(BaseModel):
    """What a picture shows."""

    caption: str
    objects: list[Detected]
    indoors: bool | None
    people: int = Field(ge=0)


class Relation(BaseModel):
    subject: str
    predicate: Literal["works for", "owns", "located in", "married to"]
    object: str
    evidence: str | None = None


class Relations(BaseModel):
    """Facts of a text as triples."""

    triples: list[Relation]


MODELS = documents(
    Sentiment,
    TopicLabels,
    SpamVerdict,
    LanguageGuess,
    Toxicity,
    Intent,
    NamedEntities,
    ReadingLevel,
    ImageTags,
    Relations,
)
