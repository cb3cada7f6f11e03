"""What start_agentic_pipeline.py does: compose, choose the engine, check, print or train."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from tau_retail_env.config import check_local, compose, to_yaml
from tau_retail_env.config.roll import check_roll, is_for_roll
from tau_retail_env.errors import InvalidValueError, MissingDependencyError, TauRetailError, unknown
from tau_retail_env.runs.resume import CONFIG, read_config, run_to_resume, with_customers_reached_anew

DEFAULT = "tau_retail_local"
ENGINES = ("local", "roll", "auto")
FAILED = 1
REFUSED = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes the process's own.

    Returns:
        The exit status: 0, 2 for what was refused, 130 after Ctrl-C.
    """
    options = _parser().parse_intermixed_args(arguments)
    try:
        values = composed(options, default=DEFAULT)
        if chosen_engine(values, is_printed=options.print_config) == "roll":
            _roll(values, is_printed=options.print_config)
        else:
            _local(values, is_printed=options.print_config)
    except TauRetailError as error:
        sys.stderr.write(f"error: {error}\n")
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def composed(options: argparse.Namespace, *, default: str) -> dict[str, Any]:
    """The configuration that a command line means: the one that is named, or that of the run which it resumes.

    Args:
        options: with `config_name`, `config_path` and `overrides`.
        default: the configuration's name where none is given.

    Returns:
        The configuration as composed.

    Raises:
        InvalidValueError: it cannot be composed.
    """
    is_named = options.config_name is not None or options.config_path is not None
    run = None if is_named else run_to_resume(options.overrides)
    if run is None:
        return compose(options.config_name or default, folder=options.config_path, overrides=options.overrides)
    stored = read_config(run)
    return with_customers_reached_anew(stored, compose(CONFIG, folder=run, overrides=options.overrides))


def leave(run: Callable[[], int]) -> NoReturn:
    """Run, and end the process with the status of the run: by itself, or if it must be, without its threads.

    ROLL validates in a thread of a pool. After Ctrl-C or an error that thread waits for a Ray that has gone, and Python
    would wait for the thread, for ever.

    Args:
        run: what returns the status.
    """
    try:
        status: Any = run()
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
        status = FAILED
    waiting = [one for one in threading.enumerate() if one is not threading.current_thread() and not one.daemon]
    if waiting and isinstance(status, int) and status != 0:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def chosen_engine(values: Mapping[str, Any], *, is_printed: bool = False) -> str:
    """The engine that a configuration names; `auto` is ROLL where it and a GPU are here and the configuration fits it.

    Args:
        values: the configuration as composed.
        is_printed: whether nothing will be started, so that the machine does not matter.

    Returns:
        "local" or "roll".

    Raises:
        InvalidValueError: an unknown engine, or `auto` with a configuration for ROLL on a machine that cannot run it.
    """
    engine = str(values.get("engine", "auto"))
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if engine != "auto":
        return engine
    if not is_for_roll(values):
        return "local"
    if not is_printed and (reason := _why_no_roll()):
        raise InvalidValueError(
            f"engine: auto finds no ROLL to run here ({reason}), and this configuration is for ROLL; "
            "use --config-name tau_retail_local for the local engine"
        )
    return "roll"


def _why_no_roll() -> str | None:
    from tau_retail_env.roll.preflight import roll_folder, visible_gpus

    try:
        roll_folder()
    except MissingDependencyError as error:
        return str(error)
    return None if visible_gpus() else "no CUDA device is visible"


def _local(values: Mapping[str, Any], *, is_printed: bool) -> None:
    config = check_local(values)
    if is_printed:
        sys.stdout.write(to_yaml(values))
        return
    from tau_retail_env.local.train import train

    train(config, values)


def _roll(values: Mapping[str, Any], *, is_printed: bool) -> None:
    config = check_roll(values)
    if is_printed:
        sys.stdout.write(to_yaml(values))
        return
    from tau_retail_env.roll.train import train

    train(config, values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="start_agentic_pipeline.py", description="Compose a configuration, check it, and train."
    )
    parser.add_argument("--config-name", "--config_name", metavar="NAME", help=f"default {DEFAULT}")
    parser.add_argument("--config-path", "--config_path", metavar="DIR", help="another folder of configurations")
    parser.add_argument("--print-config", action="store_true", help="compose, check, print and stop")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides of the configuration")
    return parser


if __name__ == "__main__":
    leave(main)
