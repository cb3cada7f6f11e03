"""Finding tasks and writing them out."""

from __future__ import annotations

import pytest

from tau_retail_env.cli.catalogue import (
    as_markdown,
    briefing,
    call_text,
    counts,
    description,
    play_gold,
    subset_counts,
    summary,
    task_by_id,
    with_words,
)
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources import load_tasks, open_shop
from tau_retail_env.tasks import Action


def test_a_task_is_found_by_its_id_in_the_smallest_split_that_has_it():
    assert task_by_id("tau2/20").split == "train"
    assert task_by_id("17").id == "tau2/17"
    assert task_by_id("generated/test/7").id == "generated/test/7"
    assert task_by_id("test/7", "generated").id == "generated/test/7"


@pytest.mark.parametrize(
    ("task_id", "named"),
    [("elsewhere/3", "elsewhere"), ("tau2/333", "tau2/333"), ("generated/dev/1", "dev"), ("", "tau2/")],
)
def test_an_id_that_no_task_has_is_an_error_that_names_it(task_id, named):
    with pytest.raises(InvalidValueError, match=named):
        task_by_id(task_id)


@pytest.mark.parametrize(
    ("task_id", "message"),
    [
        ("airline/3", r"^Task 'airline/3': Unknown source 'airline'; known: tau2, tau_bench, gen.*retail only$"),
        ("tau3/12", r"Unknown source 'tau3'.*Did you mean 'tau2'\?"),
        ("tset/3", r"Unknown source 'tset'.*Nor is it a split of 'tau2' \(train, test, base\)"),
    ],
)
def test_an_id_of_no_known_source_names_those_there_are_and_the_domain(task_id, message):
    with pytest.raises(InvalidValueError, match=message):
        task_by_id(task_id)


def test_words_are_searched_in_request_and_gold_actions_case_aside():
    tasks = load_tasks("tau2", "test")
    found = with_words(tasks, "FATIMA suite private")
    assert [task.id for task in found] == ["tau2/17"]
    assert with_words(tasks, "modify_pending_order_address 78712")[0].id == "tau2/17"
    assert with_words(tasks, "") == tasks


def test_a_summary_fits_its_line():
    task = task_by_id("tau2/12")
    line = summary(task, 120)
    assert len(line) <= 120
    assert line.startswith("tau2/12 ")
    assert "returns, transfer, single" in line


def test_counts_add_up():
    tasks = load_tasks("tau2", "test")
    assert counts(tasks, len(tasks)).startswith("40 tasks: returns ")
    assert counts(tasks[:2], 40).startswith("2 of 40 tasks: ")
    assert counts([], 40) == "0 of 40 tasks"


def test_a_call_reads_as_a_call():
    action = Action("cancel_pending_order", {"order_id": "#W1", "reason": "no longer needed", "n": 2})
    assert call_text(action) == 'cancel_pending_order(order_id="#W1", reason="no longer needed", n=2)'
    assert "by the user" in call_text(Action("toggle", {}, requestor="user"))


def test_changes_name_the_field_before_and_after():
    gold = play_gold(task_by_id("tau2/17"))
    assert gold.changes == ('orders #W8665881 address.address2: "Suite 640" -> "Suite 641"',)
    assert not any(gold.failures)


def test_a_refund_to_a_gift_card_shows_in_both_tables():
    task = next(
        task
        for task in load_tasks("tau2", "base", "cancellations")
        if any(line.startswith("users ") for line in play_gold(task).changes)
    )
    changes = play_gold(task).changes
    assert any('status: "pending" -> "cancelled"' in line for line in changes)
    assert any("balance: " in line for line in changes)


def test_a_description_holds_request_actions_changes_and_outputs():
    task = next(task for task in load_tasks("tau2", "base") if task.outputs)
    text = description(task)
    assert all(call_text(action) in text for action in task.actions)
    assert all(f"  {output}" in text for output in task.outputs)
    assert "Reason for the call" in text


def test_a_gold_action_that_the_shop_refuses_says_so():
    task = task_by_id("tau2/12")
    assert play_gold(task).changes == ()
    lines = description(task).splitlines()
    (place,) = [number for number, line in enumerate(lines) if "return_delivered_order_items" in line]
    assert lines[place + 1] == "    fails: Error: Payment method should be the original payment method"
    assert lines[lines.index("What they change") + 1] == "  nothing"


def test_what_is_changed_is_what_the_reward_compares():
    shop = open_shop("tau2")
    for task in load_tasks("tau2", "base"):
        told = {tuple(line.split(" ")[:2]) for line in play_gold(task).changes}
        assert told == set(shop.gold_changes(task)), task.id


def test_showing_a_task_leaves_the_shop_as_it_was():
    shop = open_shop("tau2")
    before = shop.snapshot_digest()
    for task in load_tasks("tau2", "base", "multi"):
        description(task)
    assert shop.snapshot_digest() == before


def test_a_briefing_keeps_the_gold_actions_to_itself():
    task = task_by_id("tau2/17")
    assert "You want to change #W8665881 to be delivered to Suite 641 instead." in briefing(task)
    assert "modify_pending_order_address" not in briefing(task)


def test_subsets_are_counted_by_source_and_split():
    table = subset_counts(["tau2"])
    assert list(table) == [("tau2", split) for split in ("train", "test", "base")]
    assert table["tau2", "test"]["returns"] == len(load_tasks("tau2", "test", "returns"))
    for column in table.values():
        assert column["lookup"] + column["single"] + column["multi"] == column["all"]
    first, _, second, *_ = as_markdown(table).splitlines()
    assert first == "| subset | tau2 train | tau2 test | tau2 base |"
    assert second == "| all | 74 | 40 | 114 |"


def test_an_unknown_source_cannot_be_counted():
    with pytest.raises(InvalidValueError, match="tau3"):
        subset_counts(["tau3"])


@pytest.mark.parametrize("source", ["tau2", "generated"])
def test_every_kind_of_task_can_be_described(source):
    for task in load_tasks(source, "test")[:40]:
        assert task.id in description(task)


def test_every_task_of_v1_can_be_described(tau_bench):
    for task in load_tasks("tau_bench", "test"):
        assert task.instruction.split()[0] in briefing(task)
        assert task.id in description(task)


def test_a_task_of_v1_is_found_by_its_id_and_shows_its_changes(tau_bench):
    task = task_by_id("tau_bench/test/0")
    assert (task.split, task_by_id("test/0", "tau_bench").id) == ("test", task.id)
    told = {tuple(line.split(" ")[:2]) for line in play_gold(task).changes}
    assert told == set(open_shop("tau_bench").gold_changes(task)) != set()
