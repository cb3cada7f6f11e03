"""The command line: tau-retail tasks, subsets, play, oracle, user-check, serve-user, chat-template, doctor, sft."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import tau_retail_env
from tau_retail_env.errors import BudgetError, InvalidValueError, MissingDependencyError, TauRetailError

if TYPE_CHECKING:
    from tau_retail_env.customer_choice import CustomerChoice
    from tau_retail_env.episodes.trajectory import Trajectory
    from tau_retail_env.evaluation.user_check import Played
    from tau_retail_env.serving import Address, Engine
    from tau_retail_env.tasks import Task

EXIT_FAILED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
STOPPED = "stopped"
"""The stop reason of an episode that was under way when all ended."""
VLLM_KEY = "VLLM_API_KEY"
"""The environment variable whose key vLLM asks for where it is set."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name; None for those of this process.

    Returns:
        The exit status: 0, or 1 where the command ran and found a failure, 2 for an error that is the caller's to
        mend, 130 after Ctrl-C (of user-check also after SIGTERM), 141 where the reader of the output went away.
    """
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    own, more = _split(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(own, argparse.Namespace(more=more))
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        status = command(options)
        sys.stdout.flush()
        return status
    except TauRetailError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tau_retail_env"):
            raise
        print(f"error: {error}; `tau-retail doctor` says what is missing and what brings it", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # What is still buffered would fail once more when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


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

    tasks = commands.add_parser("tasks", help="list tasks, or show one whole with what its gold actions change")
    _add_selection(tasks)
    tasks.add_argument("--text", metavar="WORDS", help="only tasks in which all these words occur")
    tasks.add_argument("--limit", type=_positive, metavar="N", help="list at most N")
    tasks.add_argument("--json", action="store_true", help="one JSON object a line, whole tasks")
    tasks.add_argument(
        "task_id",
        nargs="?",
        metavar="TASK_ID",
        help="show this task, e.g. tau2/12, tau_bench/test/3, generated/train/7",
    )
    tasks.set_defaults(command=_tasks)

    subsets = commands.add_parser("subsets", help="count the tasks of every subset, by source and split")
    subsets.add_argument("--source", help="tau2, tau_bench or generated (default: all that are installed)")
    subsets.set_defaults(command=_subsets)

    play = commands.add_parser("play", help="be the agent or the customer in the terminal, or watch the oracle agent")
    _add_selection(play)
    play.add_argument(
        "--as",
        dest="role",
        choices=("agent", "customer", "nobody"),
        default="agent",
        help="whom you play: the agent (default), the customer of the oracle agent, or nobody",
    )
    play.add_argument("--task", metavar="ID", help="play this task, e.g. tau2/12")
    play.add_argument(
        "--seed",
        type=_natural,
        default=0,
        metavar="N",
        help="the customer's wording; without --task also the task (default 0)",
    )
    play.add_argument("--prompt-style", metavar="STYLE", help="what /policy shows (default full)")
    play.add_argument(
        "--recorded", type=Path, metavar="FILE", help="play nothing: show the conversations of --task ID in this file"
    )
    _add_customer(play)
    play.set_defaults(command=_play)

    oracle = commands.add_parser("oracle", help="play the gold actions and count rewards of 1.0; exit 1 if any fails")
    _add_selection(oracle)
    oracle.add_argument("--limit", type=_positive, metavar="N", help="play at most N tasks")
    oracle.add_argument("--seed", type=_natural, default=0, metavar="N", help="the customer's wording (default 0)")
    _add_customer(oracle)
    oracle.set_defaults(command=_oracle)

    check = commands.add_parser("user-check", help="how often a perfect agent fails because of its customer")
    _add_selection(check)
    _add_customer(check)
    check.add_argument("--episodes", type=_positive, default=40, metavar="N", help="episodes to play (default 40)")
    check.add_argument("--seed", type=_natural, default=0, metavar="N", help="the customer's wording (default 0)")
    check.add_argument("--workers", type=_positive, default=8, metavar="N", help="episodes at once (default 8)")
    check.add_argument("--out", type=Path, metavar="FILE", help="write the conversations there, one JSON object a line")
    check.set_defaults(command=_user_check)

    serve = commands.add_parser(
        "serve-user",
        help="start a local server for a customer's model, with vLLM or SGLang",
        usage="tau-retail serve-user [OPTIONS] MODEL [-- ENGINE ARGUMENTS]",
    )
    serve.add_argument("model", metavar="MODEL", help="a name on the Hugging Face hub, or a folder")
    serve.add_argument("--engine", default="auto", metavar="NAME", help="vllm, sglang or auto (default)")
    serve.add_argument(
        "--python",
        type=Path,
        metavar="PATH",
        help="the interpreter, or the environment's folder, that has the engine (default this one, then .venv-roll)",
    )
    serve.add_argument("--host", default="127.0.0.1", metavar="HOST", help="where to listen (default 127.0.0.1)")
    serve.add_argument("--port", type=_natural, default=0, metavar="N", help="default 0: one that is free")
    serve.add_argument(
        "--timeout", type=_positive, default=1800, metavar="SECONDS", help="to get ready within (default 1800)"
    )
    serve.add_argument("--log", type=Path, metavar="FILE", help="default outputs/serve_user_PORT.log")
    serve.set_defaults(command=_serve_user)

    template = commands.add_parser(
        "chat-template", help="give a model whose chat template shows no tools, or that has none, one that does"
    )
    template.add_argument("folder", type=Path, metavar="FOLDER", help="the model's folder")
    template.set_defaults(command=_chat_template)

    doctor = commands.add_parser(
        "doctor", help="what is here, what is missing, and what mends it; exit 1 if a run cannot work"
    )
    doctor.add_argument("--json", action="store_true", help="one JSON object, for programs")
    doctor.set_defaults(command=_doctor)

    sft = commands.add_parser("sft", help="supervised fine-tuning on conversations of the oracle")
    sft.add_argument("--config-name", metavar="NAME", help="default tau_retail_sft")
    sft.add_argument("--config-path", metavar="DIR", help="another folder of configurations")
    sft.add_argument("overrides", nargs="*", metavar="key=value", help="overrides of the configuration")
    sft.set_defaults(command=_sft)
    return parser


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", default="tau2", help="tau2 (default), tau_bench or generated")
    parser.add_argument("--split", help="a split of the source (default test)")
    parser.add_argument("--subset", metavar="EXPR", help="e.g. returns, lookup+transfer, single*address (default all)")


def _add_customer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--user-strategy",
        default="scripted",
        metavar="NAME",
        help="scripted (default), llm, react, verify, reflection, human; or weights: '{scripted: 0.7, llm: 0.3}'",
    )
    parser.add_argument("--user-model", metavar="NAME", help="the model behind an API customer")
    parser.add_argument(
        "--user",
        nargs="+",
        action="extend",
        default=[],
        metavar="key=value",
        help="settings of the customer as in a run's block user, e.g. base_url=http://127.0.0.1:8000/v1",
    )


def _customer(options: argparse.Namespace) -> CustomerChoice:
    """The customer that a command names; what it spends is counted from here on."""
    from tau_retail_env.customer_choice import CustomerChoice
    from tau_retail_env.users.llm.budget import begin_run

    begin_run()
    return CustomerChoice.read(options.user_strategy, options.user_model, options.user)


def _selected(options: argparse.Namespace) -> list[Task]:
    from tau_retail_env.sources import load_tasks

    split = "test" if options.split is None else options.split
    return load_tasks(options.source, split, "all" if options.subset is None else options.subset)


def _only_task(task_id: str, options: argparse.Namespace, *without: str) -> Task:
    """The one task that an id names; options that would choose among several have nothing to choose from."""
    from tau_retail_env.catalogue import task_by_id

    given = [f"--{name}" for name in without if getattr(options, name) is not None]
    if given:
        raise InvalidValueError(f"{task_id!r} is one task: leave out {', '.join(given)}, or the id")
    return task_by_id(task_id, options.source)


def _natural(text: str) -> int:
    return _whole(text, at_least=0)


def _positive(text: str) -> int:
    return _whole(text, at_least=1)


def _whole(text: str, at_least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = at_least - 1
    if number < at_least:
        raise argparse.ArgumentTypeError(f"must be a whole number from {at_least} on, found {text[:40]!r}")
    return number


def _tasks(options: argparse.Namespace) -> int:
    from tau_retail_env.catalogue import counts, description, summary, with_words

    if options.task_id is not None:
        task = _only_task(options.task_id, options, "split", "subset", "text", "limit")
        print(json.dumps(dataclasses.asdict(task), ensure_ascii=False) if options.json else description(task))
        return 0
    tasks = _selected(options)
    found = with_words(tasks, options.text)[: options.limit] if options.text else tasks[: options.limit]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 160
    for task in found:
        print(json.dumps(dataclasses.asdict(task), ensure_ascii=False) if options.json else summary(task, width))
    if not options.json:
        print(counts(found, len(tasks)))
    return 0


def _subsets(options: argparse.Namespace) -> int:
    from tau_retail_env.catalogue import as_markdown, subset_counts
    from tau_retail_env.sources.load import SOURCES

    table: dict[tuple[str, str], dict[str, int]] = {}
    for source in SOURCES if options.source is None else [options.source]:
        try:
            table |= subset_counts([source])
        except MissingDependencyError as error:
            if options.source is not None:
                raise
            print(f"without source {source!r}: {error}", file=sys.stderr)
    print(as_markdown(table))
    return 0


def _play(options: argparse.Namespace) -> int:
    from tau_retail_env.terminal import play, play_customer, watch

    if options.recorded is not None:
        return _show_recorded(options)
    tasks = [_only_task(options.task, options, "split", "subset")] if options.task is not None else _selected(options)
    if options.prompt_style is not None and options.role != "agent":
        raise InvalidValueError(f"--prompt-style is for you as the agent: leave it out with --as {options.role}")
    customer = _customer(options)
    if options.role == "customer":
        if customer.options:
            raise InvalidValueError(
                "--as customer makes you the customer: leave out --user-strategy and what goes with it"
            )
        play_customer(tasks, seed=options.seed)
        return 0
    if "human" in customer.strategies:
        raise InvalidValueError("--user-strategy human: to be the customer in the terminal, say --as customer instead")
    env = customer.environment(tasks, prompt_style=options.prompt_style or "full")
    customer.check_server()
    if options.role == "agent":
        play(env, seed=options.seed)
    else:
        watch(env, seed=options.seed)
    return 0


def _show_recorded(options: argparse.Namespace) -> int:
    from tau_retail_env.terminal import show_recorded

    if options.task is None:
        raise InvalidValueError("--recorded shows the conversations of one task: name it by --task ID")
    if not show_recorded(options.recorded, _only_task(options.task, options, "split", "subset").id, options.seed):
        raise InvalidValueError(f"{options.recorded} holds no episode of {options.task} with seed {options.seed}")
    return 0


def _oracle(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from tau_retail_env.catalogue import success_by_subset
    from tau_retail_env.evaluation.user_check import play, spread

    customer = _customer(options)
    tasks = _selected(options)[: options.limit]
    customer.environment(tasks)
    customer.check_server()
    with tqdm(total=len(tasks), unit="episode", disable=None) as bar:
        played = play(
            spread(tasks, len(tasks), options.seed), tasks, lambda: customer.environment(tasks), progress=bar.update
        )
    over = [one for one in played.trajectories if one.stop_reason != STOPPED]
    for one in over:
        _print_failure(one)
    scored = {one.task_id: one.reward == 1.0 for one in over if one.scorable}
    if scored:
        print(success_by_subset([task for task in tasks if task.id in scored], scored))
    if lost := sum(not one.scorable for one in over):
        print(f"{lost} not scored, because the customer failed")
    if played.ended_by is not None:
        raise played.ended_by
    failed = [task_id for task_id, success in scored.items() if not success]
    if failed:
        again = f"tau-retail play --as nobody --task {failed[0]} --seed {options.seed}{customer.as_typed()}"
        print(f"To see the first: {again}", file=sys.stderr)
    return EXIT_FAILED if failed or not scored else 0


def _print_failure(one: Trajectory) -> None:
    if not one.scorable:
        print(f"{one.task_id}: not scored, {one.stop_reason}: {one.customer_error}")
    elif one.reward < 1.0:
        print(f"{one.task_id}: reward {one.reward:g}, {one.stop_reason}, {json.dumps(one.reward_breakdown)}")


def _user_check(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from tau_retail_env.evaluation.user_check import as_text, play, spread

    customer = _customer(options)
    tasks = _selected(options)
    customer.environment(tasks[:1])
    _check_writable(options.out)
    customer.check_server()
    requests = spread(tasks, options.episodes, options.seed)
    workers = 1 if "human" in customer.strategies else options.workers
    with tqdm(total=len(requests), unit="episode", disable=None) as bar, _terminable():
        played = play(requests, tasks, lambda: customer.environment(tasks), workers=workers, progress=bar.update)
    if options.out is not None:
        from tau_retail_env.runs.trajectories import write_trajectories

        write_trajectories(options.out, played.trajectories)
    print(as_text(played, tasks))
    if seen := _how_to_see(played, customer, options.out):
        print(seen)
    if played.ended_by is not None and not isinstance(played.ended_by, BudgetError):
        raise played.ended_by
    return 0 if any(one.scorable for one in played.trajectories) else EXIT_FAILED


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does, so that what was paid for is written down."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_writable(path: Path | None) -> None:
    """Refuse a file that could not be written when all is played."""
    if path is None:
        return
    if path.exists():
        raise InvalidValueError(f"--out: {path} is there already; name another file, or remove it")
    if not os.access(path.absolute().parent, os.W_OK):
        raise InvalidValueError(f"--out: no folder {path.absolute().parent} in which this user may write")


def _how_to_see(played: Played, customer: CustomerChoice, out: Path | None) -> str | None:
    """The command that shows the first episode to look at; None where there is none."""
    over = (one for one in played.trajectories if one.stop_reason != STOPPED)
    first = next((one for one in over if one.reward < 1.0 or not one.scorable), None)
    if first is None:
        return None
    which = f"--task {first.task_id} --seed {first.seed}"
    if out is not None:
        return f"To see the first: tau-retail play --recorded {shlex.quote(str(out))} {which}"
    if customer.is_repeatable:
        return f"To see the first: tau-retail play --as nobody {which}{customer.as_typed()}"
    return "To see them: run this again with --out FILE, which keeps the conversations"


def _serve_user(options: argparse.Namespace) -> int:
    from tau_retail_env.serving import Address, command_line, find_engine, serve

    engine = find_engine(options.engine, options.python)
    address = Address.free(options.host, options.port)
    command = command_line(engine, options.model, address.host, address.port, options.more)
    log = options.log or Path("outputs") / f"serve_user_{address.port}.log"
    print(f"starting {engine.name} {engine.version} on {address.url}; log: {log}", flush=True)
    if not address.is_loopback:
        print(
            f"warning: --host {address.host} lets everybody who reaches this machine use the model, without a password "
            "unless the engine asks for one",
            file=sys.stderr,
        )
    return serve(
        command,
        address,
        log=log,
        timeout_s=options.timeout,
        ready=lambda models: print(_ready_lines(models, options.model, engine, address), flush=True),
    )


def _ready_lines(models: Sequence[str], model: str, engine: Engine, address: Address) -> str:
    """What to put in a run, now that the server is ready; vLLM asks for a key where its variable holds one."""
    name = model if model in models or not models else models[0]
    settings = [f"user.base_url={address.url}/v1"]
    if engine.name == "vllm" and os.environ.get(VLLM_KEY):
        settings.append(f"user.api_key_env={VLLM_KEY}")
    block = " ".join(setting.removeprefix("user.") for setting in settings)
    return (
        f"ready: user_strategy=llm user_model={shlex.quote(name)} {' '.join(settings)}\n"
        f"check: tau-retail user-check --user-strategy llm --user-model {shlex.quote(name)} --user {block}\n"
        "Ctrl-C stops it."
    )


def _chat_template(options: argparse.Namespace) -> int:
    from tau_retail_env.doctor.chat_template import FILE_NAME, give_template
    from tau_retail_env.local.models import load_tokenizer

    folder: Path = options.folder
    if not folder.is_dir():
        raise InvalidValueError(
            f"{str(folder)!r} is no folder; a model of the Hugging Face hub comes into one by: "
            f"hf download {folder} --local-dir FOLDER"
        )
    if give_template(folder, load_tokenizer(str(folder))):
        print(f"{folder / FILE_NAME}: written; pretrain={folder} shows its model the tools now")
    else:
        print(f"{folder}: its chat template shows tools; nothing was changed")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from tau_retail_env.doctor import as_json, as_text, can_run, examine, survey

    findings = examine(survey())
    print(as_json(findings) if options.json else as_text(findings))
    return 0 if can_run(findings) else EXIT_FAILED


def _sft(options: argparse.Namespace) -> int:
    from tau_retail_env.config import check_sft
    from tau_retail_env.start import composed

    values = composed(options, default="tau_retail_sft")
    config = check_sft(values)
    from tau_retail_env.local.sft import run

    run(config, values)
    return 0


if __name__ == "__main__":
    sys.exit(main())
