"""Numbers in English text, however they are written."""

from decimal import Decimal

import pytest

from tau_retail_env.world.numbers import numbers_in


def values(text):
    return [str(number.value) for number in numbers_in(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It costs $1,093.34.", ["1093.34"]),
        ("It costs 1093.34 dollars", ["1093.34"]),
        ("10, 20 and 1,000,000.", ["10", "20", "1000000"]),
        ("ten", ["10"]),
        ("Twenty-one options", ["21"]),
        ("one thousand ninety-three", ["1093"]),
        ("two hundred and five", ["205"]),
        ("a hundred lamps, three hundred rugs", ["100", "300"]),
        ("twenty dollars and five cents", ["20.05"]),
        ("20 dollars and 50 cents", ["20.5"]),
        ("nine hundred eighteen dollars and forty-three cents", ["918.43"]),
        ("1.093,34 or 918,43", ["1093.34", "918.43"]),
        ("64GB", ["64"]),
        ("(a refund of -$60.78)", ["60.78"]),
        ("order #W2378156 on gift_card_7245904", []),
        ("someone often tends to be weighty", []),
    ],
)
def test_a_number_is_found_in_any_usual_form(text, found):
    assert [Decimal(value) for value in values(text)] == [Decimal(value) for value in found]


def test_where_a_number_stands_is_told():
    text = "You get $54.04 back."
    (number,) = numbers_in(text)
    assert text[number.start : number.end] == "54.04"


def test_cents_belong_to_the_number_before_them():
    text = "That is twenty dollars and five cents in all."
    (number,) = numbers_in(text)
    assert text[number.start : number.end] == "twenty dollars and five cents"
