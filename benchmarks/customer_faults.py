"""What faults of its server cost a customer behind an API: python benchmarks/customer_faults.py

Plays the same episodes twice, all at once, against a server in this process: without faults, then with a fault in
30 % of the requests, of every kind after which another attempt helps. An episode is lost if it cannot be scored, and
wrongly scored if its reward or its end is not that of the scripted customer whose words the server speaks.
With --retries openai the package openai tries again by its own rules, and ours only where a reply was empty.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.sources import get_source
from tau_retail_env.tasks import Task
from tau_retail_env.users.base import UserError
from tau_retail_env.users.llm.call import Call, patience_s
from tau_retail_env.users.llm.completion import Completion, read_completion
from tau_retail_env.users.llm.connection import Connection
from tau_retail_env.users.llm.faults import Fault
from tau_retail_env.users.llm.settings import ApiSettings
from tau_retail_env.users.usage import latencies
from tests.users.llm.server import RETRYABLE, ChatServer, Request, script, seeded

SOURCE = "generated"
STRATEGY = "llm"
MODEL = "tiny"
SEED = 0


def main() -> None:
    """Play, print, and fail if an episode was lost or wrongly scored, or took twice as long."""
    options = _options()
    if options.retries == "openai":
        leave_retries_to_openai()
    tasks = load_tasks(SOURCE, "train")[: options.episodes]
    expected = scripted_episodes(tasks)
    told = f"{len(tasks)} episodes at once, {options.latency_s:g} s an answer, timeout_s {options.timeout_s:g}"
    print(f"{told}, {options.rate:.0%} faults: {', '.join(RETRYABLE)}")
    walls = []
    for name, plan in (("no faults", script([])), ("faults", seeded(options.rate, options.seed))):
        server = ChatServer(plan=plan, latency_s=options.latency_s, slow_s=options.latency_s)
        wall_s, played = play_all(expected, server, tasks, options.timeout_s)
        walls.append(wall_s)
        lost, wrong = lost_and_wrong(played, expected)
        waits = [usage["latency_s"] for episode in played for usage in episode.customer_usage]
        faults = sum(server.fault_counts().values())
        shown = ", ".join(f"{key} {value:.2f}" for key, value in latencies(waits).items())
        print(
            f"{name:10s} {wall_s:6.1f} s, {len(server.requests)} requests, {faults} faults, "
            f"{server.most_at_once} at once, {shown}; lost {len(lost)}, wrongly scored {len(wrong)}"
        )
        if lost or wrong:
            raise SystemExit(f"lost: {lost}, wrongly scored: {wrong}")
    print(f"wall time with faults: {walls[1] / walls[0]:.2f}x")
    if walls[1] >= 2 * walls[0]:
        raise SystemExit("expected less than 2x")


def leave_retries_to_openai() -> None:
    """Let the client of the package openai try again, as often as `user.max_retries` says, and ours no more."""
    make, after = Connection.__init__, Call._after

    def connect(self: Connection, settings: ApiSettings, key: str) -> None:
        make(self, settings, key)
        self._client = self._client.with_options(max_retries=settings.max_retries, timeout=settings.timeout_s)

    async def send(self: Connection, request: Mapping[str, Any], settings: ApiSettings, _: float) -> Completion | Fault:
        create = self._client.chat.completions.with_raw_response.create
        body = {name: value for name, value in request.items() if name not in ("model", "messages")}
        asking = create(model=request["model"], messages=request["messages"], extra_body=body)
        found = await self._body(asking, settings, patience_s(settings), request["messages"])
        return found if isinstance(found, Fault) else read_completion(found, settings)

    async def only_after_empty_replies(self: Call, fault: Fault) -> None:
        if not fault.reason.startswith("an empty reply"):
            raise UserError(fault.reason)
        await after(self, fault)

    Connection.__init__, Connection.send, Call._after = connect, send, only_after_empty_replies


def scripted_episodes(tasks: Sequence[Task]) -> dict[str, Trajectory]:
    """The episode of each task with the scripted customer."""
    return {task.id: _play(task, TauRetailEnv(SOURCE, tasks=[task])) for task in tasks}


def play_all(
    expected: Mapping[str, Trajectory], server: ChatServer, tasks: Sequence[Task], timeout_s: float
) -> tuple[float, list[Trajectory]]:
    """Play all tasks at once with an API customer.

    Args:
        expected: whose words the server's model says.
        server: not yet started.
        tasks: what is played.
        timeout_s: the customer's.

    Returns:
        Wall seconds, and the episodes in the order of the tasks.
    """
    server.reply = _script_reader(tasks, expected)
    with server, ThreadPoolExecutor(len(tasks)) as threads:
        block = {"base_url": server.base_url, "timeout_s": timeout_s, "max_concurrency": len(tasks)}
        customer = {"user_strategy": STRATEGY, "user_model": MODEL, "user_config": block}
        environments = [TauRetailEnv(SOURCE, tasks=[task], **customer) for task in tasks]
        began = time.perf_counter()
        played = list(threads.map(_play, tasks, environments))
        return time.perf_counter() - began, played


def lost_and_wrong(played: Sequence[Trajectory], expected: Mapping[str, Trajectory]) -> tuple[list[str], list[str]]:
    """Tasks whose episode cannot be scored, and those whose reward or end is not the expected one."""
    lost = [episode.task_id for episode in played if not episode.scorable]
    wrong = [one.task_id for one in played if one.scorable and _outcome(one) != _outcome(expected[one.task_id])]
    return lost, wrong


def _play(task: Task, env: TauRetailEnv) -> Trajectory:
    return play_episode(env, OracleAgent(task), EpisodeRequest(task.id, SEED))


def _outcome(episode: Trajectory) -> tuple[float, str | None]:
    return episode.reward, episode.stop_reason


def _script_reader(tasks: Sequence[Task], expected: Mapping[str, Trajectory]) -> Callable[[Request], str]:
    """A model that says what the scripted customer said at that place of that task's conversation."""
    task_of = {get_source(SOURCE).user_opening(STRATEGY, task)[0]["content"]: task.id for task in tasks}
    words = {
        task_id: [message["content"] for message in episode.messages if message["role"] == "user"]
        for task_id, episode in expected.items()
    }

    def reply(request: Request) -> str:
        said = sum(message["role"] == "assistant" for message in request.messages)
        return words[task_of[request.messages[0]["content"]]][said]

    return reply


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=200, help="all played at once")
    parser.add_argument("--rate", type=float, default=0.3, help="part of the requests that meet a fault")
    parser.add_argument("--seed", type=int, default=0, help="which requests")
    parser.add_argument("--latency-s", type=float, default=1.0, help="seconds that the server takes to answer")
    parser.add_argument("--timeout-s", type=float, default=3.0, help="user.timeout_s: a few times the usual latency")
    parser.add_argument("--retries", choices=("ours", "openai"), default="ours", help="who tries again")
    return parser.parse_args()


if __name__ == "__main__":
    main()
