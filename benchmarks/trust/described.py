"""Second opinions on descriptions of places to eat, by the words that stand for each label."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.trust.opinions import opposed
from extract import Issue, Record

Words = Mapping[Any, str]  # value → pattern of the words that say it


@dataclass(frozen=True)
class Worded:
    """A label must have its words in the text, no other label may, and null goes with none; names are left out."""

    field: str
    words: Words
    names: Sequence[str] = ()

    def __call__(self, value: Any, record: Record) -> Iterator[Issue]:
        text = str(record["text"])
        for name in self.names:
            text = text.replace(getattr(value, name) or "\0", " ")
        found = {label for label, pattern in self.words.items() if re.search(pattern, text, re.IGNORECASE)}
        said = getattr(value, self.field)
        if found != ({said} - {None}):
            yield opposed(self.field, said, f"words of {sorted(map(str, found)) or 'none'}")


_PLACED = r"(?:near(?:by)?|close to|next to|next door to|beside|by|not far from|across from|vicinity of|around)"
_ARTICLE = r"(?:\s+(?:to|the|a|an))*\s+"


@dataclass(frozen=True)
class Placed:
    """The place that is near stands behind a word such as `near`; the one that is described does not."""

    def __call__(self, value: Any, record: Record) -> Iterator[Issue]:
        text = str(record["text"])
        if _is_placed(value.name, text):
            yield opposed("name", value.name, "a place that another is near to")
        said, behind = value.near, _behind(text)
        if said is None and behind:
            yield opposed("near", said, behind)
        if said is not None and (not _is_placed(said, text) or said == value.name):
            yield opposed("near", said, "nothing says that it is near")


def _is_placed(name: str, text: str) -> bool:
    return re.search(rf"\b{_PLACED}{_ARTICLE}{re.escape(name)}", text, re.IGNORECASE) is not None


def _behind(text: str) -> str:
    """A capitalised name behind a word for nearness."""
    found = re.search(rf"\b(?i:{_PLACED}){_ARTICLE}([A-Z]\w+)", text)
    return found.group(1) if found and found.group(1).lower() != "riverside" else ""


_NEGATED = re.compile(
    r"(\bnot?\b|n't|\bnon\b|non-|\bun-?|\badult|without|never)[^.;]{0,30}(famil|kid|child)"
    r"|(famil|kid|child)\w*[- ]?(un|not|isn|aren)|adults? only|child-?free|(famil|kid|child)[^.,;]{0,25}\bnot\b"
)


@dataclass(frozen=True)
class Welcome:
    """Whether children are spoken of, and with a no."""

    def __call__(self, value: Any, record: Record) -> Iterator[Issue]:
        text = str(record["text"]).lower()
        negated = _NEGATED.search(text) is not None
        found = not negated if negated or re.search(r"famil|kid|child", text) else None
        if value.family_friendly is not found:
            yield opposed("family_friendly", value.family_friendly, str(found))


EAT_TYPES: Words = {
    "coffee shop": r"coffee[- ]?(shop|house|place)",
    "pub": r"\bpubs?\b",
    "restaurant": r"\brestaurants?\b",
}
FOODS: Words = {
    "Chinese": r"chinese",
    "English": r"english|british",
    "Fast food": r"fast[- ]?food",
    "French": r"french",
    "Indian": r"indian",
    "Italian": r"italian|pasta",
    "Japanese": r"japanese|sushi",
}
PRICES: Words = {
    "cheap": r"\b(cheap|inexpensive|low[- ]?(cost|pric)|affordabl|low(er)? (price|cost))",
    "moderate": (
        r"moderate(ly)?[- ]?(pric|cost)|pric\w*[^.]{0,25}(moderate|average|mid)|moderate|average(ly)?[- ]pric"
        r"|mid[- ](pric|range)|reasonabl"
    ),
    "high": (
        r"high(ly|er)?[- ]?(pric|cost|end)|expensive|pric\w*( range)?( is| are|s)? (rather |quite |very )?high|high end"
        r"|pricey|costly"
    ),
    "less than £20": r"(less|under|below|lower|cheaper|up to)\D{0,15}20|20\D{0,10}(or less|or under)",
    "£20-25": r"20\s*(-|–|to|and|through)\s*£?\s*25",
    "more than £30": r"(more|over|above|higher|upwards|exceed\w*|greater)\D{0,15}30|£30 (or more|and up)",
}
_RATED = r"[- ]+((customer|consumer|guest)s?'?[- ]+)?(rat|review|satisf)"
RATINGS: Words = {
    "low": rf"\blow(ly)?{_RATED}|rat\w+[^.,;]{{0,20}}\b(low|poor)|poor(ly)?[- ]|low customer|bad(ly)? rat",
    "average": rf"average{_RATED}|rat\w+[^.,;]{{0,20}}average|average customer|averagely rated",
    "high": rf"\bhigh(ly)?{_RATED}|rat\w+[^.,;]{{0,20}}\bhigh|high customer|well rated|highly",
    "1 out of 5": r"\b(1|one)([- ]?(out of|of|/)[- ]?(5|five)|[- ]stars?)|\b(1|one) out",
    "3 out of 5": r"\b(3|three)([- ]?(out of|of|/)[- ]?(5|five)|[- ]stars?)|\b(3|three) out",
    "5 out of 5": r"\b(5|five)([- ]?(out of|of|/)[- ]?(5|five)|[- ]stars?)|\b(5|five) out",
}
AREAS: Words = {
    "city centre": r"cit(y|ies) cent(re|er)|cent(re|er)|downtown",
    "riverside": r"river",
}
OPINIONS = (
    Worded("eat_type", EAT_TYPES, ("name", "near")),
    Worded("food", FOODS, ("name", "near")),
    Worded("price_range", PRICES),
    Worded("customer_rating", RATINGS),
    Worded("area", AREAS, ("name", "near")),
    Welcome(),
    Placed(),
)
