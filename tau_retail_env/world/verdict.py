"""The verdict on an episode: upstream's reward, the corrected one, and how the agent went about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tau_retail_env.tasks.task import Task
from tau_retail_env.world.assertions import Evidence
from tau_retail_env.world.corrections import corrected_changes
from tau_retail_env.world.process import check_process
from tau_retail_env.world.reward import Reward, judge
from tau_retail_env.world.shop import Shop, World


def verdict(
    shop: Shop, task: Task, world: World, evidence: Evidence, spoken: Iterable[str], unmet: Sequence[str] | None = None
) -> Reward:
    """Judge an episode that the customer or the agent ended.

    Args:
        shop: where it was played.
        task: what was asked.
        world: the shop as the episode left it.
        evidence: all that was said and called.
        spoken: the agent's texts, in upstream's sense of what counts as said.
        unmet: the task's assertions that do not hold; None where its reward names none.

    Returns:
        Upstream's reward; `official`, `corrected` and `process` stand in its breakdown.
    """
    texts, changes = tuple(spoken), world.changes()
    compared = changes, shop.gold_changes(task)
    official = corrected = judge(task, *compared, texts, unmet)
    if (anew := corrected_changes(shop, task, evidence.calls, changes)) != compared:
        corrected = judge(task, *anew, texts, unmet)
    process = check_process(evidence, shop.database, shop.domain_policy)
    totals = {"official": official.value, "corrected": corrected.value}
    return Reward(official.value, {**official.breakdown, **totals, **process.breakdown()})  # type: ignore[typeddict-item]
