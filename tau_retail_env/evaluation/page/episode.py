"""One episode as the page has it: a row for the list, its conversation, its tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from tau_retail_env.chat.parsing import MalformedMessageError, parse_message
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.evaluation.facts import Facts
from tau_retail_env.evaluation.faults import fault_of
from tau_retail_env.evaluation.page.changes import changes_beside_gold
from tau_retail_env.evaluation.page.tasks import subset_names
from tau_retail_env.evaluation.page.tokenizer import TokenTexts
from tau_retail_env.evaluation.settings import task_version
from tau_retail_env.tasks import Task

DIGITS = 4
"""Decimals of a log-probability."""
Json = dict[str, Any]


def row_of(one: Trajectory, facts: Facts, task: Task | None, *, part: str, step: int | None) -> Json:
    """What the list shows and filters by.

    Args:
        one: the episode.
        facts: the same in numbers.
        task: its task, None where it is not here.
        part: what it was played for: "eval", "train", "val" or "stopped".
        step: the training step; None where there is none.
    """
    numbers = facts.numbers
    return {
        "task": one.task_id,
        "trial": facts.trial,
        "seed": one.seed,
        "part": part,
        "step": step,
        "outcome": "success" if facts.success else "failure" if one.scorable else "unscorable",
        "reward": one.reward,
        "failures": list(facts.failures),
        "stop": str(one.stop_reason),
        "strategy": one.user_strategy or "unknown",
        "version": one.task_version or (task_version([task]) if task else "unknown"),
        "subsets": subset_names(task) if task else [],
        "gold": len(task.actions) if task else None,
        "turns": numbers.get("turns"),
        "calls": numbers.get("tool_calls"),
        "errors": numbers.get("tool_errors"),
        "tokens": len(one.token_ids) or None,
        "corrected": facts.corrected,
        "process": facts.process,
    }


def conversation_of(one: Trajectory, task: Task | None) -> Json:
    """What is shown when an episode is opened, its tokens aside.

    Args:
        one: the episode.
        task: its task, None where it is not here.
    """
    fault = fault_of(one, task)
    return {
        "messages": [_message(message) for message in one.messages],
        "breakdown": dict(one.reward_breakdown),
        "metrics": dict(one.metrics),
        "timings": dict(one.timings),
        "usage": [dict(usage) for usage in one.customer_usage],
        "customer_error": one.customer_error,
        "fault": [fault.party, fault.reason] if fault else None,
        "task": _task(task) if task else None,
        "changes": changes_beside_gold(one, task) if task else None,
    }


def tokens_of(one: Trajectory, texts: TokenTexts | None) -> Json | None:
    """The tokens of an episode, None where it has none.

    Args:
        one: the episode.
        texts: what each token says; None where no tokenizer is here.

    Returns:
        `ids`; `mask`, the lengths of the runs of 0 and 1 by turns, 0 first; `logprobs` of the tokens whose mask is 1,
        null without any; `texts` by id.
    """
    if not one.token_ids:
        return None
    drawn = [round(value, DIGITS) for value, mask in zip(one.logprobs, one.response_mask, strict=False) if mask]
    return {
        "ids": list(one.token_ids),
        "mask": _run_lengths(one.response_mask),
        "prompt": one.prompt_length,
        "logprobs": drawn or None,
        "texts": texts.of(one.token_ids) if texts else None,
    }


def _run_lengths(mask: Sequence[int]) -> list[int]:
    lengths = [len(list(run)) for _, run in groupby(mask)]
    return lengths if not mask[0] else [0, *lengths]


def _message(message: Mapping[str, Any]) -> Json:
    role, content = message["role"], message.get("content") or ""
    if role != "assistant":
        is_error = role == "tool" and (bool(message.get("error")) or content.startswith("Error"))
        return {"role": role, "text": content, **({"error": True} if is_error else {})}
    if message.get("tool_calls"):
        calls = [[call["function"]["name"], call["function"]["arguments"]] for call in message["tool_calls"]]
        return {"role": role, "text": content, "calls": calls}
    try:
        said = parse_message(content)
    except MalformedMessageError as error:
        return {"role": role, "text": content, "malformed": str(error)}
    found: Json = {"role": role, "text": said.content or ""}
    if said.tool_calls:
        found["calls"] = [[call.name, json.dumps(dict(call.arguments), ensure_ascii=False)] for call in said.tool_calls]
    if found["text"] != content:
        found["raw"] = content
    return found


def _task(task: Task) -> Json:
    return {
        "instruction": task.instruction,
        "actions": [[action.name, json.dumps(dict(action.arguments), ensure_ascii=False)] for action in task.actions],
        "outputs": list(task.outputs),
        "assertions": list(task.assertions),
    }
