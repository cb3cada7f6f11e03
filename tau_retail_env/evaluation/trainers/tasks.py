"""Tasks as the prompt sets of other trainers: one row a task, with what its agent sees first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tau_retail_env.env import TauRetailEnv
from tau_retail_env.sources.load import check_selection
from tau_retail_env.sources.prompts import show_tools
from tau_retail_env.tasks import Task

SPLITS = ("train", "test")
"""What a prompt set has: to learn from, and to validate on."""
NAME = "tau_retail"
"""What rows call the environment: the agent loop of verl that plays them is registered under this name."""
ABILITY = "customer_service"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which tasks, and how their agent sees them."""

    source: str
    """Where they come from."""
    subset: str = "all"
    """The expression that chooses among them."""
    task_version: str | None = None
    """Which edition; None for the source's default."""
    prompt_style: str = "full"
    """How the domain policy and the tools are shown."""
    seed: int = 0
    """The wording of the scripted customer, whose first words end the prompt."""

    def check(self) -> None:
        """Refuse, before anything is written, what cannot be had of one of the splits.

        Raises:
            InvalidValueError: unknown source, subset, version or prompt style, or a split in which no task is left.
            MissingDependencyError: the source's data is not installed.
        """
        show_tools(self.prompt_style)
        for split in SPLITS:
            check_selection(self.source, split, self.subset, self.task_version)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A task as its agent meets it."""

    index: int
    """Its place in the split."""
    task: Task
    """What is asked."""
    task_version: str | None
    """Its edition."""
    seed: int
    """The customer's wording."""
    messages: Sequence[Mapping[str, Any]]
    """System prompt and opening history, as OpenAI messages."""
    tools: Sequence[Mapping[str, Any]]
    """OpenAI schemas for the chat template; none where the system prompt lists the tools."""

    @property
    def origin(self) -> str:
        """The environment and the source, such as "tau_retail/tau2"."""
        return f"{NAME}/{self.task.source}"

    @property
    def place(self) -> Row:
        """What an environment is reset with, to play just this."""
        return {
            "source": self.task.source,
            "task_version": self.task_version or "",
            "split": self.task.split,
            "task_id": self.task.id,
            "seed": self.seed,
        }


def prompts_of(selection: Selection, split: str) -> Iterator[Prompt]:
    """The tasks of a split, in upstream's order.

    Args:
        selection: which tasks.
        split: one of `SPLITS`.

    Raises:
        InvalidValueError: unknown source, subset, version or prompt style, or no task is left.
        MissingDependencyError: the source's data is not installed.
    """
    env = TauRetailEnv(
        selection.source,
        split,
        selection.subset,
        task_version=selection.task_version,
        prompt_style=selection.prompt_style,
    )
    for index, task in enumerate(env.tasks):
        _, info = env.reset(task_id=task.id, seed=selection.seed)
        system = {"role": "system", "content": info["system_prompt"]}
        tools = info["tools"] if show_tools(selection.prompt_style) else []
        yield Prompt(index, task, env.task_version, selection.seed, [system, *info["messages"]], tools)


def verl_row(prompt: Prompt) -> Row:
    """A row of verl's RLHFDataset, with the columns of a multi-turn task.

    verl hands `extra_info` and `interaction_kwargs` to the agent loop that `agent_name` names, and `reward_model` to a
    reward function where the loop gives no reward itself.
    """
    return {
        "data_source": prompt.origin,
        "agent_name": NAME,
        "prompt": _texts(prompt.messages),
        "ability": ABILITY,
        "reward_model": {"style": "rule", "ground_truth": _ground_truth(prompt.task)},
        "extra_info": {
            "index": prompt.index,
            "need_tools_kwargs": False,
            "tool_selection": [tool["function"]["name"] for tool in prompt.tools],
            "tools": json.dumps(list(prompt.tools), ensure_ascii=False),
            "interaction_kwargs": {"name": NAME, **prompt.place},
            **prompt.place,
        },
    }


def slime_row(prompt: Prompt) -> Row:
    """A row for slime: `--input-key prompt --tool-key tools --label-key label`, or `--input-key index`."""
    return {
        "index": prompt.index,
        "prompt": _texts(prompt.messages),
        "tools": list(prompt.tools),
        "label": prompt.task.id,
        "metadata": {"source_name": prompt.origin, **prompt.place},
    }


def trl_row(prompt: Prompt) -> Row:
    """A row of TRL's prompt-only form: `prompt` and `tools`; other columns reach environments and reward functions."""
    return {"prompt": _texts(prompt.messages), "tools": list(prompt.tools), **prompt.place}


def _texts(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message["content"] or ""} for message in messages]


def _ground_truth(task: Task) -> str:
    """The gold actions and outputs, as JSON text: Arrow has no column for arguments of any shape."""
    actions = [{"name": action.name, "arguments": dict(action.arguments)} for action in task.actions]
    return json.dumps({"actions": actions, "outputs": list(task.outputs)}, ensure_ascii=False)
