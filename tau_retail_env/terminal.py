"""A person is the agent: one conversation with the customer, line by line, on a terminal or from a pipe."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.json import JSON
from rich.text import Text

from tau_retail_env.catalogue import description
from tau_retail_env.chat.messages import AgentMessage, ToolCall
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.tasks import find_task
from tau_retail_env.users.customer import OUT_OF_SCOPE, STOP, TRANSFER

HELP = """\
Plain text is said to the customer. A line that starts with / is a command:
  /TOOL key=value …     call a tool; lists as a,b; quotes around values with spaces
  /TOOL {"key": …}      the same with JSON arguments
  /tools                the tools and their arguments
  /policy               the system prompt: the rules you must follow
  /task                 reveal the customer's request and the gold actions
  /help                 this text
  /quit                 leave; the conversation is not scored"""

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
    return _Session(env, lines or sys.stdin, out or sys.stdout).play(task_id, seed)


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
        raise unknown("tool or command", name, [*schemas, "tools", "policy", "task", "help", "quit"])
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


class _Session:
    """One conversation with its screen."""

    def __init__(self, env: TauRetailEnv, lines: TextIO, out: TextIO) -> None:
        self._env = env
        self._lines = lines
        self._console = Console(file=out, highlight=False, soft_wrap=True)
        self._is_terminal = lines is sys.stdin and lines.isatty()

    def play(self, task_id: str | None, seed: int) -> float | None:
        _, info = self._env.reset(task_id=task_id, seed=seed)
        self._task = find_task(self._env.tasks, info["task_id"])
        self._system_prompt = info["system_prompt"]
        self._schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in info["tools"]}
        if self._is_terminal:
            _complete([f"/{name}" for name in (*self._schemas, "tools", "policy", "task", "help", "quit")])
        self._say(f"Task {self._task.id}, seed {seed}. You are the agent; /help explains.", "dim")
        self._show(info["messages"])
        while (message := self._next_message()) is not None:
            _, reward, terminated, truncated, info = self._env.step(message)
            self._show(info["messages"])
            if terminated or truncated:
                self._show_end(reward, info)
                return reward
        self._say("You left the conversation; it is not scored.", "dim")
        return None

    def _next_message(self) -> AgentMessage | None:
        """The person's next message to the customer or a tool; None when they leave."""
        while (line := self._read_line()) is not None:
            command = line.removeprefix("/").strip()
            if not line:
                continue
            if not line.startswith("/"):
                return AgentMessage(line)
            if command == "quit":
                return None
            if command in ("help", "tools", "policy", "task"):
                self._say(self._answer(command))
                continue
            try:
                return AgentMessage(tool_calls=(read_call(command, self._schemas),))
            except InvalidValueError as error:
                self._say(f"{error}", "red")
        return None

    def _read_line(self) -> str | None:
        if self._is_terminal:
            try:
                return input("you> ").strip()
            except EOFError:
                return None
        line = self._lines.readline()
        if not line:
            return None
        self._say(f"you> {line.strip()}", "bold")
        return line.strip()

    def _answer(self, command: str) -> str:
        if command == "tools":
            return "\n".join(f"/{name} {_usage(schema)}".rstrip() for name, schema in self._schemas.items())
        if command == "policy":
            return self._system_prompt
        return description(self._task) if command == "task" else HELP

    def _show(self, messages: Sequence[Mapping[str, Any]]) -> None:
        for message in messages:
            content = message["content"]
            if message["role"] == "tool":
                self._show_result(content)
            elif message["role"] == "user":
                for token in (STOP, TRANSFER, OUT_OF_SCOPE):
                    content = content.replace(token, "")
                if content.strip():
                    self._say(f"customer> {content.strip()}", "cyan")
            else:
                self._say(f"you> {content}", "bold")

    def _show_result(self, content: str) -> None:
        try:
            json.loads(content)
        except ValueError:
            self._say(content, "yellow")
        else:
            self._console.print(JSON(content, indent=2))

    def _show_end(self, reward: float, info: Mapping[str, Any]) -> None:
        self._say(f"The conversation is over ({info['stop_reason']}). Reward: {reward}", "bold")
        if not info["scorable"]:
            self._say("The customer failed; this episode must not be scored.", "red")
        for name, value in info["reward_breakdown"].items():
            self._say(f"  {name.replace('_', ' ')}: {value:g}")
        if reward < 1.0:
            self._say(f"tau-retail tasks {self._task.id} shows what was asked.", "dim")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))


def _usage(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    names = [f"{name}=…" if name in required else f"[{name}=…]" for name in schema.get("properties", {})]
    return " ".join(names)


def _complete(words: Sequence[str]) -> None:
    """Let the tab key complete the first word of a line, where Python has readline."""
    try:
        import readline
    except ImportError:
        return

    def completer(start: str, number: int) -> str | None:
        matches = [f"{word} " for word in words if start and word.startswith(start)]
        return matches[number] if number < len(matches) else None

    readline.set_completer_delims(" ")
    readline.set_completer(completer)
    readline.parse_and_bind("tab: complete")
