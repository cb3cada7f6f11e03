"""How v1's domain policy differs from τ²'s, and what v1's user simulators send."""

from __future__ import annotations

from types import MappingProxyType

from tau_retail_env.sources.base import Message
from tau_retail_env.sources.tau_bench.tasks import import_upstream

POLICY_DIFFERENCES = MappingProxyType(
    {
        "refuse": "",
        "transfer": "",
        "glossary": "- 50 types of products, each with variant items of different options.",
        "reasons": "",
        "once": "",
    }
)
"""How v1's domain policy fills the gaps of the compressed one."""

SIMULATORS = MappingProxyType(
    {
        "llm": "LLMUserSimulationEnv",
        "react": "ReactUserSimulationEnv",
        "verify": "VerifyUserSimulationEnv",
        "reflection": "ReflectionUserSimulationEnv",
    }
)
"""Upstream's class of each strategy."""


def opening_messages(strategy: str, instruction: str) -> list[Message]:
    """What upstream's own `reset` would send: a simulator that was never constructed returns it instead.

    Args:
        strategy: one of `SIMULATORS`.
        instruction: what the customer wants.

    Raises:
        MissingDependencyError: `tau_bench`, or a package that it imports, is not there.
    """
    simulator = object.__new__(getattr(import_upstream("envs.user"), SIMULATORS[strategy]))
    simulator.generate_next_message = list
    messages: list[Message] = simulator.reset(instruction=instruction)
    return messages
