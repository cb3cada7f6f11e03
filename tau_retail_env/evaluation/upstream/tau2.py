"""τ²'s results.json, one file or a folder of simulations, for its readers from 0.2 to 1.0."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tau_retail_env.blocks import check_kind
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.evaluation.record import Episode
from tau_retail_env.evaluation.settings import EvalSettings, different_tasks, task_digests
from tau_retail_env.evaluation.upstream.conversation import Message, misfit, plain
from tau_retail_env.evaluation.upstream.large_json import members
from tau_retail_env.messages import AssertedBreakdown, RewardBreakdown, StopReason
from tau_retail_env.runs.files import write_atomically
from tau_retail_env.runs.foreign import looks_like
from tau_retail_env.runs.trajectories import checked
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.tau2 import tasks as upstream_tau2
from tau_retail_env.sources.tau2.editions import DIGESTS, VERSIONS, edition_of

RESULTS = "results.json"
SIMULATIONS = "simulations"
RETAIL = "retail"
OTHER = "other"
"""The task version of a file whose tasks are of no edition that is here."""
SIMULATION: Mapping[str, Any] = {
    "messages": list[Mapping[str, Any]] | None,
    "reward_info": Mapping[str, Any] | None,
    "trial": float | None,
    "seed": float | None,
    "duration": float | None,
    "agent_cost": float | None,
    "user_cost": float | None,
}
"""Members of a simulation, and of which kind upstream writes them."""
NOT_COUNTED = "infrastructure_error"
"""The one reason for an end that upstream leaves out of its figures."""
STOP_REASONS: Mapping[str, str] = {
    "user_stop": "user_stop",
    "agent_stop": "agent_transfer",
    "max_steps": "max_steps",
    "timeout": "max_steps",
    "too_many_errors": "too_many_errors",
    "agent_error": "too_many_errors",
    "user_error": "user_error",
    "judge_stop": "max_steps",
    "infrastructure_error": "user_error",
    "unexpected_error": "too_many_errors",
    "context_window_exceeded": "length",
}
"""Upstream's reasons for an end, of all versions, in this package's words."""
TERMINATION: Mapping[str, str] = {
    "user_stop": "user_stop",
    "agent_transfer": "agent_stop",
    "too_many_errors": "too_many_errors",
}
"""This package's words in those that every version of upstream reads; all others are max_steps there."""


@dataclass(slots=True)
class Tau2File:
    """What a results.json holds beside its simulations."""

    info: Mapping[str, Any] = field(default_factory=dict)
    """Upstream's `info`: agent, user, environment, limits."""
    tasks: Sequence[Mapping[str, Any]] = ()
    """Upstream's tasks as they were when it was written."""
    edition: str | None = None
    """The edition that all of retail's tasks are of, `OTHER` for none that is here; None where they are not known."""

    @property
    def domain(self) -> str:
        """retail, airline …"""
        return str(self.info.get("environment_info", {}).get("domain_name", RETAIL))

    def version(self) -> str:
        """Which edition of retail's tasks these are, of those that are here; else how they differ from the wheel's."""
        if self.domain != RETAIL:
            return self.domain
        rows = {str(row["id"]): without_nulls(row) for row in self.tasks}
        differ: dict[str, list[str]] = {}
        for version in DIGESTS:
            try:
                known = {row["id"]: without_nulls(row) for row in task_rows(version=version)}
            except (InvalidValueError, MissingDependencyError):
                continue
            differ[version] = sorted((task for task in rows if rows[task] != known.get(task)), key=_number)
            if not differ[version]:
                return version
        others = [
            f"{version} (other: {', '.join(tasks[:8])}{' …' * (len(tasks) > 8)})" for version, tasks in differ.items()
        ]
        return f"not {' and not '.join(others)}"


def task_rows(path: Path | None = None, *, version: str = VERSIONS[0]) -> list[dict[str, Any]]:
    """Upstream's own tasks as JSON.

    Args:
        path: a tasks.json; None for that of an edition.
        version: the edition.

    Raises:
        InvalidValueError: the file cannot be read, or holds no tasks.
        MissingDependencyError: the edition is not here.
    """
    file = path or edition_of(version).retail / "tasks.json"
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"{file} cannot be read as tasks of τ²-bench: {error}") from None
    return _rows_of(rows, str(file))


def read(path: Path, into: Tau2File) -> Iterator[Episode]:
    """The simulations of a results.json, one after another.

    Args:
        path: the file, or the folder that holds it.
        into: filled with what stands before the simulations.

    Raises:
        InvalidValueError: it is cut off, or no file of τ²'s.
    """
    file = path / RESULTS if path.is_dir() else path
    is_folder = path.is_dir() or (file.parent / SIMULATIONS).is_dir()
    seen: dict[str, int] = {}
    names = set[str]()
    for name, value in members(file, SIMULATIONS):
        names.add(name)
        if name == "info":
            into.info = _info_of(value, str(file))
        elif name == "tasks":
            into.tasks = _rows_of(value, f"{file}: tasks")
            if into.domain == RETAIL and into.tasks:
                into.edition = version if (version := into.version()) in DIGESTS else OTHER
        elif name == SIMULATIONS and not is_folder:
            yield _episode(value, into, seen, str(file))
    if not into.info:
        raise InvalidValueError(f"{file} is no results.json of τ²-bench: it has no member info{looks_like(names)}")
    if is_folder:
        for one in sorted((file.parent / SIMULATIONS).glob("*.json")):
            yield _episode(dict(members(one, "")), into, seen, str(one))


def write(
    path: Path,
    settings: EvalSettings,
    episodes: Iterable[Episode],
    rows: Sequence[Mapping[str, Any]],
    *,
    as_folder: bool = False,
) -> tuple[int, int]:
    """Write a results.json that old and new versions of upstream read.

    Args:
        path: the file, or the folder where `as_folder` is set.
        settings: the evaluation's; its source is tau2.
        episodes: its episodes; unscorable ones, which upstream has no word for in every version, are left out.
        rows: upstream's tasks, as `task_rows` reads them.
        as_folder: one file a simulation, as upstream writes voice runs.

    Returns:
        How many simulations were written, and how many episodes left out.

    Raises:
        InvalidValueError: the evaluation is of another source, or of other tasks than the rows; they are named.
        WriteError: the disk does not allow it.
    """
    if settings.source != "tau2":
        raise InvalidValueError(f"τ²'s files hold episodes of the source tau2, found {settings.source}")
    by_id = {row["id"]: row for row in rows}
    wanted = [task.removeprefix("tau2/") for task in settings.tasks]
    _check_tasks(settings, [by_id[task] for task in wanted if task in by_id])
    simulations, left_out = [], 0
    for episode in episodes:
        if episode.trajectory.scorable:
            simulations.append(_simulation(episode, by_id))
        else:
            left_out += 1
    whole: dict[str, Any] = {
        "timestamp": _now(),
        "info": _info(settings),
        "tasks": [by_id[task] for task in wanted],
        "simulations": simulations,
    }
    if as_folder:
        _write_folder(path, whole)
    else:
        write_atomically(path, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    return len(simulations), left_out


def _check_tasks(settings: EvalSettings, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse rows that are other tasks than those which were played.

    Raises:
        InvalidValueError: names them.
    """
    database = upstream_tau2.shop_database()
    try:
        given = [upstream_tau2.task_of(row, "", settings.task_version, database) for row in rows]
    except InvalidValueError as error:
        raise InvalidValueError(f"The tasks given are not τ²'s retail tasks. {error}") from None
    if (digests := task_digests(given)) != settings.tasks:
        raise InvalidValueError(
            f"The tasks given are not those that were played (tasks {settings.task_version}). Of those played (first) "
            f"and given (second) {different_tasks(settings.tasks, digests)}. "
            "Give that edition's tasks.json: --tasks FILE"
        )


def _rows_of(value: Any, where: str) -> list[dict[str, Any]]:
    """Tasks as upstream writes them, with their ids as texts."""
    check_kind(value, list[Mapping[str, Any]], where)
    for number, row in enumerate(value):
        check_kind(row.get("id"), str | int, f"{where}[{number}].id")
        check_kind(row.get("evaluation_criteria"), Mapping[str, Any] | None, f"{where}[{number}].evaluation_criteria")
    return [{**row, "id": str(row["id"])} for row in value]


def _info_of(value: Any, where: str) -> Mapping[str, Any]:
    """Upstream's `info`, of which only objects are read."""
    check_kind(value, Mapping[str, Any], f"{where}: info")
    for name in ("environment_info", "agent_info", "user_info"):
        check_kind(value.get(name, {}), Mapping[str, Any], f"{where}: info.{name}")
    return {"environment_info": {}, **value}


def without_nulls(value: Any) -> Any:
    """A JSON value without its nulls: upstream's models write a null for whatever is not given."""
    if isinstance(value, Mapping):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _write_folder(path: Path, whole: dict[str, Any]) -> None:
    simulations = whole.pop("simulations")
    index = [
        {
            "id": one["id"],
            "task_id": one["task_id"],
            "trial": one["trial"],
            "reward": one["reward_info"]["reward"],
            "termination_reason": one["termination_reason"],
            "agent_cost": one["agent_cost"],
            "duration": one["duration"],
        }
        for one in simulations
    ]
    for one in simulations:
        write_atomically(path / SIMULATIONS / f"{one['id']}.json", json.dumps(one, indent=2, ensure_ascii=False) + "\n")
    write_atomically(path / RESULTS, json.dumps(whole | {"simulation_index": index}, indent=2) + "\n")


def _info(settings: EvalSettings) -> dict[str, Any]:
    shop = open_shop("tau2")
    customer = settings.customer
    return {
        "git_commit": f"tau-retail {settings.package_version}",
        "num_trials": settings.trials,
        "max_steps": settings.max_turns or shop.episode_rules.max_steps,
        "max_errors": shop.episode_rules.max_errors,
        "user_info": {
            "implementation": f"tau_retail_{customer.get('strategy')}",
            "llm": customer.get("model") or str(customer.get("strategy")),
            "llm_args": dict(customer.get("settings", {})),
            "global_simulation_guidelines": None,
        },
        "agent_info": {
            "implementation": "tau_retail",
            "llm": settings.model or settings.agent,
            "llm_args": dict(settings.sampling),
        },
        "environment_info": {"domain_name": RETAIL, "policy": shop.domain_policy, "tool_defs": None},
        "seed": settings.seed,
    }


def _simulation(episode: Episode, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    one = episode.trajectory
    task_id = one.task_id.removeprefix("tau2/")
    duration = one.timings.get("episode_s", one.timings.get("environment_s", 0.0))
    now = _now()
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{one.task_id}/{episode.trial}/{one.seed}/{one.sampling_seed}")),
        "task_id": task_id,
        "timestamp": now,
        "start_time": now,
        "end_time": now,
        "duration": duration,
        "termination_reason": TERMINATION.get(one.stop_reason, "max_steps"),
        "agent_cost": one.metrics.get("agent_cost_usd"),
        "user_cost": one.metrics.get("customer_cost_usd"),
        "reward_info": _reward_info(one, rows[task_id]),
        "messages": _to_tau2(plain(one.messages)[0], now),
        "trial": episode.trial,
        "seed": one.seed,
    }


def _reward_info(one: Trajectory, row: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict in upstream's shape; of an episode that a limit ended it is 0, with no basis."""
    if not one.reward_breakdown:
        return {"reward": one.reward, "reward_basis": None, "info": {"note": f"ended by {one.stop_reason}"}}
    breakdown = cast(Mapping[str, float], one.reward_breakdown)
    criteria = row.get("evaluation_criteria")
    has_gold = criteria is None or any(criteria.get(name) is not None for name in ("actions", "env_assertions"))
    database = breakdown.get("database") if has_gold else 1.0  # upstream takes any database for the right one
    basis = None if criteria is None else list(criteria.get("reward_basis", ("DB", "COMMUNICATE")))
    parts = {"DB": database, "COMMUNICATE": breakdown.get("outputs"), "NL_ASSERTION": breakdown.get("assertions")}
    return {
        "reward": breakdown.get("official", one.reward),
        "db_check": None if database is None else {"db_match": bool(database), "db_reward": database},
        "reward_basis": basis,
        "reward_breakdown": {
            name: value for name, value in parts.items() if name in (basis or ()) and value is not None
        },
    }


def _to_tau2(messages: Sequence[Message], now: str) -> list[Message]:
    found: list[Message] = []
    for message in messages:
        role = message["role"]
        if role == "system":
            continue
        place = {"turn_idx": len(found), "timestamp": now}
        if role == "tool":
            answer = {"id": message["tool_call_id"], "role": "tool", "content": message["content"]}
            is_error = message["content"].startswith("Error")
            found.append(answer | {"requestor": "assistant", "error": is_error} | place)
            continue
        calls = [
            {
                "id": call["id"],
                "name": call["function"]["name"],
                "arguments": json.loads(call["function"]["arguments"]),
                "requestor": "assistant",
            }
            for call in message.get("tool_calls", ())
        ]
        found.append({"role": role, "content": message["content"], "tool_calls": calls or None} | place)
    return found


def _episode(simulation: Any, file: Tau2File, seen: dict[str, int], where: str) -> Episode:
    if not isinstance(simulation, dict):
        raise InvalidValueError(f"{where}: τ²-bench writes an object, found {str(simulation)[:40]!r}")
    not_upstreams = f"{where}: a simulation that τ²-bench did not write"
    for name, kind in SIMULATION.items():
        check_kind(simulation.get(name), kind, f"{not_upstreams}: {name}")
    try:
        episode = _read_episode(simulation, file, seen)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidValueError(f"{not_upstreams}: {misfit(error)}") from None
    check_kind(episode.trial, int, f"{where}: trial")
    checked(episode.trajectory, f"{where}: simulation of {episode.trajectory.task_id}")
    return episode


def _read_episode(simulation: Mapping[str, Any], file: Tau2File, seen: dict[str, int]) -> Episode:
    reason = str(simulation["termination_reason"])
    task_id = (
        f"tau2/{simulation['task_id']}" if file.domain == RETAIL else f"tau2/{file.domain}/{simulation['task_id']}"
    )
    reward_info = simulation.get("reward_info") or {}
    trial = simulation.get("trial")
    if trial is None:
        trial = seen.get(task_id, 0)
    seen[task_id] = max(seen.get(task_id, 0), trial + 1)
    messages = list(_from_tau2(simulation.get("messages") or ()))
    terminated = reason in ("user_stop", "agent_stop")
    return Episode(
        trial,
        Trajectory(
            task_id=task_id,
            source="tau2",
            split="",
            task_version=file.edition,
            seed=simulation.get("seed") or 0,
            sampling_seed=0,
            group=0,
            tag="",
            messages=({"role": "system", "content": file.info["environment_info"].get("policy", "")}, *messages),
            reward=float(reward_info.get("reward") or 0.0),
            terminated=terminated,
            truncated=not terminated,
            stop_reason=StopReason(STOP_REASONS.get(reason, "max_steps")),
            scorable=reason != NOT_COUNTED,
            user_strategy=str(file.info.get("user_info", {}).get("llm")),
            reward_breakdown=_breakdown(reward_info),
            metrics=_metrics(simulation, messages),
            timings={"episode_s": float(simulation.get("duration") or 0.0)},
        ),
    )


def _from_tau2(messages: Iterable[Mapping[str, Any]]) -> Iterator[Message]:
    for message in messages:
        role = message["role"]
        if role == "tool" and "tool_messages" in message:
            yield from _from_tau2(message["tool_messages"])
        elif role == "tool":
            yield {
                "role": "tool",
                "tool_call_id": message["id"],
                "name": "",
                "content": message.get("content") or "",
                **({"error": True} if message.get("error") else {}),
            }
        elif calls := message.get("tool_calls"):
            yield {
                "role": role,
                "content": message.get("content"),
                "tool_calls": [
                    {
                        "id": call.get("id", ""),
                        "type": "function",
                        "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
                    }
                    for call in calls
                ],
            }
        else:
            yield {"role": role, "content": message.get("content") or ""}


def _breakdown(reward_info: Mapping[str, Any]) -> RewardBreakdown:
    found: AssertedBreakdown = {}
    if (check := reward_info.get("db_check")) is not None:
        found["database"] = float(check["db_match"])
    if (checks := reward_info.get("communicate_checks")) is not None:
        found["outputs"] = float(all(check["met"] for check in checks))
    if (checks := reward_info.get("nl_assertions")) is not None:
        unmet = sum(not check["met"] for check in checks)
        found |= {"assertions": float(not unmet), "unmet_assertions": float(unmet)}
    return found


def _metrics(simulation: Mapping[str, Any], messages: Sequence[Message]) -> dict[str, float]:
    said = [message for message in messages if message["role"] == "assistant"]
    calls = [call["function"]["name"] for message in said for call in message.get("tool_calls", ())]
    metrics = {
        "turns": float(max(len(said) - 1, 0)),
        "tool_calls": float(len(calls)),
        "tool_errors": float(sum(bool(message.get("error")) for message in messages)),
        "transfers": float(calls.count("transfer_to_human_agents")),
    }
    for who, name in (("agent", "agent_cost"), ("customer", "user_cost")):
        if simulation.get(name) is not None:
            metrics |= {f"{who}_cost_usd": float(simulation[name]), f"{who}_calls": float(len(said))}
    return metrics


def _number(task: str) -> tuple[int, str]:
    return (int(task), "") if task.isdecimal() else (1 << 30, task)


def _now() -> str:
    return datetime.datetime.now().isoformat()
