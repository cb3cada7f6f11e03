"""How an evaluation was played, its agent and tasks aside: figures of two that differ in it measure two things."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.agents.choice import NAMES
from tau_retail_env.evaluation.generation import Generation
from tau_retail_env.evaluation.settings import EvalSettings
from tau_retail_env.runs.resume import differing

USER_CODE = "the scripted customer's code"
SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens", "sequence_length")
"""How a model's tokens are drawn, by the names of the options."""
MOST_OF_A_VALUE = 60
"""Characters of a value that a line shows."""

Differences = Mapping[str, tuple[Any, Any]]


def differences_of(first: Sequence[EvalSettings], second: Sequence[EvalSettings]) -> Differences:
    """What two evaluations do not share, by the names of the options, with both values; None for what is not set.

    What only one of them has, such as the sampling of a model beside an agent without one, is left out. So is the seed:
    other wordings of the same customer are chance, which the intervals hold.

    Args:
        first: the settings of the first, of a training run's validation one for each tag; empty where none are known.
        second: those of the other.
    """
    one, two = _told(first), _told(second)
    names = one.keys() & two.keys()
    if any(one[name] != two[name] for name in names & {"user_strategy", "user_model", "user"}):
        names -= {USER_CODE}  # its digest is of these, too
    before, after = ({name: told[name] for name in told if name in names} for told in (one, two))
    return {name: (value, other) for name, value, other in differing(before, after)}


def in_words(found: Differences) -> str:
    """The differences between A and B, one after another."""
    return ", ".join(f"{name} ({_word(one)} in A, {_word(two)} in B)" for name, (one, two) in found.items())


def _told(settings: Sequence[EvalSettings]) -> dict[str, Any]:
    """How a side was played, as far as all that it was played for agree."""
    first, *others = [_of_one(one) for one in settings] or [{}]
    return {name: value for name, value in first.items() if all(name in one and one[name] == value for one in others)}


def _of_one(settings: EvalSettings) -> dict[str, Any]:
    customer, judge = settings.customer, settings.judge
    return {
        "user_strategy": customer.get("strategy"),
        "user_model": customer.get("model"),
        "user": customer.get("settings") or {},
        USER_CODE: settings.customer_digest,
        "nl_judge": judge.get("strategy") or "rules",
        "nl_judge_model": judge.get("model"),
        "nl_judge_config": judge.get("settings") or {},
        "max_turns": settings.max_turns,
        **({} if settings.agent in NAMES else {"prompt_style": settings.prompt_style}),
        **_sampling(settings),
    }


def _sampling(settings: EvalSettings) -> dict[str, Any]:
    """How the tokens of an agent's model were drawn; nothing of an agent without one."""
    if settings.model is None and settings.model_digest is None:
        return {}
    drawn = dataclasses.asdict(Generation()) if settings.model_digest else {}
    drawn |= settings.sampling
    if drawn.get("temperature") == 0 or drawn.get("top_p") == 1:
        drawn["top_p"] = None  # leaves out no token, as where it is not set
    if drawn.get("temperature") == 0 or drawn.get("top_k") in (0, -1):
        drawn["top_k"] = None
    return {name: drawn.get(name) for name in SAMPLING}


def _word(value: Any) -> str:
    return "not set" if value is None else repr(value)[:MOST_OF_A_VALUE]
