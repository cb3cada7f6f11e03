"""The instructions for the model or the person who plays a customer of τ²'s shop, in upstream's own words and form."""

from __future__ import annotations

from tau_retail_env.sources.base import REPLY, THOUGHT, Message
from tau_retail_env.sources.tau2.editions import Edition
from tau_retail_env.sources.tau2.shop import EPISODE_RULES
from tau_retail_env.sources.tau2.texts import simulator_texts
from tau_retail_env.sources.tau2.upstream import import_upstream
from tau_retail_env.tasks.task import Task

PERSONA_GAP = "<PERSONA_GUIDELINES>"
"""Where release 1.0 puts what a voice customer is like; a customer that writes is like nothing in particular."""

_REACT = f"""

## Two parts to a message
Every message of yours has these two parts, in this order, each under its title:

{THOUGHT}:
<consider what has happened and what to say next; nobody but you reads this part>

{REPLY}:
<the message for the agent, who reads this part only; a token that ends the conversation goes here>"""


def opening_messages(strategy: str, task: Task, edition: Edition) -> list[Message]:
    """What τ²'s user simulator sends to its model before the customer's first words.

    Args:
        strategy: "react" has a section about its two parts besides, in our own words, for τ² has no such strategy.
        task: what the customer wants.
        edition: whose words.

    Returns:
        The system prompt, and the agent's greeting in the role "user".

    Raises:
        MissingDependencyError: upstream's package is not installed, or has no such text.
    """
    template, guidelines = simulator_texts(edition)
    prompt = template.format(
        global_user_sim_guidelines=guidelines,
        global_user_sim_guidelines_with_persona=guidelines.replace(PERSONA_GAP, ""),
        instructions=scenario_text(task, edition),
    )
    return [
        {"role": "system", "content": prompt + (_REACT if strategy == "react" else "")},
        {"role": "user", "content": EPISODE_RULES.greeting or ""},
    ]


def scenario_text(task: Task, edition: Edition) -> str:
    """A task's instructions for τ²'s user simulator, in the form of upstream's own classes.

    Args:
        task: one with a scenario, of whatever source; without one, the instruction stands in its place.
        edition: whose classes.

    Raises:
        MissingDependencyError: τ²'s package is not installed.
    """
    upstream = import_upstream(edition)
    scenario = task.scenario
    if scenario.reason_for_call is None or scenario.task_instructions is None:
        return str(upstream.UserScenario(persona=scenario.persona, instructions=task.instruction))
    instructions = upstream.StructuredUserInstructions(
        domain=task.domain,
        reason_for_call=scenario.reason_for_call,
        known_info=scenario.known_info,
        unknown_info=scenario.unknown_info,
        task_instructions=scenario.task_instructions,
    )
    return str(upstream.UserScenario(persona=scenario.persona, instructions=instructions))
