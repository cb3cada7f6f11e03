"""The same episodes judged by the tasks of other versions: what a run on one version would earn on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.evaluation.audit import Audit, Rate, rate_of
from tau_retail_env.evaluation.upstream.conversation import judge_again
from tau_retail_env.messages import RewardBreakdown
from tau_retail_env.tasks import Task


def regraded(found: Audit, tasks: Sequence[Task]) -> dict[str, Rate]:
    """What each agent of an audit earns where its episodes are judged by other tasks of the same numbers.

    Args:
        found: the audit, with what was played.
        tasks: of another version, or the same.

    Returns:
        By agent, the mean over all episodes; an episode that a limit ended earns nothing.
    """
    known = {task.id: task for task in tasks}
    return {name: rate_of([_told(episode, known) for episode in episodes]) for name, episodes in found.episodes.items()}


def as_markdown(audits: Sequence[Audit], versions: Mapping[str, Sequence[Task]]) -> str:
    """A table: a row for each agent and version played, a column for each version that judges; official reward.

    Args:
        audits: of every version.
        versions: by version, its tasks.
    """
    lines = ["## The same episodes, judged as another version", ""]
    lines.append("| agent | played | " + " | ".join(f"judged as {version}" for version in versions) + " |")
    lines.append("|---|---|" + "---:|" * len(versions))
    columns = {
        (one.task_version, version): regraded(one, tasks) for one in audits for version, tasks in versions.items()
    }
    for name in audits[0].episodes:
        for one in audits:
            rates = [columns[one.task_version, version][name].official for version in versions]
            lines.append(f"| {name} | {one.task_version} | " + " | ".join(f"{rate:.1%}" for rate in rates) + " |")
    return "\n".join(lines)


def _told(episode: Trajectory, tasks: Mapping[str, Task]) -> RewardBreakdown:
    return judge_again(episode, tasks[episode.task_id]).breakdown if episode.terminated else {}
