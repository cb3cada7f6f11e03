"""`tau-retail eval`: play an agent on tasks, several trials each, and report its success with intervals."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tau_retail_env.cli.exits import FAILED
from tau_retail_env.cli.options import (
    DEFAULT_SOURCE,
    KEY_VARIABLE,
    add_seed,
    add_selection,
    add_user,
    chosen_user,
    examples,
    natural,
    not_negative,
    positive,
    probability,
    selected,
    share,
)
from tau_retail_env.cli.output import complain, say
from tau_retail_env.errors import InvalidValueError

if TYPE_CHECKING:
    from tau_retail_env.agents.choice import AgentChoice
    from tau_retail_env.cli.user_options import UserChoice
    from tau_retail_env.env import TauRetailEnv
    from tau_retail_env.evaluation.runner import Playing
    from tau_retail_env.evaluation.settings import EvalSettings
    from tau_retail_env.tasks import Task

HELP = "play an agent on tasks, several times: pass^k with intervals"
CONCURRENCY = 8
"""Episodes at once where the agent or the customer waits for a server, or a model plays in batches."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--agent",
        default="oracle",
        metavar="WHO",
        help="oracle (default), silent, eager, parrot, quitter, liar, random; small or a checkpoint's folder; the "
        "address of an OpenAI-compatible server, with --model; or module:function, which makes an agent",
    )
    parser.add_argument("--model", metavar="NAME", help="the model behind a server's address")
    parser.add_argument("--api-key-env", metavar="NAME", help="that holds a server's key (default OPENAI_API_KEY)")
    parser.add_argument(
        "--usd-per-million-tokens",
        nargs=2,
        type=not_negative,
        metavar=("INPUT", "OUTPUT"),
        help="prices of the agent's tokens, where its server reports no cost",
    )
    add_selection(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help="the first N tasks only")
    parser.add_argument("--trials", type=positive, default=1, metavar="K", help="how often each task is played (1)")
    add_seed(parser, "the customer's wording in the first trial; each further one adds 1")
    add_user(parser)
    _add_judge(parser)
    _add_playing(parser)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default outputs/eval/NAME, from the options")
    parser.add_argument(
        "--power", action="store_true", help="play nothing: how many trials show a difference of 3, 5, 10 points"
    )
    examples(
        parser,
        "tau-retail eval --agent silent --trials 4",
        "tau-retail eval --agent small --source generated --subset 'single*address'",
        "tau-retail eval --agent http://127.0.0.1:8000/v1 --model NAME",
        "tau-retail eval --agent my_module:make_agent",
    )


def _add_judge(parser: argparse.ArgumentParser) -> None:
    """The options that say who judges the sentences of τ² 1.0's tasks."""
    parser.add_argument("--nl-judge", default="rules", metavar="NAME", help="of τ² 1.0's sentences: rules, or openai")
    parser.add_argument("--nl-judge-model", metavar="NAME", help="whom openai asks (default: upstream's choice)")
    parser.add_argument(
        "--nl-judge-config", nargs="+", default=(), metavar="KEY=VALUE", help="how it is reached, as --user"
    )


def _add_playing(parser: argparse.ArgumentParser) -> None:
    """The options that say how a model speaks, and what runs it."""
    parser.add_argument("--prompt-style", metavar="STYLE", help="full, compressed or minimal (default: the model's)")
    parser.add_argument("--max-turns", type=positive, metavar="N", help="agent messages (default: upstream's limits)")
    parser.add_argument(
        "--temperature", type=not_negative, metavar="T", help="default 0 for a checkpoint, else the server's"
    )
    parser.add_argument("--top-p", type=probability, metavar="P")
    parser.add_argument("--top-k", type=natural, metavar="K", help="for a checkpoint")
    parser.add_argument(
        "--max-new-tokens", type=positive, metavar="N", help="of one message (default: a checkpoint's, 768 at least)"
    )
    parser.add_argument("--sequence-length", type=positive, metavar="N", help="of an episode of a checkpoint")
    parser.add_argument(
        "--engine",
        choices=("auto", "transformers", "vllm"),
        default="auto",
        help="what runs a checkpoint: vllm where it and a GPU are (auto), or transformers in this process",
    )
    parser.add_argument(
        "--engines", type=positive, metavar="N", help="vLLM engines side by side (default: by cores, GPU and model)"
    )
    parser.add_argument(
        "--gpu-memory",
        type=share,
        metavar="SHARE",
        help="of each GPU's memory, for all engines on it together (default 0.9)",
    )
    parser.add_argument("--logprobs", action="store_true", help="keep log-probabilities, with vLLM (else always)")
    parser.add_argument(
        "--concurrency", type=positive, metavar="N", help="episodes at once (default 8, the cores, or 128 an engine)"
    )


def run(options: argparse.Namespace) -> int:
    """Play what is missing, write results.json, and print the figures."""
    from tau_retail_env.agents.choice import AgentChoice, made_here
    from tau_retail_env.models.shipped import SMALL, small_checkpoint

    tasks = selected(options)[: options.limit]
    if options.power:
        return _power(len(tasks))
    agent = AgentChoice.read(options.agent, {SMALL: small_checkpoint()})
    if agent.kind == "function":
        made_here(agent)  # problems with it are reported before a folder is made
    chosen = chosen_user(options)
    settings = _settings(options, agent, chosen, tasks)
    chosen.environment(tasks, **_how(options, settings))
    chosen.at_once("--concurrency", options.concurrency, CONCURRENCY)
    if settings.source == DEFAULT_SOURCE and options.task_version is None:
        complain("The tasks are those of 0.2, the default; the leaderboard's of today: --task-version 1.0")
    folder = options.output or Path("outputs") / "eval" / settings.folder_name
    return _evaluate(options, agent, chosen, tasks, settings, folder)


def _evaluate(
    options: argparse.Namespace,
    agent: AgentChoice,
    chosen: UserChoice,
    tasks: list[Task],
    settings: EvalSettings,
    folder: Path,
) -> int:
    from tau_retail_env.evaluation.outcome import figures
    from tau_retail_env.evaluation.progress import shown
    from tau_retail_env.evaluation.report import as_text
    from tau_retail_env.evaluation.runner import open_folder, play, write_results
    from tau_retail_env.runs.folder_lock import FolderLock

    place = folder.absolute()  # for an agent of one's own may go to another directory
    with FolderLock(place):
        standing = open_folder(place, settings, tasks)
        complain(f"{folder}: {len(standing.episodes)} of {standing.asked} episodes are there")
        if standing.missing():
            chosen.check_server()
            _check_judge(options, tasks)
            with _pool(options, agent, chosen, tasks, settings, place) as pool, shown(standing) as progress:
                play(standing, place, pool, progress)
        results = figures(settings, standing.episodes, standing.spent, tasks)
        write_results(place, results)
    say(as_text(results))
    if standing.played_now:
        complain(_pace(standing.played_now, standing.seconds))
    complain(f"written: {folder}")
    if standing.ended_by is not None:
        raise standing.ended_by
    return 0 if results["episodes"]["scored"] else FAILED


def _pace(episodes: int, seconds: float) -> str:
    """How many episodes were played, and how fast."""
    from tau_retail_env.evaluation.report import counted

    if episodes >= seconds:
        return f"{counted(episodes, 'episode')} now, {episodes / max(seconds, 1e-3):,.1f} a second"
    return f"{counted(episodes, 'episode')} now, {seconds / episodes:,.1f} seconds each"


def _settings(options: argparse.Namespace, agent: AgentChoice, chosen: UserChoice, tasks: list[Task]) -> EvalSettings:
    from tau_retail_env.evaluation import settings as module

    given = {name: getattr(options, name) for name in ("temperature", "top_p", "top_k", "max_new_tokens")}
    given["sequence_length"] = options.sequence_length
    sampling = {name: value for name, value in given.items() if value is not None}
    _refuse_unread(options, agent, sampling)
    if agent.kind == "checkpoint":
        sampling = _defaults(agent.word) | sampling
    who = module.user_of(chosen.strategy, chosen.model, chosen.settings)
    return module.EvalSettings(
        agent=agent.word,
        model=options.model,
        model_digest=module.digest_of_checkpoint(Path(agent.word)) if agent.kind == "checkpoint" else None,
        source=tasks[0].source,
        task_version=module.task_version(tasks),
        split=tasks[0].split,
        subset=options.subset or "all",
        tasks=module.task_digests(tasks),
        trials=options.trials,
        seed=options.seed,
        customer=who,
        customer_digest=module.digest_of_user(who),
        prompt_style=options.prompt_style or _prompt_style(agent),
        max_turns=options.max_turns,
        sampling=sampling,
        judge=_judge(options),
    )


def _defaults(folder: str) -> dict[str, Any]:
    """How a checkpoint's tokens are drawn where nothing is said; eval.json names no tokens of a message where it has
    named none before.
    """
    from tau_retail_env.evaluation.generation import MESSAGE_TOKENS, message_tokens

    tokens = message_tokens(folder)
    return {"temperature": 0.0} | ({} if tokens == MESSAGE_TOKENS else {"max_new_tokens": tokens})


def _refuse_unread(options: argparse.Namespace, agent: AgentChoice, sampling: dict[str, Any]) -> None:
    """Refuse options that are for another kind of agent."""
    from tau_retail_env.agents.choice import check_model

    if sampling and agent.kind not in ("checkpoint", "server"):
        raise InvalidValueError(f"--{next(iter(sampling)).replace('_', '-')}: {agent.word} has no model to sample from")
    for_checkpoints = (options.engines, options.gpu_memory, options.logprobs or None)
    if agent.kind != "checkpoint" and (options.engine != "auto" or any(one is not None for one in for_checkpoints)):
        raise InvalidValueError(
            f"--engine, --engines, --gpu-memory, --logprobs: {agent.word} is no checkpoint; leave them out"
        )
    if agent.kind != "server" and options.usd_per_million_tokens is not None:
        raise InvalidValueError(f"--usd-per-million-tokens: {agent.word} is no server that is paid; leave it out")
    if agent.kind != "server" and options.api_key_env is not None:
        raise InvalidValueError(f"--api-key-env: {agent.word} is no server that asks for a key; leave it out")
    if agent.kind == "name" and options.prompt_style is not None:
        raise InvalidValueError(f"--prompt-style: {agent.word} reads no prompt; leave it out")
    if agent.kind == "checkpoint" and not options.temperature and (cut := _cut(options)):
        raise InvalidValueError(
            f"{cut}: at temperature 0 the likeliest token is taken always; add --temperature 1, or leave {cut} out"
        )
    check_model(agent, options.model)


def _cut(options: argparse.Namespace) -> str:
    """The options that leave out tokens of the vocabulary, in words; empty where none does."""
    asked = (("--top-p", options.top_p, 1), ("--top-k", options.top_k, 0))
    return " and ".join(name for name, value, every in asked if value not in (None, every))


def _how(options: argparse.Namespace, settings: EvalSettings) -> dict[str, Any]:
    """The arguments of an environment that are neither its tasks nor its customer."""
    from tau_retail_env.cli.user_options import settings_of

    return {
        "prompt_style": settings.prompt_style,
        "max_turns": settings.max_turns,
        "nl_judge": options.nl_judge,
        "nl_judge_model": options.nl_judge_model,
        "nl_judge_config": settings_of("--nl-judge-config", options.nl_judge_config),
    }


def _check_judge(options: argparse.Namespace, tasks: list[Task]) -> None:
    """Make sure that a model that judges sentences can be asked."""
    if options.nl_judge == "rules":
        return
    from tau_retail_env.cli.user_options import settings_of
    from tau_retail_env.sources.registry import source_of
    from tau_retail_env.users.llm.assertion_judge import ModelJudge

    config = settings_of("--nl-judge-config", options.nl_judge_config)
    ModelJudge(source_of(tasks[0]), options.nl_judge_model, config).check()


def _judge(options: argparse.Namespace) -> dict[str, Any]:
    """What `EvalSettings.judge` holds."""
    from tau_retail_env.cli.user_options import settings_of
    from tau_retail_env.evaluation.settings import user_of

    config = settings_of("--nl-judge-config", options.nl_judge_config)
    return {} if options.nl_judge == "rules" else user_of(options.nl_judge, options.nl_judge_model, config)


def _prompt_style(agent: AgentChoice) -> str:
    """What a checkpoint says that it was trained on; else upstream's prompt."""
    if agent.kind != "checkpoint":
        return "full"
    from tau_retail_env.models.checks import model_config, prompt_style_of

    return prompt_style_of(model_config(agent.word)) or "full"


@contextlib.contextmanager
def _pool(
    options: argparse.Namespace,
    agent: AgentChoice,
    chosen: UserChoice,
    tasks: list[Task],
    settings: EvalSettings,
    folder: Path,
) -> Iterator[Playing]:
    """Who plays: a checkpoint in batches, a server's model in threads, what computes in processes."""
    make_env = functools.partial(chosen.environment, tasks, **_how(options, settings))
    if agent.kind == "checkpoint":
        with _checkpoint(options, agent, chosen, tasks, settings, folder, make_env) as pool:
            yield pool
    elif agent.kind == "server":
        with _server(options, agent.word, options.model, settings) as make_agent:
            yield _threads(options, chosen, make_env, make_agent, tasks, settings)
    else:
        from tau_retail_env.agents.choice import made_here

        make_agent = made_here(agent)
        is_computing = agent.kind == "name" and chosen.strategies == ("scripted",)
        make_pool = _processes if is_computing else _threads
        yield make_pool(options, chosen, make_env, make_agent, tasks, settings)


@contextlib.contextmanager
def _checkpoint(
    options: argparse.Namespace,
    agent: AgentChoice,
    chosen: UserChoice,
    tasks: list[Task],
    settings: EvalSettings,
    folder: Path,
    make_env: Callable[[], TauRetailEnv],
) -> Iterator[Playing]:
    """A checkpoint's model: through vLLM in processes of its own, or through transformers in this one."""
    from tau_retail_env.evaluation.checkpoint import CheckpointPool, engine_pool, runs_on_vllm, unread
    from tau_retail_env.evaluation.generation import Generation

    generation = Generation(**settings.sampling)
    how: dict[str, Any] = {"seed": settings.seed, "prompt_style": settings.prompt_style, "generation": generation}
    on_vllm = runs_on_vllm(options.engine, complain)
    if why := unread(on_vllm=on_vllm, engines=options.engines, gpu_memory=options.gpu_memory):
        raise InvalidValueError(f"{why}; leave it out")
    if not on_vllm:
        at_once = chosen.at_once("--concurrency", options.concurrency, CONCURRENCY)
        yield CheckpointPool(agent.word, make_env, tasks, batch_size=at_once, **how)
        return
    if options.logprobs and options.temperature not in (None, 0, 1) and (cut := _cut(options)):
        raise InvalidValueError(
            f"--logprobs: at temperature {options.temperature:g} vLLM tells none with {cut}; leave one of these out"
        )
    if "human" in chosen.strategies:
        raise InvalidValueError(
            "--user-strategy human: vLLM plays in a process of its own, without the terminal; add --engine transformers"
        )
    engines = engine_pool(
        agent.word,
        make_env,
        tasks,
        is_offline=chosen.strategies == ("scripted",),
        episodes=len(tasks) * settings.trials,
        engines=options.engines,
        at_once=options.concurrency,
        gpu_memory=options.gpu_memory,
        logprobs=options.logprobs,
        log_folder=folder,
        tell=complain,
        **how,
    )
    yield engines
    complain(engines.summary())


def _threads(
    options: argparse.Namespace,
    chosen: UserChoice,
    make_env: Callable[[], TauRetailEnv],
    make_agent: Any,
    tasks: list[Task],
    settings: EvalSettings,
) -> Playing:
    from tau_retail_env.evaluation.playing import AgentPlayer
    from tau_retail_env.evaluation.worker_pool import WorkerPool

    count = min(chosen.at_once("--concurrency", options.concurrency, CONCURRENCY), len(tasks) * settings.trials)
    return WorkerPool([AgentPlayer(make_env, make_agent, tasks, settings.seed) for _ in range(count)])


def _processes(
    options: argparse.Namespace,
    chosen: UserChoice,
    make_env: Callable[[], TauRetailEnv],
    make_agent: Any,
    tasks: list[Task],
    settings: EvalSettings,
) -> Playing:
    from tau_retail_env.evaluation.playing import AgentPlayer
    from tau_retail_env.evaluation.worker_pool import ChildPlayer, WorkerPool

    make_env()  # what it loads is then there in every child
    at_once = chosen.at_once("--concurrency", options.concurrency, len(os.sched_getaffinity(0)))
    count = min(at_once, len(tasks) * settings.trials)
    return WorkerPool(
        [ChildPlayer(lambda: AgentPlayer(make_env, make_agent, tasks, settings.seed)) for _ in range(count)]
    )


@contextlib.contextmanager
def _server(options: argparse.Namespace, url: str, model: str, settings: EvalSettings) -> Iterator[Any]:
    """Makes agents that ask a server."""
    from tau_retail_env.agents.server import AgentServer, ServerAgent, ServerSettings
    from tau_retail_env.sources.prompts import show_tools

    prices = options.usd_per_million_tokens or (None, None)
    sampling = dict(settings.sampling)
    if unused := sorted(sampling.keys() - {"temperature", "top_p", "max_new_tokens"}):
        raise InvalidValueError(f"--{unused[0].replace('_', '-')}: not sent to a server; leave it out")
    server = AgentServer(
        ServerSettings(
            base_url=url,
            model=model,
            api_key_env=options.api_key_env or KEY_VARIABLE,
            usd_per_million_input_tokens=prices[0],
            usd_per_million_output_tokens=prices[1],
            **sampling,
        )
    )
    with contextlib.closing(server):
        server.check()
        sends_tools = show_tools(settings.prompt_style)
        yield lambda task, seed: ServerAgent(server, seed, sends_tools=sends_tools)


def _power(tasks: int) -> int:
    from tau_retail_env.evaluation.power import as_text

    say(as_text(tasks))
    return 0
