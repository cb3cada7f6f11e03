"""Conversations with a person as the agent, as the customer, or with nobody but an agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.chat.parsing import MalformedMessageError, parse_message
from tau_retail_env.cli.catalogue import briefing, description
from tau_retail_env.cli.conversation.lines import begins_with_tool, completions, read_call, usage
from tau_retail_env.cli.conversation.opponent import Opponent
from tau_retail_env.cli.conversation.screen import STOP_TOKENS, Screen
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.evaluation.playing import check_answer
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import find_task, open_shop
from tau_retail_env.tasks import Task
from tau_retail_env.users.base import STOP, UserMessage

AGENT_HELP = """\
Plain text is said to the customer. A line that starts with / is a command; so
is one that starts with a tool's name, or is nothing but the name of a command:
  /TOOL key=value …     call a tool; lists as a,b; values with spaces in quotes
  /TOOL {"key": …}      the same with JSON arguments, or /TOOL(key="value", …)
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
ORACLE = Opponent("the oracle agent", lambda task, seed: OracleAgent(task))
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


def play_user(
    tasks: Sequence[Task],
    *,
    agent: Opponent = ORACLE,
    seed: int = 0,
    lines: TextIO | None = None,
    out: TextIO | None = None,
) -> float | None:
    """Play one conversation with a person's lines as the customer's messages.

    Args:
        tasks: tasks of one source, of which the seed picks one.
        agent: who answers.
        seed: the task, as `TauRetailEnv.reset` picks it.
        lines: where the person's lines come from; None for standard input.
        out: where the conversation is shown; None for standard output.

    Returns:
        The reward, or None where the person left before the end.
    """
    screen = Screen(lines, out)
    env = TauRetailEnv(
        source=tasks[0].source,
        tasks=tasks,
        user=_Person(screen, agent.name),
        prompt_style=agent.prompt_style,
        tool_format=agent.tool_format,
    )
    try:
        return _converse(env, agent, seed, screen, shows_customer=False)
    except _PersonLeft:
        screen.say("You left the conversation; it is not scored.", "dim")
        return None


def watch(env: TauRetailEnv, *, agent: Opponent = ORACLE, seed: int = 0, out: TextIO | None = None) -> float:
    """Show one conversation of an agent with the environment's own customer.

    Args:
        env: the environment to play in.
        agent: who plays.
        seed: the task, and the customer's wording.
        out: where the conversation is shown; None for standard output.

    Returns:
        The reward.

    Raises:
        UserError: the customer could not open the conversation.
    """
    return _converse(env, agent, seed, Screen(None, out), shows_customer=True)


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
            is_said = command not in AGENT_COMMANDS and not begins_with_tool(line, self._schemas)
            if is_said and not line.startswith("/"):
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

    def __init__(self, screen: Screen, agent: str) -> None:
        self._screen = screen
        self._agent = agent

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        """Show what the customer wants, and read the first words."""
        self.task = task
        self._screen.complete_by(lambda line: completions(line, {}, CUSTOMER_COMMANDS))
        self._screen.say(f"Task {task.id}. You are the customer of {self._agent}; /help explains.", "dim")
        self._screen.say(briefing(task))
        if greeting := open_shop(task.source).episode_rules.greeting:
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


def _converse(env: TauRetailEnv, agent: Opponent, seed: int, screen: Screen, *, shows_customer: bool) -> float:
    """An agent's episode from its opening to its end; what a person typed is on the screen already."""
    observation, info = env.reset(seed=seed)
    task = find_task(env.tasks, info["task_id"])
    if shows_customer:
        screen.say(f"Task {task.id}, seed {seed}. {agent.name} plays.", "dim")
        screen.show(info["messages"], agent="agent")
    player = agent.make(task, seed)
    seen: Mapping[str, Any] = info
    while True:
        message = player.act(observation, seen)
        check_answer(message)
        screen.show_agent(_as_message(message, env))
        observation, reward, terminated, truncated, answer = env.step(message)
        if answer["metrics"]["malformed"]:
            screen.say(f"the agent reads: {observation}", "dim")
        else:
            back = answer["messages"]
            screen.show([one for one in back if shows_customer or one["role"] == "tool"], agent="agent")
        if terminated or truncated:
            screen.show_end(task.id, reward, answer)
            return reward
        seen = answer


def _as_message(said: AgentMessage | str, env: TauRetailEnv) -> AgentMessage:
    """What an agent said, its calls apart; a text that cannot be read as it stands."""
    if isinstance(said, AgentMessage):
        return said
    try:
        return parse_message(said, env.tool_format, env.tools)
    except MalformedMessageError:
        return AgentMessage(said)
