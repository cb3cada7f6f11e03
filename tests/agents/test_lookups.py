"""Under which text a look-up's answer is kept."""

import pytest

from tau_retail_env.agents.lookups import call_key


def test_the_order_of_arguments_does_not_matter():
    one, other = {"a": "1", "b": ["2"]}, {"b": ["2"], "a": "1"}
    assert call_key("tool", one) == call_key("tool", other)
    assert call_key("tool", {"a": "1", "b": "2"}) == call_key("tool", {"b": "2", "a": "1"})


@pytest.mark.parametrize("values", [(1, 1.0), (1, True), ("1", 1), ([1], 1), ("a", None)])
def test_values_of_two_types_are_two_calls(values):
    keys = [call_key("tool", {"name": value}) for value in values]
    assert keys[0] != keys[1]


def test_an_argument_may_have_any_name():
    assert call_key("tool", {"name": "x", "self": "y"}) == call_key("tool", {"self": "y", "name": "x"})
