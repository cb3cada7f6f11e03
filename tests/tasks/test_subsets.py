"""Subsets say what a task's gold actions hold, and expressions combine them."""

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks import SUBSETS, WRITE_TOOLS, Action, Task, select_subset
from tau_retail_env.tasks.writes import canonical_writes

RETURN, CANCEL, TRANSFER = "return_delivered_order_items", "cancel_pending_order", "transfer_to_human_agents"


def task(name, *tools, arguments=None):
    actions = tuple(Action(tool, arguments or {}) for tool in tools)
    return Task(name, source="hand", domain="retail", split="test", instruction="", actions=actions)


TASKS = [
    task("looks", "get_order_details", "calculate"),
    task("returns", "get_order_details", RETURN),
    task("cancels", CANCEL),
    task("returns twice", RETURN, RETURN),
    task("cancels, then transfers", CANCEL, TRANSFER),
    task("returns and cancels", RETURN, CANCEL),
]


def selected(expression):
    return [chosen.id for chosen in select_subset(TASKS, expression)]


def test_every_write_tool_has_its_subset():
    for tool in WRITE_TOOLS:
        names = [name for name, belongs in SUBSETS.items() if belongs(task("one", tool))]
        assert len(set(names) - {"all", "single"}) == 1, (tool, names)


def test_a_subset_holds_the_tasks_whose_gold_actions_contain_its_kind_in_the_order_given():
    assert selected("returns") == ["returns", "returns twice", "returns and cancels"]
    assert selected("transfer") == ["cancels, then transfers"]


def test_lookup_single_and_multi_count_writes_and_divide_all_tasks():
    assert selected("lookup") == ["looks"]
    assert selected("single") == ["returns", "cancels", "cancels, then transfers"]
    assert selected("multi") == ["returns twice", "returns and cancels"]
    assert selected("lookup+single+multi") == selected("all") == [each.id for each in TASKS]


def test_plus_is_the_union_and_ampersand_the_intersection():
    assert selected("transfer+lookup") == ["looks", "cancels, then transfers"]
    assert selected("returns*cancellations") == ["returns and cancels"]


def test_the_intersection_binds_tighter_than_the_union():
    assert selected("single*returns+multi*cancellations") == ["returns", "returns and cancels"]
    assert selected("single * transfer + lookup") == ["looks", "cancels, then transfers"]


@pytest.mark.parametrize("expression", ["refunds", "returns+refunds", "returns+", "", "single*", None, ["returns"]])
def test_an_unknown_name_is_refused_with_the_known_ones(expression):
    with pytest.raises(InvalidValueError, match=r"task_subset.*known: all, returns, exchanges"):
        select_subset(TASKS, expression)


def test_an_empty_selection_names_the_expression_and_where_it_looked():
    with pytest.raises(InvalidValueError, match=r"'payment' selects nothing from the 6 tasks of source 'hand', split"):
        select_subset(TASKS, "payment")


def test_the_order_of_returned_items_does_not_make_another_change():
    one, other = ({"order_id": "#W1", "item_ids": ids} for ids in (["1", "2"], ["2", "1"]))
    assert canonical_writes(task("a", RETURN, arguments=one)) == canonical_writes(task("b", RETURN, arguments=other))


def test_which_item_replaces_which_makes_another_change():
    tool = "exchange_delivered_order_items"
    straight, swapped, crossed = (
        canonical_writes(task("a", tool, arguments={"item_ids": old, "new_item_ids": new}))
        for old, new in ((["1", "2"], ["3", "4"]), (["2", "1"], ["4", "3"]), (["1", "2"], ["4", "3"]))
    )
    assert straight == swapped != crossed
