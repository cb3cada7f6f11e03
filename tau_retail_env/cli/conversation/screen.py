"""The screen of a conversation: where a person's lines come from, and how messages are shown."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.json import JSON
from rich.text import Text

from tau_retail_env.cli.catalogue import call_text
from tau_retail_env.cli.output import printable
from tau_retail_env.messages import JUDGE_FAILED, AgentMessage
from tau_retail_env.tasks import Action
from tau_retail_env.users.base import OUT_OF_SCOPE, STOP, TRANSFER

STOP_TOKENS = (STOP, TRANSFER, OUT_OF_SCOPE)
RESULT_WIDTH = 300
"""Characters of a tool's result that are shown to who is not the agent."""


class Screen:
    """Where a person's lines come from, and where the conversation is shown.

    Args:
        lines: the person's lines; None for standard input, which is empty where it is closed.
        out: where to show; None for standard output.
    """

    def __init__(self, lines: TextIO | None, out: TextIO | None) -> None:
        self._lines: TextIO = lines or sys.stdin or io.StringIO()
        self._console = Console(file=out or sys.stdout, highlight=False, soft_wrap=True)
        self._is_terminal = self._lines is sys.stdin and self._lines.isatty()

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
        """Show a text; what a terminal would obey is written out."""
        self._console.print(Text(printable(text), style=style))

    def show(self, messages: Iterable[Mapping[str, Any]], *, agent: str) -> None:
        """Show messages of a conversation, tools' results in short.

        Args:
            messages: as the environment returns them.
            agent: what the agent is called.
        """
        for message in messages:
            if message["role"] == "tool":
                self.say(_shortened(message["content"]), "dim")
            elif message["role"] == "assistant":
                self.say(f"{agent}> {message['content'] or ''}", "bold")
            elif said := _without_stop_tokens(message["content"]):
                self.say(f"customer> {said}", "cyan")

    def show_agent(self, message: AgentMessage) -> None:
        """Show a message of the oracle's: its words, or the calls that the customer never sees."""
        for call in message.tool_calls:
            self.say(f"agent calls {call_text(Action(call.name, call.arguments))}", "dim")
        if message.content and not message.tool_calls:
            self.say(f"agent> {message.content}", "bold")

    def show_json(self, text: str) -> None:
        """Show a tool's whole result; what is no JSON stands out."""
        try:
            laid_out = JSON(text, indent=2).text
        except ValueError:
            self.say(text, "yellow")
            return
        if printable(laid_out.plain) == laid_out.plain:
            self._console.print(laid_out)
        else:
            self.say(laid_out.plain)

    def show_end(self, task_id: str, reward: float, info: Mapping[str, Any]) -> None:
        """Show how an episode ended and what its reward is made of."""
        verdict = f" Reward: {reward}" if info["scorable"] else ""
        self.say(f"The conversation is over ({info['stop_reason']}).{verdict}", "bold")
        if not info["scorable"]:
            reason = info.get("customer_error", "")
            who = "judge" if reason.startswith(JUDGE_FAILED) else "customer"
            self.say(f"The {who} failed; this episode must not be scored.", "red")
            if reason:
                self.say(reason.removeprefix(JUDGE_FAILED), "red")
        for name, value in info["reward_breakdown"].items():
            self.say(f"  {name.replace('_', ' ')}: {'unknown' if value is None else f'{value:g}'}")
        if info["scorable"] and reward < 1.0:
            self.say(f"tau-retail tasks {task_id} shows what was asked.", "dim")

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


def _without_stop_tokens(text: str) -> str:
    for token in STOP_TOKENS:
        text = text.replace(token, "")
    return text.strip()


def _shortened(text: str) -> str:
    return text if len(text) <= RESULT_WIDTH else f"{text[:RESULT_WIDTH]} … ({len(text):,} characters)"
