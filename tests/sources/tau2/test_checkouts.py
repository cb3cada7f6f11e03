"""Tool calls of τ²'s newer versions go as on the environment of upstream's own checkout: texts, errors, the shop.

TAU_RETAIL_FUZZ_EPISODES=10000 plays more of them.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tau_retail_env import load_tasks
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.messages import ToolCall
from tau_retail_env.sources import get_source
from tau_retail_env.sources.tau2 import editions

RANDOM_SCRIPTS = int(os.environ.get("TAU_RETAIL_FUZZ_EPISODES", "60"))
CALLS = 8


@pytest.fixture(scope="module", params=["1.0", "verified"])
def version(request):
    """A version whose checkout is here; without it the test skips."""
    try:
        editions.edition_of(request.param)
    except (MissingDependencyError, InvalidValueError) as error:
        pytest.skip(f"needs τ² {request.param}: {error}")
    return request.param


@pytest.fixture(scope="module")
def scripts(version):
    """The gold actions of every task, and random calls: gold ones, whole or with something of another one's."""
    tasks = load_tasks("tau2", "base", task_version=version)
    gold = [[(action.name, dict(action.arguments)) for action in task.actions] for task in tasks]
    items = [key for product in database(version)["products"].values() for key in product["variants"]]
    calls = [call for script in gold for call in script]
    calls += [("get_item_details", {"item_id": key}) for key in (*items[::40], "no such item", 7)]
    draw = random.Random(f"checkouts/{version}")
    return gold + [[mixed(draw, calls) for _ in range(CALLS)] for _ in range(RANDOM_SCRIPTS)]


@pytest.fixture(scope="module")
def upstreams(version, scripts):
    """What upstream's own code makes of the scripts."""
    edition = editions.edition_of(version)
    program = Path(__file__).parent / "upstream_program.py"
    files = (edition.package, edition.retail / "db.json", edition.retail / "policy.md")
    result = subprocess.run(
        [sys.executable, str(program), *map(str, files)],
        input=json.dumps(scripts),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHON_DOTENV_DISABLED": "1"},
    )
    return json.loads(result.stdout)


def database(version):
    return get_source("tau2", version).shop().database


def mixed(draw, calls):
    """A call, or one with an argument of another call, left out, or of a type that nobody expects."""
    name, given = draw.choice(calls)
    given = dict(given)
    kind = draw.random()
    if given and kind < 0.45:
        argument = draw.choice(sorted(given))
        others = [other[argument] for _, other in calls if argument in other]
        given[argument] = draw.choice(others)
    elif given and kind < 0.6:
        given.pop(draw.choice(sorted(given)))
    elif given and kind < 0.7:
        given[draw.choice(sorted(given))] = draw.choice([None, 3, ["a"], {"b": 1}, ""])
    elif kind < 0.75:
        name = "no_such_tool"
    return name, given


def test_every_call_answers_and_changes_what_it_does_upstream(version, scripts, upstreams):
    shop = get_source("tau2", version).shop()
    before = shop.snapshot_digest()
    failed = writes = 0
    for script, theirs in zip(scripts, upstreams["played"], strict=True):
        world = shop.open()
        ours = [world.call(ToolCall(name, given)) for name, given in script]
        assert [[one.content, one.error] for one in ours] == theirs["answers"], script
        assert {f"{table}/{key}": form for (table, key), form in world.changes().items()} == theirs["changes"], script
        failed += sum(one.error for one in ours)
        writes += len(theirs["changes"])
    assert shop.snapshot_digest() == before
    assert failed > RANDOM_SCRIPTS / 2 and writes > RANDOM_SCRIPTS / 10


def test_the_agent_is_shown_the_tools_and_the_policy_of_upstream(version, upstreams):
    shop = get_source("tau2", version).shop()
    assert list(shop.tools) == upstreams["tools"]
    assert upstreams["policy"]
    assert shop.domain_policy == (editions.edition_of(version).retail / "policy.md").read_text(encoding="utf-8")
