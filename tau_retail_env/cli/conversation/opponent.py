"""The agent that a person talks to, or watches: a name, a checkpoint, a server, or a function of one's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tau_retail_env.agents.base import Agent
from tau_retail_env.agents.choice import AgentChoice, check_model, made_here
from tau_retail_env.chat.tool_formats import ToolFormat
from tau_retail_env.cli.options import KEY_VARIABLE
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks import Task


@dataclass(frozen=True, slots=True)
class Opponent:
    """Who plays the agent, and what its environment must be like."""

    name: str
    """What it is called on the screen."""
    make: Callable[[Task, int], Agent]
    """Makes it for one episode, from the task and the seed."""
    prompt_style: str = "full"
    """The system prompt that it is shown."""
    tool_format: ToolFormat = ToolFormat.HERMES
    """How it writes calls in its text."""


@contextlib.contextmanager
def opponent(
    choice: AgentChoice, tasks: Sequence[Task], *, model: str | None, api_key_env: str | None, prompt_style: str | None
) -> Iterator[Opponent]:
    """Make ready whoever is meant.

    Args:
        choice: the agent as the command line names it.
        tasks: of one source.
        model: the model behind a server's address.
        api_key_env: the variable that holds that server's key; None for `KEY_VARIABLE`.
        prompt_style: which system prompt it is shown; None for a checkpoint's own, else upstream's.

    Raises:
        InvalidValueError: a model's name or a key without a server, or a server without a name; a prompt for an agent
            that reads none; an agent that cannot be had.
        AgentServerError: the server does not answer.
    """
    check_model(choice, model)
    if api_key_env is not None and choice.kind != "server":
        raise InvalidValueError(f"--api-key-env: {choice.word} is no server that asks for a key; leave it out")
    if prompt_style is not None and choice.kind == "name":
        raise InvalidValueError(
            f"--prompt-style is for you as the agent, or for a model: {choice.word} reads no prompt"
        )
    if choice.kind == "server":
        with _served(choice.word, str(model), api_key_env or KEY_VARIABLE, prompt_style or "full") as served:
            yield served
    elif choice.kind == "checkpoint":
        yield _checkpoint(choice.word, tasks[0], prompt_style)
    else:
        yield Opponent(choice.word, made_here(choice), prompt_style or "full")


@contextlib.contextmanager
def _served(url: str, model: str, api_key_env: str, prompt_style: str) -> Iterator[Opponent]:
    from tau_retail_env.agents.server import AgentServer, ServerAgent, ServerSettings
    from tau_retail_env.sources.prompts import show_tools

    server = AgentServer(ServerSettings(base_url=url, model=model, api_key_env=api_key_env))
    with contextlib.closing(server):
        server.check()
        sends_tools = show_tools(prompt_style)
        yield Opponent(model, lambda task, seed: ServerAgent(server, seed, sends_tools=sends_tools), prompt_style)


def _checkpoint(folder: str, task: Task, prompt_style: str | None) -> Opponent:
    from tau_retail_env.episodes.model_agent import ModelAgent
    from tau_retail_env.episodes.plan import EpisodeRequest
    from tau_retail_env.evaluation.checkpoint import load_player
    from tau_retail_env.evaluation.generation import Generation, message_tokens
    from tau_retail_env.models.checks import model_config, prompt_style_of

    style = prompt_style or prompt_style_of(model_config(folder)) or "full"
    generation = Generation(max_new_tokens=message_tokens(folder))
    encoder, sampler, sequence_length = load_player(folder, task, style, generation)

    def make(task: Task, seed: int) -> Agent:
        return ModelAgent(sampler, encoder, EpisodeRequest(task.id, seed), sequence_length=sequence_length)

    return Opponent(folder, make, style, encoder.tool_format)
