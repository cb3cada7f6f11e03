"""The program tau-retail: the table of its commands, their old names, and what it makes of their errors."""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn, Protocol

import tau_retail_env
from tau_retail_env.cli import (
    audit,
    compare,
    convert,
    doctor,
    eval,
    exits,
    generate,
    play,
    report,
    review,
    serve_user,
    tasks,
    train,
)
from tau_retail_env.cli.options import in_options
from tau_retail_env.cli.output import complain
from tau_retail_env.errors import TauRetailError, UserLeftError, nearest, unknown
from tau_retail_env.urls import without_secrets


class Command(Protocol):
    """What the file of a command has; docs/adding_a_command.md shows one."""

    HELP: str
    """One line for the list of commands."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options; imports nothing but the standard library and the options that commands share."""

    def run(self, options: argparse.Namespace) -> int:
        """Do the work and return the exit status; imports what the work needs inside, so that --help stays quick."""


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "tasks": tasks,
        "generate": generate,
        "play": play,
        "eval": eval,
        "compare": compare,
        "convert": convert,
        "audit": audit,
        "train": train,
        "review": review,
        "report": report,
        "serve-user": serve_user,
        "doctor": doctor,
    }
)
"""The commands in the order in which --help lists them."""
OLD_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "subsets": ("tasks", "--subsets"),
        "sft": ("train", "--config-name", "tau_retail_sft"),
        "user-check": ("review", "--customer"),
        "oracle": ("review", "--oracle"),
        "chat-template": ("doctor", "--chat-template"),
    }
)
"""Former commands, and the words that stand for them now."""
HELP = "help"
"""The word that lists the commands as --help does, and before a command shows its options."""
LIST_THE_KNOWN = frozenset(("--split", "--subset"))
"""Options that answer an empty value with all that they know."""
HELP_OPTIONS = frozenset(("-h", "--help"))
OF_A_CONFIGURATION = re.compile(r"unrecognized arguments:.* (?:--config[-_]|--print-config|\+*[a-z][\w.]*=)")
"""What argparse says of a command's words where they are those of a configuration."""
UNKNOWN_OPTION = re.compile(r"unrecognized arguments: (?:.* )?(--[\w-]+)")
"""What argparse says of an option that the command does not have."""


def program() -> NoReturn:
    """The command `tau-retail`: run one command with this process's words, and end the process."""
    exits.leave(main)


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
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    try:
        with exits.sigterm_as_ctrl_c():
            status: int = options.run(options)
        sys.stdout.flush()
        return status
    except UserLeftError as error:
        complain(f"interrupted: {error}")
        return exits.INTERRUPTED
    except TauRetailError as error:
        complain(f"error: {in_options(str(error), options)}")
        return exits.ERROR
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tau_retail_env"):
            raise
        complain(f"error: {error}; `tau-retail doctor` says what is missing and what brings it")
        return exits.ERROR
    except OSError as error:
        if error.filename is None:
            raise
        complain(f"error: {error.filename} cannot be read or written: {error.strerror}")
        return exits.ERROR
    except KeyboardInterrupt:
        complain("interrupted")
        return exits.INTERRUPTED


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command, then its options by a parser of its own, which lets options and other words take turns."""
    program = _program_parser()
    if not words:
        program.exit(exits.ERROR, program.format_help())
    if words[0] == HELP:
        words = [*words[1:2], "--help"]
    chosen = program.parse_args(words[:1])
    name, rest = _renamed(chosen.command, list(words[1:]))
    command = COMMANDS[name]
    parser = _CommandParser(
        prog=f"tau-retail {name}",
        description=f"{command.HELP[0].upper()}{command.HELP[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_options(parser)
    own, more = _split(name, rest)
    parser.refuse_empty(own)
    return parser.parse_intermixed_args(own, argparse.Namespace(run=command.run, more=more))


class _CommandParser(argparse.ArgumentParser):
    """Says what is wrong with a command's words, and where its options stand; all of them would hide the line."""

    def error(self, message: str) -> NoReturn:
        if OF_A_CONFIGURATION.match(message):
            message += "; a configuration is for tau-retail train (--config-name tau_retail_eval plays tasks with it)"
        elif self.prog == "tau-retail train" and message.startswith("unrecognized arguments: --"):
            message += "; a key of the configuration is given without dashes, as max_steps=5"
        elif found := UNKNOWN_OPTION.match(message):
            message += f".{nearest(found[1], [word for one in self._actions for word in one.option_strings])}"
        told = without_secrets(message)
        self.exit(exits.ERROR, f"usage: {self.prog} [OPTIONS], see {self.prog} --help\nerror: {told}\n")

    def refuse_empty(self, words: Sequence[str]) -> None:
        """Refuse empty words, which a shell makes of a variable that was not set: a path would be the current folder.

        Args:
            words: the command's.
        """
        option = None
        for word in words:
            name, equals, value = word.partition("=")
            if name.startswith("--"):
                option, word = name, value if equals else name
            if not word.strip() and option not in LIST_THE_KNOWN:
                after = f" after {option}" if option else ""
                self.error(
                    f"found an empty word{after}, as of a variable that is not set; give a value, or leave it out"
                )


def _program_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {command.HELP}" for name, command in COMMANDS.items())
    old = "\n".join(f"  {name:<{width + 4}}  {' '.join(new)}" for name, new in OLD_NAMES.items())
    parser = argparse.ArgumentParser(
        prog="tau-retail",
        usage="tau-retail [--help] [--version] COMMAND [OPTIONS]",
        description=tau_retail_env.__doc__,
        epilog=f"commands (COMMAND --help explains one):\n{listed}\n\nold names, which still work:\n{old}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tau-retail {tau_retail_env.__version__}")
    parser.add_argument("command", metavar="COMMAND", type=_command, help=argparse.SUPPRESS)
    return parser


def _command(name: str) -> str:
    if name not in COMMANDS and name not in OLD_NAMES:
        raise argparse.ArgumentTypeError(str(unknown("command", name, [*COMMANDS])))
    return name


def _renamed(name: str, rest: list[str]) -> tuple[str, list[str]]:
    """The command that a name means, and its words; for an old name the new one is printed."""
    if name not in OLD_NAMES:
        return name, rest
    command, *words = OLD_NAMES[name]
    complain(f"tau-retail {name} is now: tau-retail {' '.join(OLD_NAMES[name])}")
    return command, ["--help"] if HELP_OPTIONS & set(rest) else [*words, *rest]


def _split(name: str, words: list[str]) -> tuple[list[str], list[str]]:
    """What is ours and what is the engine's: of serve-user everything behind -- is."""
    if name != "serve-user" or "--" not in words:
        return words, []
    place = words.index("--")
    return words[:place], words[place + 1 :]
