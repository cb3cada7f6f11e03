"""What the model or the person who plays a customer of τ²'s shop is told, in upstream's own words and form."""

from __future__ import annotations

from tau_retail_env.sources.base import REPLY, THOUGHT, Message
from tau_retail_env.sources.tau2.shop import CONDUCT, import_upstream
from tau_retail_env.sources.tau2.texts import simulator_texts
from tau_retail_env.tasks.task import Task

_REACT = f"""

## Two parts to a message
Every message of yours has these two parts, in this order, each under its title:

{THOUGHT}:
<consider what has happened and what to say next; nobody but you reads this part>

{REPLY}:
<the message for the agent, who reads this part only; a token that ends the conversation goes here>"""


def opening_messages(strategy: str, task: Task) -> list[Message]:
    """What τ²'s user simulator sends to its model before the customer's first words.

    Args:
        strategy: "react" has a section about its two parts besides, in our own words, for τ² has no such strategy.
        task: what the customer wants.

    Returns:
        The system prompt, and the agent's greeting in the role "user".

    Raises:
        MissingDependencyError: upstream's package is not installed, or has no such text.
    """
    template, guidelines = simulator_texts()
    prompt = template.format(global_user_sim_guidelines=guidelines, instructions=scenario_text(task))
    return [
        {"role": "system", "content": prompt + (_REACT if strategy == "react" else "")},
        {"role": "user", "content": CONDUCT.greeting or ""},
    ]


def scenario_text(task: Task) -> str:
    """What τ²'s user simulator is told about a task, in the form of upstream's own classes.

    Args:
        task: one with a scenario, of whatever source; without one, the instruction stands in its place.

    Raises:
        MissingDependencyError: τ²'s package is not installed.
    """
    import_upstream()  # without its log lines
    from tau2.data_model.tasks import StructuredUserInstructions, UserScenario

    told = task.scenario
    if told.reason_for_call is None or told.task_instructions is None:
        return str(UserScenario(persona=told.persona, instructions=task.instruction))
    instructions = StructuredUserInstructions(
        domain=task.domain,
        reason_for_call=told.reason_for_call,
        known_info=told.known_info,
        unknown_info=told.unknown_info,
        task_instructions=told.task_instructions,
    )
    return str(UserScenario(persona=told.persona, instructions=instructions))
