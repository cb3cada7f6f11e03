"""A person plays: the agent against a customer, or the customer of the oracle agent; on a terminal or from a pipe."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TextIO

from rich.console import Console
from rich.json import JSON
from rich.text import Text

from tau_retail_env.catalogue import briefing, call_text, description
from tau_retail_env.chat.messages import AgentMessage, ToolCall
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.agents import OracleAgent
from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.tasks import Action, Task, find_task
from tau_retail_env.users.customer import OUT_OF_SCOPE, STOP, TRANSFER, UserMessage
from tau_retail_env.world import open_shop

AGENT_HELP = """\
Plain text is said to the customer. A line that starts with / is a command:
  /TOOL key=value …     call a tool; lists as a,b; quotes around values with spaces
  /TOOL {"key": …}      the same with JSON arguments
  /tools                the tools and their arguments
  /policy               the system prompt: the rules you must follow
  /task                 reveal the customer's request and the gold actions
  /help                 this text
  /quit                 leave; the conversation is not scored
On a terminal the tab key completes tools, arguments, and the ids that have been shown."""
CUSTOMER_HELP = f"""\
Plain text is said to the agent. A line that starts with / is a command:
  /stop [words]         end the conversation, with these last words ({STOP}); it is scored
  /task                 reveal the gold actions and what they change
  /help                 this text
  /quit                 leave; the conversation is not scored"""
AGENT_COMMANDS = ("tools", "policy", "task", "help", "quit")
CUSTOMER_COMMANDS = ("stop", "task", "help", "quit")
STOP_TOKENS = (STOP, TRANSFER, OUT_OF_SCOPE)
RESULT_WIDTH = 300
"""Characters of a tool's result that a customer is shown."""
IDS: Mapping[str, str] = MappingProxyType(
    {
        "order_id": r"#W\d+",
        "user_id": r"\b[a-z]+_[a-z]+_\d{4}\b",
        "email": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
        "zip": r"\b\d{5}\b",
        "payment_method_id": r"\b(?:credit_card|gift_card|paypal)_\d+\b",
        "item_ids": r"\b\d{10}\b",
        "new_item_ids": r"\b\d{10}\b",
        "product_id": r"\b\d{10}\b",
    }
)
"""What the values of an argument look like in the conversation."""

Schemas = Mapping[str, Mapping[str, Any]]
"""The parameters of each tool (a JSON schema), by the tool's name."""


def play(
    env: TauRetailEnv,
    *,
    task_id: str | None = None,
    seed: int = 0,
    lines: TextIO | None = None,
    out: TextIO | None = None,
) -> float | None:
    """Play one conversation with a person's lines as the agent's messages.

    Args:
        env: the environment to play in.
        task_id: which task; None picks by seed.
        seed: the customer's wording, and the task where `task_id` is None.
        lines: where the person's lines come from; None for standard input.
        out: where the conversation is shown; None for standard output.

    Returns:
        The reward, or None where the person left before the end.

    Raises:
        InvalidValueError: unknown task id.
        UserError: the customer could not open the conversation.
    """
    return _AgentSession(env, _Screen(lines or sys.stdin, out or sys.stdout)).play(task_id, seed)


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
    screen = _Screen(lines or sys.stdin, out or sys.stdout)
    try:
        return _serve(tasks, seed, screen)
    except _PersonLeft:
        screen.say("You left the conversation; it is not scored.", "dim")
        return None


def completions(line: str, schemas: Schemas, commands: Iterable[str] = (), shown: str = "") -> list[str]:
    """The lines that the tab key can make of the beginning of one.

    Args:
        line: what is typed so far.
        schemas: the tools' parameters by name.
        commands: what else can stand after the slash.
        shown: the conversation so far, from which ids are taken.

    Returns:
        Whole lines: with a tool or command completed, an argument's name that is not used yet, or a value (of those
        that the schema lists, or an id that was shown).
    """
    name, space, rest = line.partition(" ")
    if not space:
        words = [f"/{word} " for word in (*schemas, *commands)]
        return [word for word in words if line.startswith("/") and word.startswith(line)]
    properties = schemas.get(name.removeprefix("/"), {}).get("properties", {})
    if not line.startswith("/") or rest.lstrip().startswith("{"):
        return []
    value = re.fullmatch(r"(.* )(\w+)=(['\"][^'\"]*|[^'\" ]*)", line)
    if value and value[2] in properties:
        start, key, typed = value.groups()
        return [f"{start}{key}={end}" for end in _values(key, typed, properties[key], shown)]
    start, word = line[: line.rindex(" ") + 1], line[line.rindex(" ") + 1 :]
    unused = [key for key in properties if not re.search(rf" {key}=", line)]
    return [f"{start}{key}=" for key in unused if key.startswith(word)]


def _values(key: str, typed: str, schema: Mapping[str, Any], shown: str) -> list[str]:
    """What can follow `key=` instead of the part that is typed; of a list the last element is completed."""
    is_list = schema.get("type") == "array"
    before, last = typed[: typed.rfind(",") + 1] if is_list else "", typed.rpartition(",")[2] if is_list else typed
    known = schema.get("enum") or dict.fromkeys(re.findall(IDS[key], shown) if key in IDS else ())
    fitting = [f"{value}" for value in known if f"{value}".startswith(last.lstrip("'\""))]
    return [before + (f"'{value}'" if " " in value else value) + ("" if is_list else " ") for value in fitting]


def read_call(line: str, schemas: Schemas) -> ToolCall:
    """Read a typed tool call: `name key=value …` or `name {json}`.

    Values take the type that the tool's schema gives them, so that a zip stays text; lists are `a,b` or JSON.

    Args:
        line: the line without its leading slash.
        schemas: the tools' parameters by name.

    Raises:
        InvalidValueError: unknown tool, or arguments that cannot be read.
    """
    name, _, rest = line.strip().partition(" ")
    if name not in schemas:
        raise unknown("tool or command", name, [*schemas, *AGENT_COMMANDS])
    rest = rest.strip()
    if rest.startswith("{"):
        return ToolCall(name, _json_object(rest))
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise InvalidValueError(f"Cannot read {rest!r}: {error}. Put values with spaces in double quotes.") from error
    arguments = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidValueError(f"Cannot read {word!r}: expected key=value. Put values with spaces in quotes.")
        arguments[key] = _typed(value, schemas[name].get("properties", {}).get(key, {}))
    return ToolCall(name, arguments)


def _json_object(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"The arguments are not valid JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise InvalidValueError(f"The arguments must be a JSON object, found {type(arguments).__name__}")
    return arguments


def _typed(value: str, schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "array":
        inner = value.removeprefix("[").removesuffix("]")
        return [_typed(part.strip().strip("\"'"), schema.get("items", {})) for part in inner.split(",") if part.strip()]
    if kind in ("number", "integer", "boolean", "object"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


class _PersonLeft(Exception):
    """The person who plays the customer has gone."""


class _Screen:
    """Where a person's lines come from, and where the conversation is shown."""

    def __init__(self, lines: TextIO, out: TextIO) -> None:
        self._lines = lines
        self._console = Console(file=out, highlight=False, soft_wrap=True)
        self._is_terminal = lines is sys.stdin and lines.isatty()

    def read(self) -> str | None:
        """The person's next line that is not empty; None when there are no more."""
        while (line := self._next_line()) is not None:
            if line:
                return line
        return None

    def _next_line(self) -> str | None:
        if self._is_terminal:
            try:
                return input("you> ").strip()
            except EOFError:
                return None
        line = self._lines.readline()
        if not line:
            return None
        self.say(f"you> {line.strip()}", "bold")
        return line.strip()

    def say(self, text: str, style: str = "") -> None:
        """Show a text, as it is."""
        self._console.print(Text(text, style=style))

    def show_json(self, text: str) -> None:
        """Show a tool's result; what is no JSON stands out."""
        try:
            json.loads(text)
        except ValueError:
            self.say(text, "yellow")
        else:
            self._console.print(JSON(text, indent=2))

    def show_end(self, task: Task, reward: float, info: Mapping[str, Any]) -> None:
        """Show how an episode ended and what its reward is made of."""
        self.say(f"The conversation is over ({info['stop_reason']}). Reward: {reward}", "bold")
        if not info["scorable"]:
            self.say("The customer failed; this episode must not be scored.", "red")
        for name, value in info["reward_breakdown"].items():
            self.say(f"  {name.replace('_', ' ')}: {value:g}")
        if reward < 1.0:
            self.say(f"tau-retail tasks {task.id} shows what was asked.", "dim")

    def complete_by(self, lines_from: Callable[[str], list[str]]) -> None:
        """Let the tab key complete a line, where Python has readline and the person a terminal."""
        if not self._is_terminal:
            return
        try:
            import readline
        except ImportError:
            return

        def completer(_: str, number: int) -> str | None:
            candidates = lines_from(readline.get_line_buffer()[: readline.get_endidx()])
            return candidates[number][readline.get_begidx() :] if number < len(candidates) else None

        readline.set_completer_delims(" ")
        readline.set_completer(completer)
        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")


class _AgentSession:
    """A person as the agent."""

    def __init__(self, env: TauRetailEnv, screen: _Screen) -> None:
        self._env = env
        self._screen = screen
        self._shown = ""

    def play(self, task_id: str | None, seed: int) -> float | None:
        _, info = self._env.reset(task_id=task_id, seed=seed)
        self._task = find_task(self._env.tasks, info["task_id"])
        self._system_prompt = info["system_prompt"]
        self._schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in info["tools"]}
        self._screen.complete_by(lambda line: completions(line, self._schemas, AGENT_COMMANDS, self._shown))
        self._screen.say(f"Task {self._task.id}, seed {seed}. You are the agent; /help explains.", "dim")
        self._show(info["messages"])
        while (message := self._next_message()) is not None:
            _, reward, terminated, truncated, info = self._env.step(message)
            self._show(info["messages"])
            if terminated or truncated:
                self._screen.show_end(self._task, reward, info)
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
                return AgentMessage(tool_calls=(read_call(command, self._schemas),))
            except InvalidValueError as error:
                self._screen.say(f"{error}", "red")
        return None

    def _answer(self, command: str) -> str:
        if command == "tools":
            return "\n".join(f"/{name} {_usage(schema)}".rstrip() for name, schema in self._schemas.items())
        if command == "policy":
            return self._system_prompt
        return description(self._task) if command == "task" else AGENT_HELP

    def _show(self, messages: Sequence[Mapping[str, Any]]) -> None:
        for message in messages:
            content = message["content"]
            self._shown += f"\n{content}"
            if message["role"] == "tool":
                self._screen.show_json(content)
            elif message["role"] == "user":
                for token in STOP_TOKENS:
                    content = content.replace(token, "")
                if content.strip():
                    self._screen.say(f"customer> {content.strip()}", "cyan")
            else:
                self._screen.say(f"you> {content}", "bold")


class _Person:
    """A person as the customer."""

    def __init__(self, screen: _Screen) -> None:
        self._screen = screen

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        """Show what the customer wants, and read the first words."""
        self.task = task
        self._screen.complete_by(lambda line: completions(line, {}, CUSTOMER_COMMANDS))
        self._screen.say(f"Task {task.id}. You are the customer; /help explains.", "dim")
        self._screen.say(briefing(task))
        if greeting := open_shop(task.source).conduct.greeting:
            self._screen.say(f"agent> {greeting}", "cyan")
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


def _serve(tasks: Sequence[Task], seed: int, screen: _Screen) -> float:
    """Let the oracle agent serve the person, to the end of the episode."""
    person = _Person(screen)
    env = TauRetailEnv(source=tasks[0].source, tasks=tasks, user=person)
    observation, info = env.reset(seed=seed)
    agent = OracleAgent(person.task)
    while True:
        message = agent.act(observation, info)
        for call in message.tool_calls:
            screen.say(f"agent calls {call_text(Action(call.name, call.arguments))}", "dim")
        if message.content and not message.tool_calls:
            screen.say(f"agent> {message.content}", "cyan")
        observation, reward, terminated, truncated, info = env.step(message)
        for result in info["messages"]:
            if result["role"] == "tool":
                screen.say(_shortened(result["content"]), "dim")
        if terminated or truncated:
            screen.show_end(person.task, reward, info)
            return reward


def _shortened(text: str) -> str:
    return text if len(text) <= RESULT_WIDTH else f"{text[:RESULT_WIDTH]} … ({len(text):,} characters)"


def _usage(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    names = [f"{name}=…" if name in required else f"[{name}=…]" for name in schema.get("properties", {})]
    return " ".join(names)
