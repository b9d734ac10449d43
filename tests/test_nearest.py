"""The examples most like a record."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extract.nearest import Nearest, did_you_mean


def test_a_misspelt_name_is_told_with_the_one_it_may_be() -> None:
    """Else with all there are."""
    assert "did you mean 'total'?" == did_you_mean("totla", iter(["name", "total"]))
    assert "there are: a, b" == did_you_mean("zzz", ["a", "b"])
    assert "did you mean 'lines.total'?" == did_you_mean("totla", ["name", "total"], above="lines.")
    assert "there are: lines.a, lines.b" == did_you_mean("zzz", ["a", "b"], above="lines.")
    assert "the source has: a" == did_you_mean("zzz", {"a": 1}, "the source has")


def test_the_closest_comes_first() -> None:
    """Rare shared words weigh more than common ones, word pairs more than words apart."""
    texts = ["the parcel is late", "the refund is late", "the card was charged twice"]
    assert Nearest(texts).closest("my card was charged", 1) == [2]
    assert Nearest(texts).closest("REFUND please", 2)[0] == 1
    assert Nearest(["charged card", "card charged"]).closest("card charged", 2) == [1, 0]


def test_ties_stay_in_their_order() -> None:
    """Without anything in common the first examples are taken."""
    assert Nearest(["a", "b", "c"]).closest("zzz", 2) == [0, 1]


def test_nothing_to_choose_from() -> None:
    """No texts, empty texts and no wish give no error."""
    assert Nearest([]).closest("a", 3) == []
    assert Nearest(["", ""]).closest("", 3) == [0, 1]
    assert Nearest(["a"]).closest("a", 0) == []


@given(texts=st.lists(st.text(), max_size=8), text=st.text(), number=st.integers(0, 10))
def test_each_index_comes_once(texts: list[str], text: str, number: int) -> None:
    """As many distinct indexes as wished or there are."""
    found = Nearest(texts).closest(text, number)
    assert min(number, len(texts)) == len(set(found)) == len(found)
    assert set(found) <= set(range(len(texts)))
