"""What an environment in the middle of an episode adds to resident memory: python benchmarks/env_memory.py."""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sides import (
    SPLITS,
    available,
    print_machine,
    resident_mb,
    upstream_environment,
)

from tau_retail_env import TauRetailEnv
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.tau_bench import tasks as upstream_tau_bench

REASON = "no longer needed"


def main() -> None:
    """Measure both sides of each source that is here, each in a process of its own."""
    options = _options()
    if options.side:
        print(f"{measure(options.source[0], options.side, options.environments):.3f}")
        return
    print_machine()
    for source in available(options.source):
        ours = _in_a_process(source, "ours", options.environments)
        theirs = _in_a_process(source, "upstream", options.upstream_environments)
        each = theirs / options.upstream_environments
        scaled = each * options.environments
        print(f"\n{source}: every environment in the middle of an episode, with two orders cancelled")
        print(f"ours      {ours:9.1f} MB for {options.environments} environments")
        print(f"upstream  {theirs:9.1f} MB for {options.upstream_environments} environments, {each:.2f} MB each")
        print(f"          {scaled:9.1f} MB for {options.environments}, were they made: {scaled / ours:.1f}x ours")


def measure(source: str, side: str, count: int) -> float:
    """MB of resident memory that `count` environments add to a process that has played one already."""
    pairs = orders_to_cancel(open_shop(source).database, count + 1)
    make = _ours if side == "ours" else _upstream
    held = [make(source, pairs[0], 0)]
    gc.collect()
    before = resident_mb()
    held += [make(source, pair, index) for index, pair in enumerate(pairs[1:], start=1)]
    gc.collect()
    return resident_mb() - before


def orders_to_cancel(database: Mapping[str, Any], count: int) -> list[tuple[str, str]]:
    """`count` pairs of pending orders; when the shop has no more of them, it begins again in other pairs."""
    pending = [order_id for order_id, order in database["orders"].items() if order["status"] == "pending"]
    return [
        (pending[index % len(pending)], pending[(index + 1 + index // len(pending)) % len(pending)])
        for index in range(count)
    ]


def _ours(source: str, orders: Sequence[str], index: int) -> TauRetailEnv:
    """As a trainer holds it: the default scripted customer, who has spoken twice; the agent looked up and cancelled."""
    env = TauRetailEnv(source=source, split=SPLITS[source])
    env.reset(seed=index)
    env.step("How can I help you today?")
    for order_id in orders:
        env.step(_call("get_order_details", order_id=order_id))
        observation, *_ = env.step(_call("cancel_pending_order", order_id=order_id, reason=REASON))
        assert '"status": "cancelled"' in observation, observation
    return env


def _call(name: str, **arguments: str) -> AgentMessage:
    return AgentMessage(tool_calls=(ToolCall(name, arguments),))


def _upstream(source: str, orders: Sequence[str], index: int) -> Any:
    """Upstream's environment alone: neither its orchestrator nor its customer, who would come on top."""
    env = upstream_environment(source)
    if source == "tau2":
        for order_id in orders:
            env.make_tool_call("cancel_pending_order", order_id=order_id, reason=REASON)
        return env
    action_of = upstream_tau_bench.import_upstream("types").Action
    env.reset(index % len(env.tasks))
    for order_id in orders:
        observation = env.step(
            action_of(name="cancel_pending_order", kwargs={"order_id": order_id, "reason": REASON})
        ).observation
        assert '"status": "cancelled"' in observation, observation
    return env


def _in_a_process(source: str, side: str, count: int) -> float:
    """A fresh process for each figure: memory that an earlier one freed would hide what a later one takes."""
    command = [sys.executable, __file__, "--source", source, "--side", side, "--environments", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", nargs="+", choices=sorted(SPLITS), default=["tau2", "tau_bench"])
    parser.add_argument("--environments", type=int, default=1000)
    parser.add_argument("--upstream-environments", type=int, default=40)
    parser.add_argument("--side", choices=("ours", "upstream"), help="measure this one alone, and print MB")
    return parser.parse_args()


if __name__ == "__main__":
    main()
