"""The gold actions of every series of generated tasks, run by upstream's own tools."""

import copy

import pytest

from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.generated import SERIES2, SERIES3, SERIES4, SERIES5, SERIES6
from tau_retail_env.tasks import gold_writes, select_subset

SAMPLES = {1: 500, 2: 400, 3: 400, 4: 400, 5: 400, 6: 800}
"""How many tasks of each split are played, by series."""


@pytest.fixture(scope="module", params=SAMPLES, ids=[f"series {number}" for number in SAMPLES])
def sample(request):
    number = request.param
    if number == 1:
        return [task for split in ("train", "test") for task in load_tasks("generated", split)[: SAMPLES[1]]]
    series = {2: SERIES2, 3: SERIES3, 4: SERIES4, 5: SERIES5, 6: SERIES6}[number]
    return [task for split in ("train", "test") for task in series.generate(f"{split}{number}", SAMPLES[number])]


@pytest.fixture(scope="module")
def upstream():
    """Upstream's own environment, with its log silenced."""
    from loguru import logger

    logger.disable("tau2")
    from tau2.domains.retail.environment import get_environment

    return get_environment()


def replay(upstream, task, actions):
    """Run actions through upstream's tools; gives their answers and what the customer's part of the shop then is."""
    shop = upstream.tools.db
    user = shop.users[task.user_id]
    orders = {order_id: shop.orders[order_id] for order_id in user.orders}
    shop.users[task.user_id] = copy.deepcopy(user)
    shop.orders.update(copy.deepcopy(orders))
    try:
        answers = [upstream.tools.use_tool(action.name, **action.arguments) for action in actions]
        changed = [shop.users[task.user_id], *(shop.orders[order_id] for order_id in orders)]
        return answers, [record.model_dump() for record in changed]
    finally:
        shop.users[task.user_id] = user
        shop.orders.update(orders)


def undone(task):
    """The write that a later one takes back: of a profile that is moved and put back, the first; else none."""
    moves = [write for write in gold_writes(task) if write.name == "modify_user_address"]
    return moves[0] if "put_back" in task.labels else None


def test_upstreams_tools_accept_every_gold_action_and_every_write_changes_the_shop(sample, upstream):
    for task in sample:
        answers, changed = replay(upstream, task, task.actions)
        assert answers[0] == task.user_id, task.id
        for left_out in gold_writes(task):
            _, without = replay(upstream, task, [action for action in task.actions if action is not left_out])
            assert (without == changed) == (left_out is undone(task)), (task.id, left_out)


def test_a_profile_that_is_put_back_ends_as_it_was(sample, upstream):
    for task in filter(undone, sample):
        _, begun = replay(upstream, task, [])
        _, changed = replay(upstream, task, gold_writes(task))
        assert changed[0]["address"] == begun[0]["address"] and changed != begun, task.id


def test_the_order_in_which_the_wishes_are_granted_does_not_matter(sample, upstream):
    for task in select_subset([task for task in sample if not undone(task)], "multi"):
        _, forwards = replay(upstream, task, gold_writes(task))
        _, backwards = replay(upstream, task, gold_writes(task)[::-1])
        assert forwards == backwards, task.id
