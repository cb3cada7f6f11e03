"""The steps from a wish to a variant name what it is found among, what is missed, and where the same thing stands."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tau_retail_env.agents.variant_reasons import none_such, steps, such
from tau_retail_env.sources.tau2.tasks import shop_database

OWN = {"name": "Mug", "item_id": "1000000000", "price": 15.0, "options": {"color": "red", "size": "M"}}
PRODUCT = {
    "name": "Mug",
    "variants": {
        one["item_id"]: one
        for one in (
            {"item_id": f"200000000{number}", "price": price, "available": available, "options": dict(options)}
            for number, (price, available, options) in enumerate(
                [
                    (11.5, True, {"color": "blue", "size": "S"}),
                    (13.0, True, {"color": "red", "size": "S"}),
                    (16.0, True, {"color": "red", "size": "L"}),
                    (17.0, True, {"color": "green", "size": "M"}),
                    (19.0, True, {"color": "blue", "size": "L"}),
                    (12.0, False, {"color": "blue", "size": "M"}),
                ]
            )
        )
    },
}
"""A list with prices in dollars, as the tool shows it."""


def written(number: int, wish: str, *, orders: Any = (), alone: bool = True) -> str:
    return steps(OWN, PRODUCT["variants"][f"200000000{number}"], wish, PRODUCT, orders, alone=alone)


@pytest.mark.parametrize(
    ("number", "wish", "found_among"),
    [
        (0, "the cheapest one you have", ""),
        (3, "the priciest below $18", "Under $18: $11.5, yes; $13.0, yes; $16.0, yes; $17.0, yes; $19.0, no."),
        (0, "the dearest under $12", "Under $12: $11.5, yes; $13.0, no."),
        (4, "the dearest under $20", "Under $20: $11.5, yes; $13.0, yes; $16.0, yes; $17.0, yes; $19.0, yes."),
        (1, "the cheapest of the red sort", "With color red, cheapest: $11.5, blue, no; $13.0, red, yes."),
        (
            2,
            "the dearest one in red",
            "With color red, dearest: $11.5, blue, no; $13.0, red, yes; $16.0, red, yes; $17.0, green, no; "
            "$19.0, blue, no.",
        ),
        (0, "the cheapest one in blue", "With color blue, cheapest: $11.5, blue, yes."),
        (
            3,
            "the dearest that is still an M",
            "With size M, dearest: $11.5, S, no; $13.0, S, no; $16.0, L, no; $17.0, M, yes; $19.0, L, no.",
        ),
        (2, "whichever is next above mine by price", "Mine: $15.0. Above $15.0: $11.5, no; $13.0, no; $16.0, yes."),
        (1, "the next one below mine in price", "Mine: $15.0. Under $15.0: $11.5, yes; $13.0, yes; $16.0, no."),
        (2, "a cheap one, whichever you like", ""),  # nobody knows why
        (3, "the priciest below $16", ""),  # it is not
    ],
)
def test_what_a_price_is_compared_with_stands_before_the_variant(number: int, wish: str, found_among: str):
    own, _, rest = written(number, wish).partition(": 1000000000. ")
    assert own == "Mug, red, M"
    assert rest.startswith(" ".join(filter(None, [found_among, "New: $"])))
    assert rest.partition(" New: ")[2] or not found_among
    assert f": 200000000{number}. Change: " in rest


def test_the_items_own_option_is_no_condition_where_it_tells_the_item():
    own = {**OWN, "price": 20.0, "options": {"color": "blue", "size": "M"}}
    row, new = own, PRODUCT["variants"]["2000000000"]
    assert "With" not in steps(row, new, "my blue mug for the cheapest one", PRODUCT, (), alone=True)
    assert "With color blue, cheapest: " in steps(row, new, "the cheapest that is blue, too", PRODUCT, (), alone=True)


def test_an_item_that_is_the_cheapest_itself_has_a_next_dearer_one():
    own = {**OWN, "price": 10.0}
    text = steps(own, PRODUCT["variants"]["2000000000"], "the next dearer one", PRODUCT, (), alone=True)
    assert "Mine: $10.0. Above $10.0: $11.5, yes. New: $11.5, blue, S" in text


def test_an_item_that_is_the_dearest_itself_has_no_next_dearer_one():
    own = {**OWN, "price": 30.0}
    text = steps(own, PRODUCT["variants"]["2000000002"], "the next dearer one", PRODUCT, (), alone=True)
    assert "Above" not in text and "New: $16.0, red, L: 2000000002." in text


def test_the_item_itself_is_compared_where_it_is_in_stock():
    product = {"name": "Mug", "variants": {**PRODUCT["variants"], "1000000000": {**OWN, "available": True}}}
    text = steps(OWN, product["variants"]["2000000002"], "the next dearer one", product, (), alone=True)
    assert "Above $15.0: $11.5, no; $13.0, no; $15.0, no; $16.0, yes. New: " in text


def test_a_list_that_is_too_long_is_left_out():
    many = {str(key): {**OWN, "item_id": str(key), "price": float(key), "available": True} for key in range(10, 40)}
    text = steps(OWN, many["17"], "the dearest under $18", {"name": "Mug", "variants": many}, (), alone=True)
    assert "Under" not in text and "New: $17.0, red, M: 17." in text


def test_the_longest_list_of_the_shop_has_not_a_thousand_letters():
    longest = ""
    for product in shop_database()["products"].values():
        for new in (one for one in product["variants"].values() if one["available"]):
            own = {"name": product["name"], "item_id": "0", "price": 1e5, "options": dict.fromkeys(new["options"], "?")}
            for value in new["options"].values():
                text = steps(own, new, f"the dearest one in {value}", product, (), alone=True)
                longest = max(longest, re.sub(r"^.*?(?=With)|New: .*", "", text), key=len)
    assert 400 < len(longest) < 1000 and longest.count("; ") == 17, longest


def test_versions_that_are_rather_wished_for_are_missed_before_the_one_that_is_in_stock():
    text = written(3, "a blue one, or green if that is gone, all else equal")
    assert text.endswith(
        "1000000000. Wished, 2: color blue; else green. Change: color blue. New: blue, M: none, 1 of 2. "
        "Change: color green. New: green, M: 2000000003 at $17.0."
    )
    text = written(3, "a green one, or blue if that is gone")  # the first is in stock
    assert "Wished, 2: color green; else blue. Change: color green. New: green, M: 2000000003" in text
    assert "Wished, 1: color green. Change: color green. New: green, M: 2000000003" in written(3, "a green one")
    two = written(3, "the pen in blue and the mug in green", alone=False)  # another item's
    assert "Wished, 1: color green. Change: color green." in two


def test_what_the_item_has_is_wished_for_only_where_all_values_are_ranked():
    assert "Wished, 1: color green. Change: color green." in written(3, "a green one for my red one")
    ranked = written(2, "an L, in green, red or blue")
    assert (
        "Wished, 3: size L, color green; else red; else blue. Change: color green, size L. New: green, L: none, 1 of 3."
        in ranked
    )
    assert ranked.endswith("Change: size L. New: red, L: 2000000002 at $16.0.")


def test_a_value_that_is_a_part_of_another_one_is_not_named_by_it():
    own = {**OWN, "options": {"connectivity": "none", "storage": "8GB"}}
    both, less = {"connectivity": "Wi-Fi + Cellular", "storage": "8GB"}, {"connectivity": "Wi-Fi", "storage": "8GB"}
    rows = {
        "1": {"item_id": "1", "price": 15.0, "available": True, "options": both},
        "2": {"item_id": "2", "price": 11.0, "available": False, "options": less},
    }
    product = {"name": "Mug", "variants": rows}
    assert ": none" not in steps(own, rows["1"], "one with Wi-Fi + Cellular", product, (), alone=True)
    assert "Wi-Fi, 8GB: none, 1 of 1. No other." in none_such(own, {}, "the mug is not available with Wi-Fi", product)
    assert none_such(own, {}, "the mug is not available with Wi-Fi + Cellular", product) == ""  # it is


def test_the_version_of_another_order_is_looked_for_before_it_is_refused():
    other = {"order_id": "#W2", "items": [{**PRODUCT["variants"]["2000000005"], "name": "Mug", "product_id": "1"}]}
    words = "the mug of order #W2 is not available any more"
    text = none_such({**OWN, "product_id": "1"}, {}, words, PRODUCT, [other])
    assert text == (
        "Mug, red, M: 1000000000. As in #W2: Mug, blue, M: 2000000005. "
        "Change: color blue. New: blue, M: none, 1 of 1. No other."
    )
    assert none_such({**OWN, "product_id": "1"}, {}, words, PRODUCT) == ""  # the order was not read
    twice = {**other, "items": other["items"] * 2}
    assert none_such({**OWN, "product_id": "1"}, {}, words, PRODUCT, [twice]) == ""  # nobody knows which


def test_a_value_that_two_options_may_have_tells_neither():
    own = {**OWN, "options": {"frame": "red", "lens": "red"}}
    rows = {
        key: {"item_id": key, "price": 15.0, "available": False, "options": {"frame": frame, "lens": lens}}
        for key, frame, lens in (("1", "black", "red"), ("2", "red", "black"))
    }
    assert none_such(own, {}, "the mug is not available in black", {"name": "Mug", "variants": rows}) == ""


def test_only_what_a_wish_says_of_the_same_option_is_missed():
    own = {**OWN, "options": {"frame": "red", "lens": "red"}}
    rows = {
        key: {"item_id": key, "price": 15.0, "available": key != "3", "options": options}
        for key, options in {
            "1": {"frame": "silver", "lens": "black"},
            "2": {"frame": "black", "lens": "silver"},
            "3": {"frame": "black", "lens": "black"},
        }.items()
    }
    product = {"name": "Mug", "variants": rows}
    assert "none" not in steps(own, rows["1"], "black, silver, please", product, (), alone=True)
    assert "none" not in steps(own, rows["1"], "black/silver silver", product, (), alone=True)


def test_the_same_thing_in_another_order_is_shown():
    other = {"order_id": "#W2", "items": [{**PRODUCT["variants"]["2000000004"], "name": "Mug"}]}
    text = written(4, "like the one in my other order", orders=[other])
    assert "As in #W2: Mug, blue, L: 2000000004. Change: color blue, size L. New: blue, L: 2000000004" in text
    assert "As in" not in written(4, "a blue one in L", orders=[other])
    assert "As in" not in written(4, "like the one in my other order")


def test_of_several_items_those_whose_options_are_said_are_not_looked_for_by_price():
    wish = "the pen for the cheapest one; the mug for a blue one in S"
    assert "Change: color blue, size S. New: blue, S: 2000000000" in written(0, wish, alone=False)
    assert "New: $11.5, blue, S: 2000000000. Change" in written(0, "the cheapest; and the pen in black", alone=False)


def test_who_wants_a_step_is_shown_those_that_are_otherwise_the_same():
    text = written(3, "one in the next colour, all else equal")
    assert "Else the same: $17.0, green, M: 2000000003. Change: color green. New: green, M" in text
    assert "Else the same" not in written(3, "a green one")  # named
    assert "Else the same" not in written(0, "a smaller one in the next colour")  # of two options


@pytest.mark.parametrize(
    ("answer", "question", "listed"),
    [
        (
            "The cheapest such mug in stock costs $13.00",
            "in red",
            "With color red, cheapest: $11.5, blue, no; $13.0, red, yes.",
        ),
        (
            "The most expensive such mug in stock costs $16.00",
            "in red",
            "With color red, dearest: $11.5, blue, no; $13.0, red, yes; $16.0, red, yes; $17.0, green, no; "
            "$19.0, blue, no.",
        ),
        (
            "these versions are in stock: blue, L at $19.00; red, L at $16.00.",
            "an L, not for my red one",
            "With size L: $11.5, S, no; $13.0, S, no; $16.0, L, yes; $17.0, M, no; $19.0, L, yes.",
        ),
        ("Of the mug, 2 such versions are available.", "below $16", "Under $16: $11.5, yes; $13.0, yes; $16.0, no."),
        ("Of the mug, 4 such versions are available.", "in red", ""),
        ("The cheapest such mug in stock costs $11.50", "in red", ""),
        ("The cheapest mug costs $11.50", "in blue", ""),
    ],
)
def test_which_versions_a_question_is_about_is_looked_for_one_by_one(answer: str, question: str, listed: str):
    assert such(answer, question, PRODUCT) == listed


def test_who_says_what_is_to_be_unlike_the_last_proposal_wants_no_step():
    before = {**PRODUCT["variants"]["2000000000"], "options": {"color": "green", "size": "S"}}
    new = PRODUCT["variants"]["2000000003"]
    assert "Else the same: " in steps(OWN, new, "size M", PRODUCT, (), alone=True)
    text = steps(OWN, new, "size M", PRODUCT, (), alone=True, before=before)
    assert "Last: green, S. Wished, 1: size M. Change: size M. New: green, M: 2000000003" in text
    assert "Else the same: " in steps(OWN, new, "the next colour", PRODUCT, (), alone=True)


@pytest.mark.parametrize(
    ("wanted", "words", "shown"),
    [
        (
            {"color": "blue"},
            "the mug is not available",
            "Wished, 1: color blue. Change: color blue. New: blue, M: none, 1 of 1. No other.",
        ),
        (
            {},
            "the mug is not available in blue",
            "Wished, 1: color blue. Change: color blue. New: blue, M: none, 1 of 1. No other.",
        ),
        (
            {},
            "the mug is not available with green and S",
            "Wished, 1: color green, size S. Change: color green, size S. New: green, S: none, 1 of 1. No other.",
        ),
        ({}, "the mug is not available in green or blue and S", ""),  # nobody knows which
        ({}, "no mug with a higher size that is otherwise the same is available", None),
        (
            {},
            "no mug with a higher color that is otherwise the same is available",
            "Else the same: $17.0, green, M: 2000000003. No other.",
        ),
        ({}, "the mug is not available in green", ""),  # it is
        ({}, "the mug is not available in another shade", ""),  # nobody knows which
    ],
)
def test_a_refusal_comes_after_what_the_list_shows(wanted: dict[str, str], words: str, shown: str | None):
    text = none_such(OWN, wanted, words, PRODUCT)
    if shown is None:
        shown = "Else the same: $13.0, red, S: 2000000001; $16.0, red, L: 2000000002. No other."
    assert text == (f"Mug, red, M: 1000000000. {shown}" if shown else "")
