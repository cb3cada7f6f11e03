"""Conversations with a person as the agent, as the customer, or with nobody but the oracle agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.cli.catalogue import briefing, description
from tau_retail_env.cli.conversation.lines import completions, read_call, usage
from tau_retail_env.cli.conversation.screen import STOP_TOKENS, Screen
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import find_task, open_shop
from tau_retail_env.tasks import Task
from tau_retail_env.users.base import STOP, UserMessage

AGENT_HELP = """\
Plain text is said to the customer. A line that starts with / is a command:
  /TOOL key=value …     call a tool; lists as a,b; values with spaces in quotes
  /TOOL {"key": …}      the same with JSON arguments
  /tools                the tools and their arguments
  /policy               the system prompt: the rules you must follow
  /task                 reveal the customer's request and the gold actions
  /help                 this text
  /quit                 leave; the conversation is not scored
On a terminal the tab key completes tools, arguments, and ids that were shown."""
CUSTOMER_HELP = """\
Plain text is said to the agent. A line that starts with / is a command:
  /stop [words]         end the conversation with these words; it is scored
  /task                 reveal the gold actions and what they change
  /help                 this text
  /quit                 leave; the conversation is not scored"""
AGENT_COMMANDS = ("tools", "policy", "task", "help", "quit")
CUSTOMER_COMMANDS = ("stop", "task", "help", "quit")


def play(env: TauRetailEnv, *, seed: int = 0, lines: TextIO | None = None, out: TextIO | None = None) -> float | None:
    """Play one conversation with a person's lines as the agent's messages.

    Args:
        env: the environment to play in.
        seed: the task, and the customer's wording.
        lines: where the person's lines come from; None for standard input.
        out: where the conversation is shown; None for standard output.

    Returns:
        The reward, or None where the person left before the end.

    Raises:
        UserError: the customer could not open the conversation.
    """
    return _AgentSession(env, Screen(lines, out)).play(seed)


def play_customer(
    tasks: Sequence[Task], *, seed: int = 0, lines: TextIO | None = None, out: TextIO | None = None
) -> float | None:
    """Play one conversation with a person's lines as the customer's messages, against the oracle agent.

    Args:
        tasks: tasks of one source, of which the seed picks one.
        seed: the task, as `TauRetailEnv.reset` picks it.
        lines: where the person's lines come from; None for standard input.
        out: where the conversation is shown; None for standard output.

    Returns:
        The reward, or None where the person left before the end.
    """
    screen = Screen(lines, out)
    try:
        return _serve(tasks, seed, screen)
    except _PersonLeft:
        screen.say("You left the conversation; it is not scored.", "dim")
        return None


def watch(env: TauRetailEnv, *, seed: int = 0, out: TextIO | None = None) -> float:
    """Show one conversation of the oracle agent with the environment's own customer.

    Args:
        env: the environment to play in.
        seed: the task, and the customer's wording.
        out: where the conversation is shown; None for standard output.

    Returns:
        The reward.

    Raises:
        UserError: the customer could not open the conversation.
    """
    screen = Screen(None, out)
    observation, info = env.reset(seed=seed)
    screen.say(f"Task {info['task_id']}, seed {seed}. The oracle agent plays.", "dim")
    screen.show(info["messages"], agent="agent")
    return _play_oracle(env, observation, info, screen, shows_customer=True)


class _PersonLeft(Exception):
    """The person who plays the customer has gone."""


class _AgentSession:
    """A person as the agent."""

    def __init__(self, env: TauRetailEnv, screen: Screen) -> None:
        self._env = env
        self._screen = screen
        self._shown = ""

    def play(self, seed: int) -> float | None:
        _, info = self._env.reset(seed=seed)
        self._task = find_task(self._env.tasks, info["task_id"])
        self._system_prompt = info["system_prompt"]
        self._schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in info["tools"]}
        self._screen.complete_by(lambda line: completions(line, self._schemas, AGENT_COMMANDS, self._shown))
        self._screen.say(f"Task {self._task.id}, seed {seed}. You are the agent; /help explains.", "dim")
        self._show(info["messages"])
        while (message := self._next_message()) is not None:
            _, reward, terminated, truncated, answer = self._env.step(message)
            self._show(answer["messages"])
            if terminated or truncated:
                self._screen.show_end(self._task.id, reward, answer)
                return reward
        self._screen.say("You left the conversation; it is not scored.", "dim")
        return None

    def _next_message(self) -> AgentMessage | None:
        """The person's next message to the customer or a tool; None when they leave."""
        while (line := self._screen.read()) is not None:
            command = line.removeprefix("/").strip()
            if not line.startswith("/"):
                return AgentMessage(line)
            if command == "quit":
                return None
            if command in AGENT_COMMANDS:
                self._screen.say(self._answer(command))
                continue
            try:
                return AgentMessage(tool_calls=(read_call(command, self._schemas, AGENT_COMMANDS),))
            except InvalidValueError as error:
                self._screen.say(f"{error}", "red")
        return None

    def _answer(self, command: str) -> str:
        if command == "tools":
            return "\n".join(f"/{name} {usage(schema)}".rstrip() for name, schema in self._schemas.items())
        if command == "policy":
            return self._system_prompt
        return description(self._task) if command == "task" else AGENT_HELP

    def _show(self, messages: Sequence[Mapping[str, Any]]) -> None:
        for message in messages:
            self._shown += f"\n{message['content']}"
            if message["role"] == "tool":
                self._screen.show_json(message["content"])
            else:
                self._screen.show([message], agent="you")


class _Person:
    """A person as the customer."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        """Show what the customer wants, and read the first words."""
        self.task = task
        self._screen.complete_by(lambda line: completions(line, {}, CUSTOMER_COMMANDS))
        self._screen.say(f"Task {task.id}. You are the customer; /help explains.", "dim")
        self._screen.say(briefing(task))
        if greeting := open_shop(task.source).conduct.greeting:
            self._screen.say(f"agent> {greeting}", "bold")
        return self._next_words(is_opening=True)

    def respond(self, message: AgentMessage) -> UserMessage:
        """Read the answer to what the screen shows already."""
        return self._next_words(is_opening=False)

    def _next_words(self, *, is_opening: bool) -> UserMessage:
        while (line := self._screen.read()) is not None:
            command, _, last_words = line.partition(" ")
            if is_opening and (command == "/stop" or any(token in line for token in STOP_TOKENS)):
                self._screen.say("Nothing has been said yet: say what you want, or /quit to leave.", "red")
            elif not line.startswith("/"):
                return UserMessage(line)
            elif command == "/stop":
                return UserMessage(f"{last_words.strip()} {STOP}".strip())
            elif command == "/quit":
                break
            else:
                self._answer(command)
        raise _PersonLeft

    def _answer(self, command: str) -> None:
        if command == "/help":
            self._screen.say(CUSTOMER_HELP)
        elif command == "/task":
            self._screen.say(description(self.task))
        else:
            self._screen.say(f"{unknown('command', command, [f'/{name}' for name in CUSTOMER_COMMANDS])}", "red")


def _serve(tasks: Sequence[Task], seed: int, screen: Screen) -> float:
    """Let the oracle agent serve the person, to the end of the episode."""
    env = TauRetailEnv(source=tasks[0].source, tasks=tasks, user=_Person(screen))
    observation, info = env.reset(seed=seed)
    return _play_oracle(env, observation, info, screen, shows_customer=False)


def _play_oracle(
    env: TauRetailEnv, observation: str, info: Mapping[str, Any], screen: Screen, *, shows_customer: bool
) -> float:
    """The oracle's turns from an opened episode to its end; what a person typed is on the screen already."""
    task = find_task(env.tasks, info["task_id"])
    agent = OracleAgent(task)
    while True:
        message = agent.act(observation, info)
        screen.show_agent(message)
        observation, reward, terminated, truncated, info = env.step(message)
        screen.show([one for one in info["messages"] if shows_customer or one["role"] == "tool"], agent="agent")
        if terminated or truncated:
            screen.show_end(task.id, reward, info)
            return reward
