"""The program tau-retail: the table of its commands, and what it makes of their errors."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import tau_retail_env
from tau_retail_env.cli import (
    chat_template,
    doctor,
    exits,
    oracle,
    play,
    serve_user,
    sft,
    subsets,
    tasks,
    user_check,
)
from tau_retail_env.errors import TauRetailError


class Command(Protocol):
    """What the file of a command has."""

    HELP: str
    """One line for the list of commands."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options; imports nothing but the standard library and the options that commands share."""

    def run(self, options: argparse.Namespace) -> int:
        """Do the work and return the exit status; imports what the work needs inside, so that --help stays quick."""


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "tasks": tasks,
        "subsets": subsets,
        "play": play,
        "oracle": oracle,
        "user-check": user_check,
        "serve-user": serve_user,
        "chat-template": chat_template,
        "doctor": doctor,
        "sft": sft,
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name; None for those of this process.

    Returns:
        The exit status: 0, or one of `tau_retail_env.cli.exits`.
    """
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    own, more = _split(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(own, argparse.Namespace(more=more))
    try:
        with exits.sigterm_as_ctrl_c():
            status: int = options.run(options)
        sys.stdout.flush()
        return status
    except TauRetailError as error:
        print(f"error: {error}", file=sys.stderr)
        return exits.ERROR
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tau_retail_env"):
            raise
        print(f"error: {error}; `tau-retail doctor` says what is missing and what brings it", file=sys.stderr)
        return exits.ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return exits.INTERRUPTED
    except BrokenPipeError:
        # What is still buffered would fail once more when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.BROKEN_PIPE


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What is ours and what is the engine's: of serve-user everything behind -- is."""
    if "serve-user" not in arguments[:1] or "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tau-retail", description=tau_retail_env.__doc__)
    parser.add_argument("--version", action="version", version=f"tau-retail {tau_retail_env.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        own = commands.add_parser(name, help=command.HELP)
        command.add_options(own)
        own.set_defaults(run=command.run)
    return parser
