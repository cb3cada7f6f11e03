"""Which expressions the calculator may be given."""

import pytest

from tau_retail_env.world.arithmetic import is_affordable


@pytest.mark.parametrize(
    "expression",
    ["2 + 2", "2**10", "(1.5)**200", "2 ** 2000", "10 ** -3", "2.5**9**9", "", "(", "2 **", None, 3, "9" * 5000],
)
def test_what_ends_at_once_is_left_to_upstream(expression):
    assert is_affordable(expression)


@pytest.mark.parametrize("expression", ["9**9**9**9", "2**5000", " (10**10)**1000", "-(7**999999)", "(2*3)**(4**9)"])
def test_huge_whole_number_powers_are_refused(expression):
    assert not is_affordable(expression)
