"""Models that hold themselves, unrolled to two levels."""

from __future__ import annotations

from pydantic import BaseModel, Field, RootModel

from schema.models.case import Case


class Node(BaseModel):
    """Holds itself."""

    name: str
    next: Node | None = Field(description="The one after")


class Folder(BaseModel):
    """Through a list."""

    name: str
    folders: list[Folder] = Field(default_factory=list)


class Lexicon(BaseModel):
    """Through a dict."""

    text: str | None
    entries: dict[str, Lexicon]


class Husband(BaseModel):
    """Two that hold each other."""

    name: str
    wife: Wife | None


class Wife(BaseModel):
    name: str
    husband: Husband | None
    children: list[Husband]


class Expression(BaseModel):
    """Two ways down."""

    left: Expression | int
    right: Expression | None = None


class Tree(RootModel[dict[str, "Tree | None"]]):
    """A root that holds itself."""


class Holder(BaseModel):
    """The recursion begins below the top."""

    title: str
    root: Folder
    other: list[Node]


MODELS = [
    Case("recursive_direct", Node, unroll=2),
    Case("recursive_list", Folder, unroll=2),
    Case("recursive_dict", Lexicon, unroll=2),
    Case("recursive_mutual", Husband, unroll=2),
    Case("recursive_union", Expression, unroll=2),
    Case("recursive_root", Tree, unroll=2),
    Case("recursive_below", Holder, unroll=2),
    Case("recursive_deep", Node, unroll=5),
]
