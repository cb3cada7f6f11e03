"""`tau-retail train`: compose a configuration, check it, and start the training that it describes."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from tau_retail_env.cli.exits import INTERRUPTED
from tau_retail_env.cli.options import add_configuration, composed, examples
from tau_retail_env.cli.output import complain
from tau_retail_env.errors import InvalidValueError, MissingDependencyError, unknown

HELP = "train what a configuration says: GRPO, PPO, tuning, or a chain"
ENGINES = ("local", "roll", "auto")
SFT_BLOCK = "sft_train"
"""The block that only a configuration of supervised fine-tuning has."""
PLAY_BLOCK = "play"
"""The block that only a configuration has which plays and trains nothing."""
CHAIN_BLOCK = "stages"
"""The block that only a chain has."""
REINFORCEMENT_BLOCK = "actor_train"
"""The block that only a configuration of GRPO or PPO has."""
BLOCKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        CHAIN_BLOCK: ("a chain", "tau_retail_local_pipeline"),
        PLAY_BLOCK: ("playing", "tau_retail_eval"),
        SFT_BLOCK: ("fine-tuning", "tau_retail_sft"),
        REINFORCEMENT_BLOCK: ("GRPO or PPO", "tau_retail_local"),
    }
)
"""What each of these blocks makes a configuration for, and a shipped one of that kind."""

Values = Mapping[str, Any]
"""A composed configuration."""
Start = Callable[[], None]
"""Starts what was checked; returns when it is over."""
Purpose = Literal["print", "stage", "start"]
"""Why a configuration is checked: to be shown only, for a chain that starts it later, or to be started now."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_configuration(parser, "tau_retail_local")
    parser.add_argument("--plan", action="store_true", help="say what a run with ROLL will cost, and stop")
    examples(
        parser,
        "tau-retail train max_steps=5",
        "tau-retail train resume=outputs/RUN max_steps=40",
        "tau-retail train --config-name tau_retail_sft conversations.num=2000",
        "tau-retail train --config-name tau_retail_1gpu --print-config",
        "tau-retail train --config-name tau_retail_config num_gpus_per_node=4 --plan",
    )


def run(options: argparse.Namespace) -> int:
    """Train, or print the configuration that would be trained with, or what it would cost."""
    from tau_retail_env.config import to_yaml

    values = composed(options)
    is_printed = options.print_config or options.plan
    training = chosen_training(values, is_printed=is_printed)
    start = TRAININGS[training](values, "print" if is_printed else "start")
    if options.plan:
        return _plan(training, values)
    if options.print_config:
        sys.stdout.write(to_yaml(values))
        return 0
    try:
        start()
    except KeyboardInterrupt:
        return INTERRUPTED  # the run has said how to go on
    return 0


def _plan(training: str, values: Values) -> int:
    from tau_retail_env.roll.config.plan import plan

    if training != "roll":
        raise InvalidValueError(
            f"--plan: found a configuration for {training}, expected one for ROLL (--config-name tau_retail_config): "
            "costs were fitted to recorded runs of ROLL alone"
        )
    sys.stdout.write("".join(f"{line}\n" for line in plan(values)))
    return 0


def chosen_training(values: Values, *, is_printed: bool = False) -> str:
    """Which training a configuration is for.

    Args:
        values: the configuration as composed.
        is_printed: whether nothing will be started, so that the machine does not matter.

    Returns:
        "chain", "play", "sft", "local" (GRPO on the local engine) or "roll".

    Raises:
        InvalidValueError: blocks of two kinds of runs, an unknown engine, or `auto` with a configuration for ROLL on a
            machine that cannot run it.
    """
    if len(found := [block for block in BLOCKS if block in values]) > 1:
        kinds = "; ".join(f"{one} for {BLOCKS[one][0]} (as in --config-name {BLOCKS[one][1]})" for one in found)
        raise InvalidValueError(
            f"{' and '.join(found)}: found in one configuration, expected one of them: {kinds}; leave the others out"
            + ("; a stage's keys are stages.NAME.set.KEY" if CHAIN_BLOCK in found else "")
        )
    for block, training in ((CHAIN_BLOCK, "chain"), (PLAY_BLOCK, "play"), (SFT_BLOCK, "sft")):
        if block in values:
            return training
    return chosen_engine(values, is_printed=is_printed)


def chosen_engine(values: Values, *, is_printed: bool = False) -> str:
    """The engine that a configuration names; `auto` is ROLL where it and a GPU are here and the configuration fits it.

    Args:
        values: the configuration as composed.
        is_printed: whether nothing will be started, so that the machine does not matter.

    Returns:
        "local" or "roll".

    Raises:
        InvalidValueError: an unknown engine, or `auto` with a configuration for ROLL on a machine that cannot run it.
    """
    from tau_retail_env.roll.config.check import is_for_roll

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


def _sft(values: Values, purpose: Purpose) -> Start:
    from tau_retail_env.local.config import check_sft, machine_problems

    problems = functools.partial(machine_problems, starts=purpose == "start", is_printed=purpose == "print")
    config = check_sft(values, problems)

    def start() -> None:
        from tau_retail_env.local import sft

        sft.run(config, values)

    return start


def _local(values: Values, purpose: Purpose) -> Start:
    from tau_retail_env.local.config import check_local, machine_problems
    from tau_retail_env.roll.config.check import is_for_roll

    if is_for_roll(values):
        raise InvalidValueError(
            "engine: found local, but this configuration is for ROLL (actor_infer has a rollout engine); leave out "
            "engine=local, or take one for the local engine: --config-name tau_retail_local"
        )
    problems = functools.partial(machine_problems, starts=purpose == "start", is_printed=purpose == "print")
    config = check_local(values, problems)

    def start() -> None:
        from tau_retail_env.local.train import train

        train(config, values)

    return start


def _roll(values: Values, _: Purpose) -> Start:
    from tau_retail_env.blocks import raise_if
    from tau_retail_env.config.machine import folder_problems, length_problems
    from tau_retail_env.models.shipped import checkpoint
    from tau_retail_env.roll.config.check import check_roll

    config = check_roll(values)
    raise_if([*folder_problems(config), *length_problems(checkpoint(config.pretrain), config.sequence_length)])
    if config.unproven:
        complain(
            f"note: no run with {' or '.join(config.unproven)} is recorded on a GPU (docs/roll.md, What is known of "
            "each combination); ./run_tau_retail_pipeline.sh takes it only where TAU_RETAIL_UNPROVEN=1 stands before "
            "the command"
        )

    def start() -> None:
        from tau_retail_env.roll.preflight import preflight
        from tau_retail_env.roll.train import train

        if config.warm_start == "none":
            train(config, values)
            return
        from tau_retail_env.chain.warm_start import warm_started

        preflight(config)  # what would be missed only after hours
        warm = warm_started(values, _checked, min_success=config.least_success)
        train(check_roll(warm), warm)

    return start


def _play(values: Values, _: Purpose) -> Start:
    from tau_retail_env.blocks import raise_if
    from tau_retail_env.chain.play_settings import check_play
    from tau_retail_env.config.machine import length_problems
    from tau_retail_env.models.shipped import checkpoint

    if any(values.get(key) for key in ("resume", "resume_from_checkpoint")):
        raise InvalidValueError(
            "resume: what plays and trains nothing goes on by the same command, with the folder that it has begun: "
            "output_dir=FOLDER in place of resume"
        )
    config = check_play(values)
    raise_if([*length_problems(checkpoint(config.pretrain), config.sequence_length)])

    def start() -> None:
        from tau_retail_env.chain import play

        play.run(config)

    return start


def _chain(values: Values, purpose: Purpose) -> Start:
    from tau_retail_env.chain.plan import plan
    from tau_retail_env.chain.settings import read_chain

    config = read_chain(values)
    planned = plan(config, functools.partial(_checked, purpose="print" if purpose == "print" else "stage"))

    def start() -> None:
        from tau_retail_env.chain import run

        run.run(config, planned, values)

    return start


def _checked(values: Values, *, purpose: Purpose = "stage") -> str:
    """Check the configuration of a chain's stage; returns what it is for."""
    training = chosen_training(values, is_printed=True)
    if training != "chain":
        TRAININGS[training](values, purpose)
    return training


TRAININGS: Mapping[str, Callable[[Values, Purpose], Start]] = MappingProxyType(
    {"chain": _chain, "play": _play, "sft": _sft, "local": _local, "roll": _roll}
)
"""What checks a configuration, and whatever this Python lacks where it is to start it, and returns what starts it."""
