"""τ-bench v1's result file: a JSON array of runs, as its run.py writes and its error analysis reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.blocks import check_kind
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.evaluation.record import Episode
from tau_retail_env.evaluation.settings import EvalSettings
from tau_retail_env.evaluation.upstream.conversation import Message, misfit, plain
from tau_retail_env.evaluation.upstream.large_json import members
from tau_retail_env.messages import RewardBreakdown, StopReason
from tau_retail_env.runs.files import write_atomically
from tau_retail_env.runs.trajectories import checked
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks import Task

SOURCE = "tau_bench"
RUNS = "runs"
"""What the elements of the file's array are called here."""
AIRLINE = "airline"
AIRLINE_TOOLS = frozenset(
    {
        "book_reservation",
        "cancel_reservation",
        "send_certificate",
        "update_reservation_baggages",
        "update_reservation_flights",
        "update_reservation_passengers",
        "search_direct_flight",
        "search_onestop_flight",
        "get_reservation_details",
        "list_all_airports",
    }
)
"""Tools by which a file of the domain airline is known."""
TEST_SPLIT = "test"
ROLES = ("user", "assistant", "tool")
Ids = Mapping[tuple[str, int | None], str]
RUN: Mapping[str, Any] = {"info": Mapping[str, Any], "traj": list[Mapping[str, Any]]}
"""Members of a run, and of which kind upstream writes them."""


def read(path: Path) -> Iterator[Episode]:
    """The runs of a file, one after another; of the domain airline with ids such as "tau_bench/airline/3".

    A run that ended in an error of upstream's has reward 0 and counts, as it does upstream.

    Raises:
        InvalidValueError: it is cut off, or no file of v1's.
    """
    ids = _ids()
    domain = None
    for _, run in members(path, RUNS):
        if not isinstance(run, dict):
            raise InvalidValueError(f"{path}: τ-bench v1 writes an object for each run, found {str(run)[:40]!r}")
        not_upstreams = f"{path}: a run that τ-bench v1 did not write"
        for name, kind in RUN.items():
            check_kind(run.get(name), kind, f"{not_upstreams}: {name}")
        try:
            domain = domain or _domain(run)
            episode = _episode(run, domain, ids)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidValueError(f"{not_upstreams}: {misfit(error)}") from None
        checked(episode.trajectory, f"{path}: run of {episode.trajectory.task_id}")
        yield episode


def write(path: Path, settings: EvalSettings, episodes: Iterable[Episode], tasks: Sequence[Task]) -> tuple[int, int]:
    """Write a file as v1's run.py does.

    Args:
        path: the file.
        settings: the evaluation's; its source is tau_bench.
        episodes: its episodes; unscorable ones are left out.
        tasks: the evaluation's.

    Returns:
        How many runs were written, and how many episodes left out.

    Raises:
        InvalidValueError: the evaluation is of another source.
        WriteError: the disk does not allow it.
    """
    if settings.source != SOURCE:
        raise InvalidValueError(f"v1's files hold episodes of the source {SOURCE}, found {settings.source}")
    by_id = {task.id: task for task in tasks}
    runs, left_out = [], 0
    for episode in episodes:
        if episode.trajectory.scorable:
            runs.append(_run(episode, by_id[episode.trajectory.task_id]))
        else:
            left_out += 1
    write_atomically(path, json.dumps(runs, indent=2, ensure_ascii=False) + "\n")
    return len(runs), left_out


def read_few_shot(path: Path) -> Iterator[list[Message]]:
    """The conversations of a file of few-shot examples: lines of `{"messages_display": "user: …\\nassistant: …"}`.

    Upstream shows neither tool calls (an assistant's line is None there) nor rewards.

    Raises:
        InvalidValueError: a line that is no such object.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            shown = json.loads(line)["messages_display"]
            messages: list[Message] = []
            for part in shown.split("\n"):
                role, colon, content = part.partition(": ")
                if colon and role in ROLES:
                    messages.append({"role": role, "content": content})
                else:
                    messages[-1]["content"] += f"\n{part}"
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise InvalidValueError(f"{path}, line {number}: no example of τ-bench v1's: {misfit(error)}") from None
        yield messages


def _domain(run: Mapping[str, Any]) -> str | None:
    """Airline or retail; None where the run's gold actions leave it open."""
    names = {action["name"] for action in run["info"].get("task", {}).get("actions", ())}
    names |= {call["function"]["name"] for one in run["traj"] for call in one.get("tool_calls") or ()}
    known = names - {"calculate", "think", "transfer_to_human_agents", "get_user_details"}
    if not known:
        return None
    return AIRLINE if known & AIRLINE_TOOLS else "retail"


def _episode(run: Mapping[str, Any], domain: str | None, ids: Ids) -> Episode:
    task = run["info"].get("task") or {}
    number = int(run["task_id"])
    task_id = f"{SOURCE}/{AIRLINE}/{number}" if domain == AIRLINE else f"{SOURCE}/{TEST_SPLIT}/{number}"
    asked = task.get("instruction", "")
    task_id = ids.get((asked, number)) or ids.get((asked, None), task_id)
    reward_info = run["info"].get("reward_info")
    reward = float(run["reward"])
    messages = tuple(_message(one) for one in run["traj"])
    calls = [call["function"]["name"] for one in messages for call in one.get("tool_calls", ())]
    tool_errors = sum(one["role"] == "tool" and str(one["content"]).startswith("Error") for one in messages)
    has_ended = reward_info is not None
    metrics = {
        "turns": float(sum(one["role"] == "assistant" for one in messages)),
        "tool_calls": float(len(calls)),
        "tool_errors": float(tool_errors),
        "transfers": float(calls.count("transfer_to_human_agents")),
    }
    if run["info"].get("user_cost") is not None:
        said = float(sum(one["role"] == "user" for one in messages))
        metrics |= {"customer_cost_usd": float(run["info"]["user_cost"]), "customer_calls": said}
    return Episode(
        int(run["trial"]),
        Trajectory(
            task_id=task_id,
            source=SOURCE,
            split="",
            seed=0,
            sampling_seed=0,
            group=0,
            tag="",
            messages=messages,
            reward=reward,
            terminated=has_ended,
            truncated=not has_ended,
            stop_reason=StopReason.USER_STOP if has_ended else StopReason.MAX_STEPS,
            scorable=True,
            reward_breakdown=_breakdown(reward_info),
            metrics=metrics,
        ),
    )


def _message(one: Mapping[str, Any]) -> Message:
    message = {name: one[name] for name in ("role", "content", "name", "tool_call_id") if name in one}
    message.setdefault("content", None)
    if message["role"] != "assistant":
        message["content"] = message["content"] or ""
    if one.get("tool_calls"):
        message["tool_calls"] = [
            {"id": call.get("id", ""), "type": "function", "function": dict(call["function"])}
            for call in one["tool_calls"]
        ]
    return message


def _breakdown(reward_info: Mapping[str, Any] | None) -> RewardBreakdown:
    """What upstream records of a reward: whether the outputs were said or, where they were not asked, the actions."""
    info = (reward_info or {}).get("info") or {}
    if "r_outputs" in info:
        return {"outputs": float(info["r_outputs"])}
    return {"database": float(info["r_actions"])} if "r_actions" in info else {}


def _run(episode: Episode, task: Task) -> dict[str, Any]:
    one = episode.trajectory
    return {
        "task_id": int(task.id.rpartition("/")[2]),
        "reward": one.reward_breakdown.get("official", one.reward),
        "info": {
            "task": {
                "user_id": task.user_id or "",
                "actions": [{"name": action.name, "kwargs": dict(action.arguments)} for action in task.actions],
                "instruction": task.instruction,
                "outputs": list(task.outputs),
            },
            "source": "user" if one.terminated else None,
            "user_cost": one.metrics.get("customer_cost_usd"),
            "reward_info": _reward_info(one, task),
        },
        "traj": plain(one.messages)[0],
        "trial": episode.trial,
    }


def _reward_info(one: Trajectory, task: Task) -> dict[str, Any] | None:
    """Upstream's verdict, without its hash of the gold database; None where a limit ended the episode."""
    if not one.reward_breakdown:
        return None
    outputs_reward = one.reward_breakdown.get("outputs", 1.0)
    if task.outputs:
        said = [message["content"] or "" for message in plain(one.messages)[0] if message["role"] == "assistant"]
        heard = [text.lower().replace(",", "") for text in said]
        outputs = {output: any(output.lower() in text for text in heard) for output in task.outputs}
        info: dict[str, Any] = {"r_outputs": outputs_reward, "outputs": outputs}
    else:
        info = {"r_actions": one.reward_breakdown.get("database", 0.0), "gt_data_hash": ""}
    actions = [{"name": action.name, "kwargs": dict(action.arguments)} for action in task.actions]
    return {"reward": one.reward_breakdown.get("official", one.reward), "info": info, "actions": actions}


def _ids() -> Ids:
    """Task ids by the customer's instruction and number, where v1 is installed: its files do not name their split.

    The instruction alone (number None) stands for a file that counts otherwise; two tasks of v1's test have the same.
    """
    found: dict[tuple[str, int | None], str] = {}
    try:
        for split in ("dev", "train", TEST_SPLIT):
            for task in load_tasks(SOURCE, split):
                number = int(task.id.rpartition("/")[2])
                found |= {(task.instruction, number): task.id, (task.instruction, None): task.id}
    except MissingDependencyError:
        return {}
    return found
