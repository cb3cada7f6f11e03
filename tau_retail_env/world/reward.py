"""Upstream's reward: what the episode changed against what the gold actions change, and the outputs said."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tau_retail_env.messages import AssertedBreakdown, RewardBreakdown
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.shop import Changes

REWARD_PARTS = ("DB", "COMMUNICATE", "NL_ASSERTION")
"""The parts of upstream's reward that this package judges."""


@dataclass(frozen=True, slots=True)
class Reward:
    """The verdict on one episode that the customer ended."""

    value: float
    """1.0 or 0.0: the product of the parts that the task's reward basis names."""
    breakdown: RewardBreakdown
    """What it is made of."""


def judge(
    task: Task, changes: Changes, gold: Changes, spoken: Iterable[str], unmet: Sequence[str] | None = None
) -> Reward:
    """Score an episode as upstream does: database equal to gold, every output said, every assertion met.

    Args:
        task: what was asked.
        changes: what the episode changed.
        gold: what the gold actions change.
        spoken: the agent's texts, in upstream's sense of what counts as said.
        unmet: the task's assertions that do not hold; None where its reward names none.

    Returns:
        The verdict. Source of the rule: τ²'s EnvironmentEvaluator and CommunicateEvaluator, v1's
        `Env.calculate_reward`; an output counts as said when it stands in one text, case and the text's commas aside.
    """
    database = float(changes == gold)
    heard = [text.lower().replace(",", "") for text in spoken]
    communicated = sum(any(output.lower() in text for text in heard) for output in task.outputs)
    outputs = float(communicated == len(task.outputs))
    both = changes.keys() & gold.keys()
    breakdown: AssertedBreakdown = {
        "database": database,
        "outputs": outputs,
        "missing_writes": float(len(gold.keys() - both)),
        "extra_writes": float(len(changes.keys() - both)),
        "wrong_writes": float(sum(changes[key] != gold[key] for key in both)),
        "partial": _partial(changes, gold, communicated, len(task.outputs)),
    }
    parts = {"DB": database, "COMMUNICATE": outputs}
    if unmet is not None:
        parts["NL_ASSERTION"] = breakdown["assertions"] = float(not unmet)
        breakdown["unmet_assertions"] = float(len(unmet))
    return Reward(math.prod(part for name, part in parts.items() if name in task.reward_basis), breakdown)


def _partial(changes: Changes, gold: Changes, communicated: int, outputs: int) -> float:
    """The share of gold writes and outputs that are right, less one for each entry that is changed wrongly or besides.

    Where there is neither, nothing can be partly right: 0.
    """
    right = sum(changes.get(key) == gold[key] for key in gold)
    wrong = len(changes) - right
    wanted = len(gold) + outputs
    return max(right + communicated - wrong, 0) / wanted if wanted else 0.0
