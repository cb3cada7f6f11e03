"""Who was at fault in a failed episode, as far as conversation, task and shop show it: no model is asked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.evaluation.audit import broken_rules, changes_of
from tau_retail_env.evaluation.facts import calls_of, texts_of
from tau_retail_env.evaluation.failures import FORMAT, LIMITS, failures_of, is_success
from tau_retail_env.evaluation.upstream.conversation import judge_again
from tau_retail_env.messages import JUDGE_FAILED, StopReason
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.registry import source_of
from tau_retail_env.tasks import Action, Task, gold_writes
from tau_retail_env.tasks.writes import WRITE_TOOLS, canonical_writes
from tau_retail_env.users.base import OUT_OF_SCOPE, STOP, TRANSFER
from tau_retail_env.users.llm.replies import fault_of as fault_of_reply
from tau_retail_env.users.llm.replies import stops_too_soon
from tau_retail_env.users.scripted.agenda import EMAIL

PARTIES: Mapping[str, str] = MappingProxyType(
    {
        "customer": "failed, played the agent's part, stopped too early, or told a wrong fact",
        "judge": "the model that judges assertions failed: nothing is known",
        "format": "the agent's messages could not be parsed",
        "task": "the agent was failed for a fault of the task: see what is wrong with tasks in docs/audit.md",
        "tool": "half of the agent's tool calls or more failed, and a limit came first",
        "policy": "none of these: the agent did or said something else than the task wants",
    }
)
"""Whose fault a failure can be, in the order in which it is looked for."""
PROCESS: Mapping[str, str] = MappingProxyType(
    {
        "process_identified": "touched private data before the customer said who it is",
        "process_confirmed": "wrote without a yes to a summary of the write",
        "process_one_customer": "touched another customer's data",
        "process_nothing_invented": "proposed an id or a number that nobody had mentioned",
    }
)
"""Parts of a reward's breakdown that are below 1 where the agent broke the process, and what it did then."""
STOP_TOKENS = (STOP, TRANSFER, OUT_OF_SCOPE)
ORDER = re.compile(r"#W\d{7}")
LOOKUPS = frozenset({"find_user_id_by_email", "find_user_id_by_name_zip"})


@dataclass(frozen=True, slots=True)
class Fault:
    """Whose fault a failed episode was, and why."""

    party: str
    """One of `PARTIES`."""
    reason: str
    """In words."""


def fault_of(trajectory: Trajectory, task: Task | None) -> Fault | None:
    """Who was at fault.

    Args:
        trajectory: the episode.
        task: its task, None where it is not here: then only what the conversation alone shows is found.

    Returns:
        None for a success; the first of `PARTIES` that the conversation convicts for a failure.
    """
    if not trajectory.scorable:
        error = trajectory.customer_error or trajectory.stop_reason
        party = "judge" if error.startswith(JUDGE_FAILED) else "customer"
        return Fault(party, f"failed: {error.removeprefix(JUDGE_FAILED)}")
    if is_success(trajectory.reward):
        return None
    if reason := _of_customer(trajectory, task):
        return Fault("customer", reason)
    kinds = failures_of(trajectory, task)
    if FORMAT in kinds:
        return Fault("format", f"{trajectory.metrics.get('malformed', 0):g} messages could not be parsed")
    if task is not None and (reason := _of_task(trajectory, task)):
        return Fault("task", reason)
    if trajectory.stop_reason in LIMITS and _calls_failed(trajectory):
        return Fault("tool", f"{trajectory.metrics.get('tool_errors', 0):g} tool calls failed")
    broken = [PROCESS[name] for name in process_faults(trajectory, task)]
    return Fault("policy", "; ".join([" and ".join(kinds), *broken]))


def process_faults(trajectory: Trajectory, task: Task | None) -> tuple[str, ...]:
    """What the agent did against the process that the domain policy asks for, whether it earned the reward or not.

    Args:
        trajectory: the episode; one that was judged elsewhere is played again.
        task: its task, None where it is not here: then only what the record shows is found.

    Returns:
        Names in `PROCESS`, in their order.
    """
    breakdown: Mapping[str, object] = trajectory.reward_breakdown
    if "process" not in breakdown and task is not None and trajectory.scorable:
        breakdown = judge_again(trajectory, task).breakdown
    return tuple(name for name in PROCESS if isinstance(value := breakdown.get(name), float) and value < 1.0)


def _of_customer(trajectory: Trajectory, task: Task | None) -> str:
    """What the customer did wrong; empty where nothing shows.

    That a customer never asked for something cannot be seen without a model: an agent that leaves a question unanswered
    is never asked the next one.
    """
    said = [message["content"] or "" for message in trajectory.messages if message["role"] == "user"]
    for words in said:
        fault = fault_of_reply(words, prompt="", is_opening=False, stop_tokens=STOP_TOKENS) if words else None
        if fault is not None and "agent's part" in fault:
            return "role: went on with the agent's part"
    if _left_too_soon(trajectory, said):
        return "early stop: ended the conversation with something for the agent still to do"
    if task is None:
        return ""
    if wrong := _wrong_facts(trajectory, said, task):
        return f"wrong fact: {', '.join(wrong)}"
    return ""


def _left_too_soon(trajectory: Trajectory, said: Sequence[str]) -> bool:
    """Whether the customer left an agent that knew whom it served and was at work.

    Whoever leaves an agent that does not find out who they are, repeats itself or transfers them, is in the right.
    """
    if trajectory.stop_reason != StopReason.USER_STOP or not said:
        return False
    breakdown = trajectory.reward_breakdown
    lacks = breakdown.get("missing_writes") or breakdown.get("outputs") == 0.0
    texts = list(texts_of(trajectory))
    if not lacks or not texts or trajectory.metrics.get("transfers") or not _is_identified(trajectory):
        return False
    is_question = texts[-1].rstrip().endswith("?") and texts[-1] not in texts[:-1]
    return is_question and stops_too_soon(said[-1], texts[-1], STOP_TOKENS)


def _is_identified(trajectory: Trajectory) -> bool:
    """Whether the agent found out who the customer is."""
    names = {call.name for call in calls_of(trajectory)}
    errors = trajectory.metrics.get("tool_errors", 0.0)
    return bool(names & LOOKUPS) and errors < trajectory.metrics.get("tool_calls", 0.0)


def _wrong_facts(trajectory: Trajectory, said: Sequence[str], task: Task) -> list[str]:
    """Emails and orders that the customer named, and that neither the task, the shop nor the agent knows as theirs."""
    shop = open_shop(task.source).database
    user = shop["users"].get(task.user_id or "", {})
    if not user:
        return []
    known = task.instruction + " ".join(value or "" for value in dataclasses.astuple(task.scenario))
    known += " ".join(message["content"] or "" for message in trajectory.messages if message["role"] != "user")
    known += f" {user['email']} {' '.join(user['orders'])}"
    text = " ".join(said)
    named = [*EMAIL.findall(text), *ORDER.findall(text)]
    return [name for name in dict.fromkeys(named) if name.lower() not in known.lower()]


def _of_task(trajectory: Trajectory, task: Task) -> str:
    """Why the task is at fault; empty where it is not."""
    breakdown = trajectory.reward_breakdown
    if _made_the_gold_writes(trajectory, task):
        return "the gold writes were made, in another order"
    if is_success(breakdown.get("corrected") or 0.0) and not is_success(breakdown.get("official", trajectory.reward)):
        return "after the named corrections the reward is 1"
    if breakdown.get("database") != 0.0 or breakdown.get("outputs") == 0.0 or trajectory.stop_reason in LIMITS:
        return ""
    shop = source_of(task).shop()
    broken = broken_rules(shop, task)
    kept = [action for action in gold_writes(task) if action not in [action for action, _ in broken]]
    if not broken or not kept or changes_of(shop, _writes_of(trajectory)) != changes_of(shop, kept):
        return ""
    return f"all gold writes were made but those against the domain policy: {broken[0][0].name}: {broken[0][1]}"


def _writes_of(trajectory: Trajectory) -> list[Action]:
    return [Action(call.name, call.arguments) for call in calls_of(trajectory) if call.name in WRITE_TOOLS]


def _made_the_gold_writes(trajectory: Trajectory, task: Task) -> bool:
    """Whether the agent's writes are the gold ones but for their order, and that of the items within each."""
    if trajectory.reward_breakdown.get("database") != 0.0 or not gold_writes(task):
        return False
    calls = _writes_of(trajectory)
    try:
        made = canonical_writes(dataclasses.replace(task, actions=tuple(calls)))
    except (TypeError, AttributeError):  # arguments of any type, as the agent gave them
        return False
    return made == canonical_writes(task) and len(calls) == len(gold_writes(task))


def _calls_failed(trajectory: Trajectory) -> bool:
    calls, errors = (trajectory.metrics.get(name, 0.0) for name in ("tool_calls", "tool_errors"))
    return calls > 0 and 2 * errors >= calls
