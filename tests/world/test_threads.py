"""64 environments in 64 threads play as they would alone, and leave the shop that they share as it was."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.registry import forget_sources
from tau_retail_env.tasks import gold_writes

THREADS = 64
TASKS = 16
SPLITS = {"tau2": "base", "tau_bench": "test"}


@pytest.fixture(params=SPLITS)
def source(request):
    """Each source in turn; v1 where it is there."""
    if request.param == "tau_bench":
        request.getfixturevalue("tau_bench")
    return request.param


@pytest.fixture
def impatient_threads():
    """Threads that take turns a thousand times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 1000)
    yield
    sys.setswitchinterval(before)


def writing_tasks(source):
    """Tasks that change something and end with the customer's words; each is played in several threads at once."""
    ending = open_shop(source).episode_rules.ending_tools
    tasks = [
        task
        for task in load_tasks(source, SPLITS[source])
        if gold_writes(task) and not ending & {action.name for action in task.actions}
    ]
    return [tasks[number % TASKS] for number in range(THREADS)]


def play(task):
    """The gold actions with the scripted customer, every look-up once more at the end: all that the agent sees."""
    env = TauRetailEnv(source=task.source, tasks=[task], max_turns=1000)
    words, _ = env.reset(task.id, seed=0)
    seen = [words, env.step("How can I help you?")[0]]
    calls = [ToolCall(action.name, action.arguments) for action in task.actions]
    for call in (*calls, *(call for call in calls if call.name.startswith("get_"))):
        seen.append(env.step(AgentMessage(tool_calls=(call,)))[0])
    return seen


def play_at_once(tasks):
    """Each task in an environment and a thread of its own, all starting together."""
    start = threading.Barrier(len(tasks))

    def run(task):
        start.wait()
        return play(task)

    with ThreadPoolExecutor(len(tasks)) as threads:
        return list(threads.map(run, tasks))


def test_environments_in_threads_share_nothing_that_changes(source, impatient_threads):
    tasks = writing_tasks(source)
    forget_sources()
    shop = open_shop(source)
    before = shop.snapshot_digest()
    seen = play_at_once(tasks)
    assert shop.snapshot_digest() == before
    forget_sources()
    assert seen == [play(task) for task in tasks]
    assert open_shop(source).snapshot_digest() == before


def test_the_digest_notices_a_change_of_the_shop(source):
    forget_sources()
    shop = open_shop(source)
    before = shop.snapshot_digest()
    order = next(iter(shop.snapshot.orders.values() if source == "tau2" else shop.database["orders"].values()))
    changes = vars(order) if source == "tau2" else order
    changes["status"] = "lost"
    assert shop.snapshot_digest() != before
    forget_sources()
