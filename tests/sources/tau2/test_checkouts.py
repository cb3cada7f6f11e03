"""τ²'s newer versions go as on the environment of upstream's own checkout: texts, errors, the shop, the database check.

TAU_RETAIL_FUZZ_EPISODES=10000 plays more of them; with -s the counts are shown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env import load_tasks
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.messages import ToolCall
from tau_retail_env.sources import get_source
from tau_retail_env.sources.tau2 import editions
from tau_retail_env.tasks import Task
from tau_retail_env.users import OUT_OF_SCOPE, STOP, TRANSFER
from tests.sources.fuzzing import Ours, Outcome, Script, compare, scripts_of

NO_LIMIT = 10**9
FINDS_ITEMS = {"1.0": True, "verified": False}
"""Whether `get_item_details` finds anything: verified's asks whether "variants" is in a product, which is never so."""


class Checkout:
    """Upstream's environment of a version, which gets a fresh database for each script.

    Args:
        version: which; its checkout is here.
    """

    def __init__(self, version: str) -> None:
        edition = editions.edition_of(version)
        program = Path(__file__).parent / "upstream_program.py"
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(edition.package), str(edition.retail)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHON_DOTENV_DISABLED": "1"},
        )
        self._gold: dict[str, dict[str, str]] = {}
        first = self._read()
        self.tools: Sequence[Mapping[str, Any]] = first["tools"]
        self.shows_its_policy: bool = first["policy"]

    def run(self, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
        """Call tools one after another: `answers`, `changes` in the form that is hashed, and how tools show these."""
        self._process.stdin.write(json.dumps(calls) + "\n")
        self._process.stdin.flush()
        return self._read()

    def play(self, script: Script) -> Outcome:
        """Play a script to its end, which no limit cuts short; its reward is that of the database."""
        played = self.run([(call.name, dict(call.arguments)) for call in script.calls])
        answers = iter(played["answers"])
        heard: list[list[str]] = []
        failed: list[list[bool]] = []
        for message in script.messages:
            told = [next(answers) for _ in message.tool_calls]
            reply = script.last_words if message is script.messages[-1] else script.reply
            heard.append([content for content, _ in told] or [reply])
            failed.append([error for _, error in told])
        shown = {tuple(place.split("/", 1)): text for place, text in played["shown"].items()}
        reward = float(played["changes"] == self._gold_changes(script.task))
        return Outcome(heard, failed, shown, reward, "user_stop")

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()

    def _gold_changes(self, task: Task) -> dict[str, str]:
        if task.id not in self._gold:
            played = self.run([(action.name, dict(action.arguments)) for action in task.actions])
            self._gold[task.id] = played["changes"]
        return self._gold[task.id]

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        assert line, "upstream's environment has died"
        return json.loads(line)


@pytest.fixture(scope="module", params=["1.0", "verified"])
def version(request: pytest.FixtureRequest) -> str:
    """A version whose checkout is here; without it the test skips."""
    try:
        editions.edition_of(request.param)
    except (MissingDependencyError, InvalidValueError) as error:
        pytest.skip(f"needs τ² {request.param}: {error}")
    return request.param


@pytest.fixture(scope="module")
def checkout(version: str) -> Iterator[Checkout]:
    """Upstream's own environment of the version."""
    checkout = Checkout(version)
    yield checkout
    checkout.close()


def test_the_gold_actions_of_every_task_answer_and_change_what_they_do_upstream(
    version: str, checkout: Checkout
) -> None:
    shop = get_source("tau2", version).shop()
    writes = 0
    for task in load_tasks("tau2", "base", task_version=version):
        world = shop.open()
        theirs = checkout.run([(action.name, dict(action.arguments)) for action in task.actions])
        ours = [world.call(ToolCall(action.name, action.arguments)) for action in task.actions]
        assert [[one.content, one.error] for one in ours] == theirs["answers"], task.id
        changes = {f"{table}/{key}": form for (table, key), form in world.changes().items()}
        assert changes == theirs["changes"], task.id
        assert changes == {"/".join(place): form for place, form in shop.gold_changes(task).items()}, task.id
        writes += len(changes)
    assert writes > 100


def test_random_episodes_go_as_on_upstreams_environment(version: str, checkout: Checkout) -> None:
    ours = Ours("tau2", max_errors=NO_LIMIT, version=version)
    before = ours.shop.snapshot_digest()
    tools = [tool["function"]["name"] for tool in checkout.tools]
    tasks = load_tasks("tau2", "base", task_version=version)
    with warnings.catch_warnings(action="ignore"):
        tally = compare(scripts_of(tasks, ours.shop, (STOP, TRANSFER, OUT_OF_SCOPE)), checkout, ours, tools)
    print(f"\n{version}: {tally}")
    assert ours.shop.snapshot_digest() == before
    assert tally.successful_writes > tally.episodes / 2
    assert tally.rewards[1.0] > 0
    assert (tally.succeeded["get_item_details"] > 0) is FINDS_ITEMS[version]


def test_the_agent_is_shown_the_tools_and_the_policy_of_upstream(version: str, checkout: Checkout) -> None:
    shop = get_source("tau2", version).shop()
    assert list(shop.tools) == checkout.tools
    assert checkout.shows_its_policy
    assert shop.domain_policy == (editions.edition_of(version).retail / "policy.md").read_text(encoding="utf-8")
