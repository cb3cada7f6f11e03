"""τ²'s shop: what reading costs, what writing leaves untouched, and that answers equal upstream's own environment's."""

import json
import subprocess
import sys

import pytest

from tau_retail_env.messages import ToolCall
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.tau2 import shop as tau2

ORDER = "#W5918442"
USER = "sofia_rossi_8776"
CANCEL = ToolCall("cancel_pending_order", {"order_id": ORDER, "reason": "no longer needed"})
LOOK = ToolCall("get_order_details", {"order_id": ORDER})


@pytest.fixture(scope="module")
def shop():
    return open_shop("tau2")


@pytest.fixture(scope="module")
def upstream():
    """Upstream's environment as upstream makes it, over a database of its own."""
    from tau2.domains.retail.environment import get_environment

    return get_environment()


def test_what_takes_long_to_import_comes_when_upstream_shows_a_difference():
    code = (
        "import sys; from tau_retail_env.sources import open_shop; open_shop('tau2');"
        "assert not {'deepdiff', 'pandas'} & set(sys.modules);"
        "from tau2.utils.utils import show_dict_diff; print(list(show_dict_diff({'a': 1}, {'a': 2})))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "['values_changed']\n"


def test_reading_copies_nothing(shop, monkeypatch):
    copied = []
    monkeypatch.setattr(tau2, "_copy", copied.append)
    world = shop.open()
    for call in (LOOK, ToolCall("get_user_details", {"user_id": USER}), ToolCall("list_all_product_types", {})):
        assert not world.call(call).error
    assert world.changes() == {}
    assert copied == []


def test_a_write_is_seen_in_its_episode_and_in_no_other(shop):
    before = shop.snapshot_digest()
    writer, other = shop.open(), shop.open()
    untouched = writer.call(LOOK).content
    assert json.loads(writer.call(CANCEL).content)["status"] == "cancelled"
    assert json.loads(writer.call(LOOK).content)["status"] == "cancelled"
    assert other.call(LOOK).content == shop.open().call(LOOK).content == untouched
    assert (list(writer.changes()), other.changes()) == ([("orders", ORDER)], {})
    assert shop.snapshot_digest() == before


def test_a_write_that_fails_changes_nothing(shop):
    world = shop.open()
    assert world.call(ToolCall(CANCEL.name, {"order_id": ORDER, "reason": "bored"})).error
    assert world.changes() == {}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_order_details", {"order_id": ORDER}),
        ("get_order_details", {"order_id": [ORDER]}),
        ("get_order_details", {"order": ORDER, "and": 1}),
        ("get_order_details", {}),
        ("get_user_details", {"user_id": USER, "self": 1}),
        ("get_user_details", {"user_id": USER, "tool_name": "calculate"}),
        ("get_user_details", {"user_id": USER, "requestor": "user"}),
        ("find_user_id_by_email", {"email": 5}),
        ("calculate", {"expression": "(1 + 2) / 3"}),
        ("calculate", {"expression": "1 / 0"}),
        ("think", {"thought": "hm"}),
        ("", {}),
        ("__init__", {}),
        ("_get_order", {"order_id": ORDER}),
        ("transfer_to_human_agents", {"summary": None}),
        ("modify_user_address", dict.fromkeys(("address1", "address2", "city", "state", "country", "zip"), 1)),
        (
            "modify_user_address",
            {"user_id": USER} | dict.fromkeys(("address1", "address2", "city", "state", "country", "zip"), 1),
        ),
    ],
)
def test_an_answer_equals_that_of_upstreams_environment(shop, upstream, name, arguments):
    from tau2.data_model.message import ToolCall as UpstreamCall

    expected = upstream.get_response(UpstreamCall(id="1", name=name, arguments=arguments))
    found = shop.open().call(ToolCall(name, arguments, "1"))
    assert (found.content, found.error) == (expected.content, expected.error)
