"""v1's shop: what only its canonical form tells apart."""

import pytest

from tau_retail_env.messages import ToolCall
from tau_retail_env.sources import open_shop

ADDRESS = {"address1": "1 A St", "address2": "", "city": "B", "state": "CA", "country": "USA"}


@pytest.mark.parametrize("zip_code", [10001, 10001.0, ["10001"], None, "10001 "])
def test_a_value_of_another_type_is_another_change(tau_bench, zip_code):
    def changes(value):
        world = open_shop("tau_bench").open()
        given = {"user_id": "omar_anderson_3203", **ADDRESS, "zip": value}
        assert not world.call(ToolCall("modify_user_address", given)).error
        return world.changes()

    assert changes("10001") == changes("10001")
    assert changes(zip_code) != changes("10001")
