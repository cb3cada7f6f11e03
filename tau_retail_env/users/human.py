"""A person in the terminal as the customer."""

from __future__ import annotations

import sys
import threading
import weakref
from typing import NoReturn, TextIO

from tau_retail_env.errors import InvalidValueError, UserLeftError
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import Source, get_source
from tau_retail_env.tasks.task import Task
from tau_retail_env.users.base import STOP, UserMessage

HELP = f"""\
You are the customer. A line is said to the agent. A line that starts with / is a command:
  /stop [words]   end the conversation, with these last words ({STOP}); it is scored
  /task           what you want, once more
  /help           this text
The end of the input (Ctrl-D) ends the command; this conversation is not scored, those before it are kept."""


class HumanUser:
    """A person plays the customer, line by line; there is one at a time in a process, for there is one terminal.

    Args:
        source: where the tasks come from, or its name: τ²'s agent begins with a greeting.
        lines: the person's lines; None for standard input.
        out: where the conversation is shown; None for standard error, which leaves standard output to results.

    Raises:
        InvalidValueError: there is another one already, or the source is unknown.
    """

    strategy = "human"
    _terminal = threading.Lock()
    _current: weakref.ref[HumanUser] | None = None

    def __init__(self, *, source: str | Source, lines: TextIO | None = None, out: TextIO | None = None) -> None:
        self._source = source if isinstance(source, Source) else get_source(source)
        self._episode_rules = self._source.episode_rules
        self._lines = lines
        self._out = out
        self._briefing = ""
        with HumanUser._terminal:
            if HumanUser._current is not None and HumanUser._current() is not None:
                raise InvalidValueError(
                    "user_strategy 'human': one person plays one environment, and this is the second at once; play "
                    "one episode at a time (one environment, no concurrency), or pick another user_strategy"
                )
            HumanUser._current = weakref.ref(self)

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        """Show what the customer wants, and read the first words.

        Args:
            task: what the customer wants.
            seed: ignored; the words are the person's own.

        Raises:
            UserLeftError: the input has ended.
        """
        self._briefing = f"Task {task.id}\n{self._source.user_briefing(task)}"
        self._show(f"{self._briefing}\n\n{HELP}")
        if self._episode_rules.greeting:
            self._show(f"agent> {self._episode_rules.greeting}")
        return self._next_words(is_opening=True)

    def respond(self, message: AgentMessage) -> UserMessage:
        """Show the agent's text, and read the answer.

        Args:
            message: what the agent said; tool calls are not shown.

        Raises:
            UserLeftError: the input has ended.
        """
        self._show(f"agent> {message.content}")
        return self._next_words(is_opening=False)

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled: there is one person, at one terminal."""
        raise TypeError("an environment in which a person plays the customer cannot be copied: there is one terminal")

    def _next_words(self, *, is_opening: bool) -> UserMessage:
        while (line := self._next_line()) is not None:
            command, _, last_words = line.partition(" ")
            if is_opening and (command == "/stop" or any(token in line for token in self._episode_rules.stop_tokens)):
                self._show("Nothing has been said yet: say what you want.")
            elif command == "/stop":
                return UserMessage(f"{last_words.strip()} {STOP}".strip(), stop=STOP)
            elif line.startswith("/"):
                self._show(self._briefing if command == "/task" else HELP)
            elif line:
                return UserMessage(line)
        raise UserLeftError("the person who plays the customer has left: the input has ended")

    def _next_line(self) -> str | None:
        out = self._out or sys.stderr
        out.write("you> ")
        out.flush()
        lines = self._lines or sys.stdin
        line = lines.readline() if lines else ""
        if not line:
            out.write("\n")  # what comes next is not the person's line
            return None
        return line.strip()

    def _show(self, text: str) -> None:
        out = self._out or sys.stderr
        out.write(f"{text}\n")
        out.flush()
