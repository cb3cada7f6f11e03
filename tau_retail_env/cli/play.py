"""`tau-retail play`: a conversation in the terminal, or one that was recorded."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tau_retail_env.cli.options import (
    add_seed,
    add_selection,
    add_user,
    chosen_user,
    examples,
    only_task,
    positive,
    refuse_unread,
    selected,
)
from tau_retail_env.cli.output import say
from tau_retail_env.errors import InvalidValueError

if TYPE_CHECKING:
    from tau_retail_env.cli.user_options import UserChoice
    from tau_retail_env.tasks import Task

READ_WITH = {
    "with --recorded": ("outcome", "open"),
    "without --recorded": (
        "as",
        "agent",
        "model",
        "api_key_env",
        "prompt_style",
        "user_strategy",
        "user_model",
        "user",
    ),
}
"""The options that are read, by whether a conversation is played; those that both read stand in neither."""
HELP = "be the agent or the customer in the terminal, or watch an agent"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_selection(parser)
    parser.add_argument(
        "--as",
        choices=("agent", "customer", "nobody"),
        help="whom you play: the agent (default), the customer (default with --agent), or nobody",
    )
    parser.add_argument(
        "--agent",
        metavar="WHO",
        help="who serves you as the customer, or is watched: oracle (default), a model's folder, a server's address "
        "with --model, module:function … as eval takes it",
    )
    parser.add_argument("--model", metavar="NAME", help="the model behind a server's address")
    parser.add_argument("--api-key-env", metavar="NAME", help="that holds a server's key (default OPENAI_API_KEY)")
    parser.add_argument("--task", metavar="ID", help="play this task, e.g. tau2/12")
    add_seed(parser, "the customer's wording; without --task also the task")
    parser.add_argument(
        "--prompt-style", metavar="STYLE", help="what the agent is shown (default full, or the model's own)"
    )
    parser.add_argument(
        "--recorded",
        metavar="WHAT",
        help="play nothing: list the episodes of an evaluation, a run or a file of either; with --task show one",
    )
    parser.add_argument(
        "--outcome",
        choices=("success", "failure", "unscored"),
        help="with --recorded: list only such episodes; --subset and --task-version go with it, too",
    )
    parser.add_argument("--open", type=positive, metavar="N", help="with --recorded: show the Nth episode of the list")
    add_user(parser)
    examples(
        parser,
        "tau-retail play --task tau2/12",
        "tau-retail play --as customer --source generated",
        "tau-retail play --as nobody --task tau2/12 --seed 3",
        "tau-retail play --agent outputs/RUN/checkpoints/best --source generated",
        "tau-retail play --agent http://127.0.0.1:8000/v1 --model NAME",
        "tau-retail play --recorded outputs/eval/A --outcome failure --subset returns",
        "tau-retail play --recorded outputs/eval/A --outcome failure --open 1",
        "tau-retail play --recorded outputs/RUN@20 --task generated/test/7 --seed 3",
    )


def run(options: argparse.Namespace) -> int:
    """Play or show one conversation."""
    doing = "with --recorded" if options.recorded is not None else "without --recorded"
    refuse_unread(options, f"play {doing}", READ_WITH, doing)
    if options.recorded is not None:
        return _show_recorded(options)
    role = vars(options)["as"] or ("agent" if options.agent is None else "customer")
    tasks = [only_task(options.task, options, "split", "subset")] if options.task is not None else selected(options)
    chosen = chosen_user(options)
    if role == "customer" and chosen.options:
        raise InvalidValueError("--as customer makes you the customer: leave out --user-strategy and what goes with it")
    if role != "customer" and "human" in chosen.strategies:
        raise InvalidValueError("--user-strategy human: to be the customer in the terminal, say --as customer instead")
    if role == "agent":
        return _play_agent(options, chosen, tasks)
    _meet_agent(options, chosen, tasks, is_customer=role == "customer")
    return 0


def _play_agent(options: argparse.Namespace, chosen: UserChoice, tasks: list[Task]) -> int:
    from tau_retail_env.cli.conversation import play

    if any(one is not None for one in (options.agent, options.model, options.api_key_env)):
        raise InvalidValueError("--as agent makes you the agent: leave out --agent, --model and --api-key-env")
    env = chosen.environment(tasks, prompt_style=options.prompt_style or "full")
    chosen.check_server()
    play(env, seed=options.seed)
    return 0


def _meet_agent(options: argparse.Namespace, chosen: UserChoice, tasks: list[Task], *, is_customer: bool) -> None:
    from tau_retail_env.agents.choice import AgentChoice
    from tau_retail_env.cli.conversation import opponent, play_user, watch
    from tau_retail_env.models.shipped import SMALL, small_checkpoint

    choice = AgentChoice.read(options.agent or "oracle", {SMALL: small_checkpoint()})
    named = {"model": options.model, "api_key_env": options.api_key_env, "prompt_style": options.prompt_style}
    with opponent(choice, tasks, **named) as agent:
        if is_customer:
            play_user(tasks, agent=agent, seed=options.seed)
            return
        env = chosen.environment(tasks, prompt_style=agent.prompt_style, tool_format=agent.tool_format)
        chosen.check_server()
        watch(env, agent=agent, seed=options.seed)


def _show_recorded(options: argparse.Namespace) -> int:
    from tau_retail_env.cli.conversation import Wanted, list_recorded, show_recorded

    task_id = None if options.task is None else only_task(options.task, options, "split", "subset").id
    wanted = Wanted(
        task_id=task_id,
        seed=None if task_id is None else options.seed,
        outcome=options.outcome,
        subset=options.subset,
    )
    if task_id is None and options.open is None:
        found = False
        for line in list_recorded(options.recorded, wanted):
            say(line)
            found = True
        if not found:
            say(f"{options.recorded} holds no such episode; leave out --outcome and --subset to see what it holds")
        return 0
    if not show_recorded(options.recorded, wanted, number=options.open):
        what = f"of {options.task} with seed {options.seed}" if task_id else f"number {options.open} of that kind"
        raise InvalidValueError(
            f"{options.recorded} holds no episode {what}; leave out --task and --open to see what it holds"
        )
    return 0
