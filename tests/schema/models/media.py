"""Texts of newspapers, shops of books, kitchens and studios."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field, HttpUrl

from schema.models.case import documents


class Quote(BaseModel):
    """Somebody's words."""

    speaker: str
    words: str = Field(description="Verbatim, without quotation marks")


class NewsArticle(BaseModel):
    """An article of a newspaper."""

    headline: str
    byline: list[str]
    published: dt.datetime | None
    section: Literal["politics", "business", "sport", "culture", "science", "local", "other"]
    summary: str = Field(max_length=600)
    quotes: list[Quote]
    places: list[str] = Field(default_factory=list)


class MovieReview(BaseModel):
    """A review of a film."""

    film: str
    year: int | None = Field(ge=1888, le=2100)
    rating: Annotated[float, Field(ge=0, le=10)] | None
    spoilers: bool
    praised: list[str]
    criticised: list[str]


class Chapter(BaseModel):
    starts_at: dt.timedelta
    title: str


class PodcastEpisode(BaseModel):
    """An episode with its chapters."""

    show: str
    number: int | None
    title: str
    length: dt.timedelta
    hosts: list[str]
    guests: list[str] = Field(default_factory=list)
    chapters: list[Chapter]


class Ingredient(BaseModel):
    name: str
    amount: Decimal | None = Field(None, gt=0, max_digits=8, decimal_places=2)
    unit: Literal["g", "kg", "ml", "l", "tsp", "tbsp", "piece", "pinch"] | None
    optional: bool = False


class RecipeStep(BaseModel):
    text: str
    minutes: int | None = Field(None, ge=0)


class Recipe(BaseModel):
    """How to cook a dish."""

    title: str
    serves: int | None = Field(ge=1)
    ingredients: list[Ingredient] = Field(min_length=1)
    steps: list[RecipeStep] = Field(min_length=1)
    oven_c: int | None = Field(None, ge=0, le=350, multiple_of=5)
    cuisine: str | None = None


class Credit(BaseModel):
    role: str
    names: list[str]


class SongCredits(BaseModel):
    """Who made a recording."""

    title: str
    isrc: str | None = Field(pattern=r"^[A-Z]{2}[A-Z0-9]{3}[0-9]{7}$")
    performers: list[str]
    credits: list[Credit]
    tempo_bpm: float | None = Field(gt=0)
    key: Literal["C", "D", "E", "F", "G", "A", "B"] | None
    minor: bool | None


class CatalogueEntry(BaseModel):
    """A book in a catalogue."""

    title: str
    subtitle: str | None = None
    authors: list[str]
    isbn: str | None = Field(pattern=r"^97[89][0-9]{10}$")
    publisher: str | None
    year: int | str | None = Field(description="A number, or a text such as 'c. 1890'")
    pages: int | None
    price: Decimal | None = Field(None, max_digits=8, decimal_places=2)


class Engagement(BaseModel):
    likes: int = 0
    shares: int = 0
    comments: int = 0


class SocialPost(BaseModel):
    """A post on a social network."""

    author: str = Field(pattern=r"^@[a-z0-9_]{1,30}$")
    posted: dt.datetime
    text: str
    hashtags: list[str]
    links: list[HttpUrl]
    engagement: Engagement
    reply_to: str | None = None


class Utterance(BaseModel):
    speaker: str
    at: dt.timedelta | None
    text: str


class InterviewTranscript(BaseModel):
    """Who said what."""

    topic: str
    date: dt.date | None
    speakers: dict[str, str] = Field(description="Name to role")
    utterances: list[Utterance]


class Painting(BaseModel):
    """A work in a museum."""

    title: str
    artist: str | None
    made: int | tuple[int, int] | None = Field(description="The year, or the first and the last possible one")
    technique: str
    size_cm: tuple[Decimal, Decimal] | None
    on_display: bool


MODELS = documents(
    NewsArticle,
    MovieReview,
    PodcastEpisode,
    Recipe,
    SongCredits,
    CatalogueEntry,
    SocialPost,
    InterviewTranscript,
    Painting,
)
