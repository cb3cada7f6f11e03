"""`tau-retail play`: a conversation in the terminal, or one that was recorded."""

from __future__ import annotations

import argparse

from tau_retail_env.cli.options import add_customer, add_seed, add_selection, customer, examples, only_task, selected
from tau_retail_env.cli.output import say
from tau_retail_env.errors import InvalidValueError

HELP = "be the agent or the customer in the terminal, or watch the oracle"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_selection(parser)
    parser.add_argument(
        "--as",
        dest="role",
        choices=("agent", "customer", "nobody"),
        default="agent",
        help="whom you play: the agent (default), the customer of the oracle agent, or nobody",
    )
    parser.add_argument("--task", metavar="ID", help="play this task, e.g. tau2/12")
    add_seed(parser, "the customer's wording; without --task also the task")
    parser.add_argument("--prompt-style", metavar="STYLE", help="what /policy shows (default full)")
    parser.add_argument(
        "--recorded",
        metavar="WHAT",
        help="play nothing: list the episodes of an evaluation, a run or a file of either; with --task show one",
    )
    add_customer(parser)
    examples(
        parser,
        "tau-retail play --task tau2/12",
        "tau-retail play --as customer --source generated",
        "tau-retail play --as nobody --task tau2/12 --seed 3",
        "tau-retail play --recorded outputs/eval/A",
        "tau-retail play --recorded outputs/RUN@20 --task generated/test/7 --seed 3",
    )


def run(options: argparse.Namespace) -> int:
    """Play or show one conversation."""
    from tau_retail_env.cli.conversation import play, play_customer, watch

    if options.recorded is not None:
        return _show_recorded(options)
    tasks = [only_task(options.task, options, "split", "subset")] if options.task is not None else selected(options)
    if options.prompt_style is not None and options.role != "agent":
        raise InvalidValueError(f"--prompt-style is for you as the agent: leave it out with --as {options.role}")
    chosen = customer(options)
    if options.role == "customer":
        if chosen.options:
            raise InvalidValueError(
                "--as customer makes you the customer: leave out --user-strategy and what goes with it"
            )
        play_customer(tasks, seed=options.seed)
        return 0
    if "human" in chosen.strategies:
        raise InvalidValueError("--user-strategy human: to be the customer in the terminal, say --as customer instead")
    env = chosen.environment(tasks, prompt_style=options.prompt_style or "full")
    chosen.check_server()
    if options.role == "agent":
        play(env, seed=options.seed)
    else:
        watch(env, seed=options.seed)
    return 0


def _show_recorded(options: argparse.Namespace) -> int:
    from tau_retail_env.cli.conversation import list_recorded, show_recorded

    if options.task is None:
        for line in list_recorded(options.recorded):
            say(line)
        return 0
    if not show_recorded(options.recorded, only_task(options.task, options, "split", "subset").id, options.seed):
        raise InvalidValueError(
            f"{options.recorded} holds no episode of {options.task} with seed {options.seed}; leave out --task to see "
            "the tasks and seeds that it holds"
        )
    return 0
