"""Which expressions the calculator may be given."""

import time

import pytest

from tau_retail_env.world.arithmetic import MAX_BITS, MAX_CHARACTERS, is_affordable


@pytest.mark.parametrize(
    "expression",
    [
        *("2 + 2", "2**10", "(1.5)**200", "2 ** 2000", "2**5000", "2.5**9**9", "10 ** -3", "10 ** -99999999"),
        *("1**99999999", "0**99999999", "(-1)**99999999", "(2**9999)**0", "2**10000 // 2**9990", "2**(1/0)"),
    ],
)
def test_what_ends_at_once_is_left_to_upstream(expression):
    assert is_affordable(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "(",
        "(" * 15_000 + "2**2",
        "x" * 1_000_000,
        "2 **",
        "() ** 2",
        "2**2(3)",
        "... ** 2",
        "x*9**9**9**9",
        "9**9**9**9,",
        None,
        3,
        ["9**9**9**9"],
    ],
)
def test_what_is_no_arithmetic_is_left_to_upstreams_own_error(expression):
    assert is_affordable(expression)


@pytest.mark.parametrize(
    "expression",
    [
        *("9**9**9**9", "2**99999", " (10**10)**10000", "-(7**999999)", "(2*3)**(4**9)", "1.5 * 9**9**9**9"),
        *("2**60000 * 2**60000", "2(9**9**9**9)", "2(*(9**9**9**9))", "2(**(9**9**9**9))", "(9**9**9**9)(2)"),
        *("9**9**9**9" + "+1" * 2000, "9**9**9**9" + "+1" * 50_000),
    ],
)
def test_huge_whole_numbers_are_refused(expression):
    assert not is_affordable(expression)


@pytest.mark.parametrize("unit", ["9*", "99999999*", "9-", "1/", "(", "-", " ", "9.9*", "9//"])
def test_a_long_expression_is_refused_whatever_it_holds(unit):
    assert not is_affordable(unit * (1_000_000 // len(unit)) + "9")


@pytest.mark.parametrize("unit", ["9" * 50 + "*", "9" * 500 + "*", "9" * 4000 + "*"])
def test_the_longest_product_is_a_short_calculation_below_the_bound(unit):
    expression = unit * ((MAX_CHARACTERS - 1) // len(unit)) + "9"
    assert is_affordable(expression)
    began = time.perf_counter()
    assert eval(expression).bit_length() <= MAX_BITS
    assert time.perf_counter() - began < 1
