"""The values of one item of a list stand together; what stands with another item is no support."""

from __future__ import annotations

import datetime as dt
import gc
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.evidence import Finder, Wanted, located

D = Decimal
TABLE = """Invoice 4711 of 12.03.2018, page 1 of 3, 9 items at most
Pos  Description        Price    Qty      Net
1    Green tea          2,50       4    10,00
2    Black coffee       3,20       7    22,40
3    Cane sugar         1,10       5     5,50
Total                                   37,90
VAT 19 %                                 7,20
"""
TEA = {"what": "Green tea", "price": D("2.5"), "quantity": D(4), "net": D(10)}
COFFEE = {"what": "Black coffee", "price": D("3.2"), "quantity": D(7), "net": D("22.4")}
SUGAR = {"what": "Cane sugar", "price": D("1.1"), "quantity": D(5), "net": D("5.5")}
ITEMS = [TEA, COFFEE, SUGAR]

Row = Mapping[str, Any]


def lines(text: str, items: Sequence[Row]) -> dict[str, int | None]:
    """Number of the line on which each value is supported; None where it is not."""
    wanted = [[Wanted(f"{n}.{name}", name, item[name], [name]) for name in item] for n, item in enumerate(items)]
    found = located(Finder(text), wanted)
    assert all(each is None or each.quote == text[each.start : each.end] for each in found.values())
    return {path: text.count("\n", 0, each.start) if each and each.is_support else None for path, each in found.items()}


def unsupported(text: str, items: Sequence[Row]) -> list[str]:
    return [path for path, line in lines(text, items).items() if line is None]


def test_each_value_is_found_on_the_line_of_its_item() -> None:
    """Also where the same number stands on others."""
    assert {2, 3, 4} == set(lines(TABLE, ITEMS).values())
    assert {f"{n}.{name}": n + 2 for n, item in enumerate(ITEMS) for name in item} == lines(TABLE, ITEMS)


@pytest.mark.parametrize("name", ["price", "quantity", "net"])
def test_a_value_of_another_line_is_no_support(name: str) -> None:
    """Whether it is a line above or below."""
    assert [f"0.{name}"] == unsupported(TABLE, [TEA | {name: COFFEE[name]}, COFFEE, SUGAR])
    assert [f"2.{name}"] == unsupported(TABLE, [TEA, COFFEE, SUGAR | {name: COFFEE[name]}])


@pytest.mark.parametrize("name", ["price", "quantity", "net"])
def test_values_swapped_between_lines_are_no_support(name: str) -> None:
    """Neither of the two."""
    swapped = [TEA | {name: COFFEE[name]}, COFFEE | {name: TEA[name]}, SUGAR]
    assert [f"0.{name}", f"1.{name}"] == unsupported(TABLE, swapped)


@pytest.mark.parametrize("number", [9, 3, 1, 4711, 19])
def test_a_number_of_the_letterhead_or_the_totals_is_no_support(number: int) -> None:
    """It stands in the text, but not with the item."""
    assert Finder(TABLE).find(number) is not None
    assert ["0.quantity"] == unsupported(TABLE, [TEA | {"quantity": number}, COFFEE, SUGAR])


def test_the_number_of_the_line_is_no_quantity() -> None:
    """On the same line, but not where the other items have theirs."""
    assert ["1.quantity"] == unsupported(TABLE, [TEA, COFFEE | {"quantity": D(2)}, SUGAR])


def test_a_number_of_another_column_is_no_quantity() -> None:
    """A rate for a quantity: where the other items have the two apart, one place is not both."""
    text = "Green tea     2,50    4    19 %   10,00\nBlack coffee  3,20    7     7 %   22,40\nCane sugar    1,10    5     7 %    5,50"
    items = [TEA | {"rate": D(19)}, COFFEE | {"rate": D(7)}, SUGAR | {"rate": D(7)}]
    assert [] == unsupported(text, items)
    assert ["0.quantity"] == unsupported(text, [items[0] | {"quantity": D(19)}, *items[1:]])


def test_what_is_printed_once_for_all_items_supports_them() -> None:
    """A rate among the totals, a date in the letterhead."""
    shared = {"rate": D(19), "day": dt.date(2018, 3, 12)}
    found = lines(TABLE, [item | shared for item in ITEMS])
    assert {6} == {line for path, line in found.items() if path.endswith("rate")}
    assert {0} == {line for path, line in found.items() if path.endswith("day")}
    assert None not in found.values()


def test_what_one_item_says_alone_is_not_shared() -> None:
    """A number of the totals is no rate of a single item, unless the field's words stand before it."""
    assert ["0.discount"] == unsupported(TABLE, [TEA | {"discount": D(19)}, COFFEE, SUGAR])
    assert [] == unsupported(TABLE, [TEA | {"vat": D(19)}, COFFEE, SUGAR])


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 0, 2), (2, 1, 0)])
def test_items_may_come_in_another_order(order: Sequence[int]) -> None:
    """Each is found where it stands."""
    found = lines(TABLE, [ITEMS[n] for n in order])
    assert [n + 2 for n in order for _ in TEA] == list(found.values())


def test_equal_items_are_found_one_after_the_other() -> None:
    """Each place is one item's; an item more than there are places has none."""
    text = TABLE.replace("Cane sugar         1,10       5     5,50", "Green tea          2,50       4    10,00")
    assert [2] * 4 + [3] * 4 + [4] * 4 == list(lines(text, [TEA, COFFEE, TEA]).values())
    surplus = lines(TABLE, [TEA, COFFEE, SUGAR, COFFEE])
    assert [2, 3, 4, None] == [surplus[f"{n}.quantity"] for n in range(4)]


def test_an_item_may_take_several_lines() -> None:
    """One value to a line, or a description over three."""
    stacked = (
        "Item: Green tea\nPrice: 2.50\nQty: 4\nNet: 10.00\n\nItem: Black coffee\nPrice: 3.20\nQty: 7\nNet: 22.40\n"
    )
    assert [0, 1, 2, 3, 5, 6, 7, 8] == list(lines(stacked, [TEA, COFFEE]).values())
    assert ["0.quantity"] == unsupported(stacked, [TEA | {"quantity": D(7)}, COFFEE])
    wrapped = "1  Green      2,50  4  10,00\n   tea\n   loose\n2  Black      3,20  7  22,40\n   coffee\n"
    items = [TEA | {"what": "Green tea loose"}, COFFEE]
    assert [] == unsupported(wrapped, items)
    assert ["1.net"] == unsupported(wrapped, [items[0], COFFEE | {"net": D(10)}])


def test_an_item_whose_description_is_not_found_is_placed_by_its_numbers() -> None:
    """Only the description has no support."""
    items = [TEA, COFFEE | {"what": "Espresso"}, SUGAR]
    assert ["1.what"] == unsupported(TABLE, items)
    assert ["1.what", "1.quantity"] == unsupported(TABLE, [TEA, items[1] | {"quantity": D(5)}, SUGAR])


def test_a_single_item_has_its_values_near_it() -> None:
    """What stands lines away is something else."""
    text = "Green tea  4 x 2.50  10.00\n\nbank\ncode 20\nplace\nphone 77\nVAT 19 %\nRounded 11.00"
    assert [] == unsupported(text, [TEA])
    assert ["0.quantity"] == unsupported(text, [TEA | {"quantity": D(77)}])
    assert ["0.net"] == unsupported(text, [TEA | {"net": D(11)}])


def test_items_in_one_sentence_end_where_the_next_begins() -> None:
    """Names that several share are not taken from each other."""
    text = "Please send 4 boxes of green tea, 7 bags of black coffee and nothing else."
    few = [{"what": "green tea", "quantity": 4}, {"what": "black coffee", "quantity": 7}]
    assert [] == unsupported(text, few)
    assert ["1.quantity"] == unsupported(text, [few[0], few[1] | {"quantity": 4}])
    knows = [{"who": "Alice", "whom": "Bob"}, {"who": "Alice", "whom": "Carol"}]
    assert [] == unsupported("Alice knows Bob and Carol.", knows)


def test_lists_of_one_value_each_are_found_anywhere() -> None:
    """There is nothing that they could stand together with."""
    assert [] == unsupported(TABLE, [{"n": D(5)}, {"n": D(4711)}, {"n": D(5)}])


@settings(max_examples=100, deadline=None)
@given(
    st.text("ab1 .,\n5", max_size=200),
    st.lists(st.fixed_dictionaries({"a": st.text("ab1", max_size=3), "b": st.integers(0, 15)}), max_size=6),
)
def test_any_text_and_items_end_well(text: str, items: list[Row]) -> None:
    """Every value gets an answer, and none is supported that does not stand there."""
    found = lines(text, items)
    assert [f"{n}.{name}" for n, item in enumerate(items) for name in item] == list(found)
    finder = Finder(text)
    for n, item in enumerate(items):
        for name, value in item.items():
            assert finder.places(value) or found[f"{n}.{name}"] is None


def test_long_lists_take_no_longer_for_each_value() -> None:
    """Three hundred items whose numbers all stand everywhere: more than a thousand values a second of CPU."""
    rows = [{"what": f"Thing {n}", "quantity": n % 3 + 1, "net": D(n % 7)} for n in range(300)]
    text = "\n".join(f"{n}  Thing {n}   {row['quantity']}   {row['net']},00" for n, row in enumerate(rows))
    begun = time.process_time()
    assert [] == unsupported(text, rows)
    assert 0.9 > time.process_time() - begun


def _seconds(text: str, items: Sequence[Row]) -> float:
    """Of CPU, the least of three."""
    found = []
    gc.disable()  # a collection is as long as what other tests have left
    for _ in range(3):
        begun = time.process_time()
        lines_of = located(
            Finder(text), [[Wanted(f"{n}.{k}", k, v, [k]) for k, v in row.items()] for n, row in enumerate(items)]
        )
        found.append(time.process_time() - begun)
        assert sum(map(len, items)) == len(lines_of)
    gc.enable()
    return min(found)


def _numbers(count: int) -> list[Row]:
    return [{"what": f"Article {n:05d}", "quantity": n % 7 + 1, "net": D(n) * D("1.25")} for n in range(count)]


@pytest.mark.parametrize("gone", [{}, {"rate": 19, "more": 99}], ids=["clean", "with values that stand elsewhere"])
def test_four_times_the_items_take_about_four_times_as_long(gone: Row) -> None:
    """Not sixteen times."""

    def seconds(count: int) -> float:
        rows = _numbers(count)
        text = "\n".join(f"{row['what']}  {row['quantity']}  {row['net']:.2f}" for row in rows) + "\n19 % of 99"
        return _seconds(text, [row | gone for row in rows])

    assert 6 > seconds(1600) / seconds(400)  # below, the bounds on what is compared are not reached yet


@pytest.mark.parametrize("row", [{"a": 1, "b": 1, "c": 1}, {"a": 1, "b": "1"}], ids=["numbers", "number and text"])
def test_a_line_full_of_the_same_digit_takes_no_longer_than_others(row: Row) -> None:
    """Three thousand ones on one line, and twenty items of ones."""
    assert 1 > _seconds("1 " * 3000, [row] * 20)


def test_lists_beyond_the_bound_are_looked_up_value_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of another line is then support, one that stands nowhere is not."""
    items = [TEA | {"quantity": COFFEE["quantity"]}, COFFEE | {"quantity": D(77)}]
    assert ["0.quantity", "1.quantity"] == unsupported(TABLE, items)
    monkeypatch.setattr("extract.evidence.items.MAX_VALUES", 7)
    assert ["1.quantity"] == unsupported(TABLE, items)
