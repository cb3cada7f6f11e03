"""What `tau-retail review --oracle` does: play the gold actions of every task and count rewards of 1.0."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from tau_retail_env.cli.exits import FAILED
from tau_retail_env.cli.options import chosen_user, selected
from tau_retail_env.cli.output import complain, say
from tau_retail_env.messages import StopReason

if TYPE_CHECKING:
    from tau_retail_env.episodes.trajectory import Trajectory


def check_tasks(options: argparse.Namespace) -> int:
    """Play, name each failure, count by subset.

    Args:
        options: of `review`.
    """
    from tau_retail_env.cli.catalogue import success_by_subset
    from tau_retail_env.evaluation.user_check import play, spread
    from tau_retail_env.runs.bar import Bar

    chosen = chosen_user(options)
    tasks = selected(options)[: options.limit]
    chosen.environment(tasks)
    chosen.check_server()
    with Bar(total=len(tasks), unit="episode") as bar:
        played = play(
            spread(tasks, len(tasks), options.seed), tasks, lambda: chosen.environment(tasks), progress=bar.update
        )
    over = [one for one in played.trajectories if one.stop_reason != StopReason.STOPPED]
    for one in over:
        _print_failure(one)
    scored = {one.task_id: one.reward == 1.0 for one in over if one.scorable}
    if scored:
        say(success_by_subset([task for task in tasks if task.id in scored], scored))
    if lost := sum(not one.scorable for one in over):
        say(f"{lost} not scored, because the customer failed")
    if played.ended_by is not None:
        raise played.ended_by
    failed = [task_id for task_id, success in scored.items() if not success]
    if failed:
        again = f"tau-retail play --as nobody --task {failed[0]} --seed {options.seed}{chosen.as_typed()}"
        complain(f"To see the first: {again}")
    return FAILED if failed or not scored else 0


def _print_failure(one: Trajectory) -> None:
    if not one.scorable:
        say(f"{one.task_id}: not scored, {one.stop_reason}: {one.customer_error}")
    elif one.reward < 1.0:
        say(f"{one.task_id}: reward {one.reward:g}, {one.stop_reason}, {json.dumps(one.reward_breakdown)}")
