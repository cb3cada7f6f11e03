"""The stage that plays: a model plays tasks, several trials each; some of its episodes are kept to learn from."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tau_retail_env.chain.keeping import Candidate, candidate_of, chosen
from tau_retail_env.chain.kept import FOLDER, AboutKept, write_kept
from tau_retail_env.chain.play_settings import Keep, PlayConfig
from tau_retail_env.config.environments import EnvironmentConfig
from tau_retail_env.config.users import check_servers
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation import settings as eval_settings
from tau_retail_env.evaluation.outcome import figures
from tau_retail_env.evaluation.progress import shown
from tau_retail_env.evaluation.record import EPISODES, Episode, best_episodes
from tau_retail_env.evaluation.runner import Playing, open_folder, play, write_results
from tau_retail_env.evaluation.settings import EvalSettings
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.runs.folder_lock import FolderLock
from tau_retail_env.runs.interruption import say as say_line
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.seeding import order_of
from tau_retail_env.users.llm.budget import begin_run

if TYPE_CHECKING:
    from tau_retail_env.evaluation.engines import EnginePool

AT_ONCE = 8
"""Episodes at once with transformers, where nothing else is said."""
ALREADY_CHOSEN: Mapping[str, Any] = {"exclude_tasks": (), "task_file": None}
"""What chooses tasks, for an environment that is handed them."""
Say = Callable[[str], None]


def run(config: PlayConfig, *, say: Say = say_line) -> None:
    """Play every set into a folder of its own, as `tau-retail eval` does, then keep episodes where that is asked.

    The same call resumes after a kill at any moment.

    Args:
        config: the configuration, checked.
        say: takes each line for the screen.

    Raises:
        TauRetailError: the folder, the weights or a customer does not allow it, or nothing was won that could be kept.
    """
    from tau_retail_env.models.checks import cut_messages

    folder = Path(config.output_dir).expanduser().resolve()
    with FolderLock(folder):
        begin_run()
        played = {tag: _Set(config, tag, folder / tag) for tag in config.play.played()}
        check_servers(config.custom_envs, played)
        limits = {"play.generating_args.max_new_tokens": config.play.generating_args.max_new_tokens}
        for line in cut_messages(checkpoint(config.pretrain), limits):
            say(line)
        with contextlib.closing(_Players(config, list(played.values()), say)) as players:
            for one in played.values():
                results = one.evaluate(players)
                say(f"{one.tag}: {_in_words(results)}; {one.folder}")
        if config.keep is not None:
            say(keep_episodes(config, config.keep, list(played.values()), folder / FOLDER))


class _Set:
    """One environment of the stage: its tasks, its settings as an evaluation, and its folder."""

    def __init__(self, config: PlayConfig, tag: str, folder: Path) -> None:
        self.tag = tag
        self.folder = folder
        self.env: EnvironmentConfig = config.custom_envs[tag].env_config
        self._config = config
        wanted = config.play.played()[tag]
        self.tasks = _drawn(TauRetailEnv(**vars(self.env)).tasks, wanted.limit, config.seed, tag)
        self.settings = _settings(config, self.env, self.tasks, wanted.trials)

    def evaluate(self, players: _Players) -> dict[str, Any]:
        """Play what is missing, and sum up."""
        with FolderLock(self.folder):
            standing = open_folder(self.folder, self.settings, self.tasks)
            if standing.missing():
                with shown(standing, self.tag) as progress:
                    play(standing, self.folder, players.of(self), progress)
            results = figures(self.settings, standing.episodes, standing.spent, self.tasks)
            write_results(self.folder, results)
        if standing.ended_by is not None:
            raise standing.ended_by
        return results

    def episodes(self) -> Iterator[Episode]:
        """Of every task and trial the one that counts."""
        return best_episodes(self.folder / EPISODES)


class _Players:
    """Who plays the sets: vLLM's engines, started for the first set and kept for the others, or transformers."""

    def __init__(self, config: PlayConfig, sets: Sequence[_Set], say: Say) -> None:
        self._config = config
        self._most = max(len(one.tasks) * one.settings.trials for one in sets)
        self._say = say
        self._engines: EnginePool | None = None

    def of(self, one: _Set) -> Playing:
        """Who plays a set."""
        from tau_retail_env.evaluation.checkpoint import CheckpointPool, engine_pool, runs_on_vllm, unread
        from tau_retail_env.evaluation.generation import Generation

        asked = self._config.play
        make_env = functools.partial(TauRetailEnv, **{**vars(one.env), "tasks": one.tasks, **ALREADY_CHOSEN})
        who: tuple[Any, ...] = (one.settings.agent, make_env, one.tasks)
        how: dict[str, Any] = {
            "seed": one.settings.seed,
            "prompt_style": one.env.prompt_style,
            "generation": Generation(**vars(asked.generating_args), sequence_length=self._config.sequence_length),
        }
        on_vllm = runs_on_vllm(asked.engine, self._say)
        if why := unread(on_vllm=on_vllm, engines=asked.engines, gpu_memory=asked.gpu_memory):
            self._say(f"{why}: it changes nothing")
        if not on_vllm:
            return CheckpointPool(*who, batch_size=asked.concurrency or AT_ONCE, **how)
        self._engines = engine_pool(
            *who,
            is_offline=one.env.user_strategy == "scripted",
            episodes=self._most,
            engines=asked.engines,
            at_once=asked.concurrency,
            gpu_memory=asked.gpu_memory,
            log_folder=one.folder,
            tell=self._say,
            stays=True,
            before=self._engines,
            **how,
        )
        return self._engines

    def close(self) -> None:
        """End the engines."""
        if self._engines is not None:
            self._engines.close()


def keep_episodes(config: PlayConfig, keep: Keep, played: Sequence[_Set], folder: Path) -> str:
    """Choose among all that was played, and write what is kept.

    Args:
        config: the stage.
        keep: how to choose.
        played: its sets, whole.
        folder: where the kept episodes go.

    Returns:
        What came of it, in a line.

    Raises:
        InvalidValueError: no task was won: there is nothing to learn from.
        WriteError: the disk does not allow it.
    """
    kept = {one.tag: chosen(_candidates(one.episodes()), keep) for one in played}
    every = [one for of_set in kept.values() for one in of_set]
    won = {one.task_id for one in every if one.reward == 1.0}
    tasks = sum(len(one.tasks) for one in played)
    if not won:
        raise InvalidValueError(_nothing_won(config, keep, played, tasks))
    about = AboutKept(
        tokenizer=_tokenizer_digest(config.pretrain),
        prompt_style=played[0].env.prompt_style,
        task_versions={one.settings.source: one.settings.task_version for one in played},
        model=str(played[0].settings.model_digest),
        tasks=tasks,
        tasks_won=len(won),
        tasks_partly=len({one.task_id for one in every} - won),
        episodes=len(every),
    )
    write_kept(folder, about, _at_places(played, kept))
    return (
        f"kept {about.episodes} episodes: successes of {about.tasks_won} of {tasks} tasks, the best of "
        f"{about.tasks_partly} others; {folder}"
    )


def _candidates(episodes: Iterator[Episode]) -> Iterator[Candidate]:
    for place, episode in enumerate(episodes):
        if (one := candidate_of(place, episode.trajectory)) is not None:
            yield one


def _at_places(played: Sequence[_Set], kept: dict[str, list[Candidate]]) -> Iterator[Episode]:
    for one in played:
        places = {candidate.place for candidate in kept[one.tag]}
        yield from (episode for place, episode in enumerate(one.episodes()) if place in places)


def _nothing_won(config: PlayConfig, keep: Keep, played: Sequence[_Set], tasks: int) -> str:
    trials = max(one.settings.trials for one in played)
    process = " whose process checks held (keep.require_process)" if keep.require_process else ""
    return (
        f"No success{process} in rejection sampling: {config.pretrain} was given {tasks} tasks, up to {trials} times "
        "each, and won none, so there is nothing to learn from. Fine-tune it longer first, or play easier tasks "
        "(task_subset=single), more often (play.sets.TAG.trials), or at a temperature of 1 "
        f"(play.generating_args.temperature, found {config.play.generating_args.temperature:g})"
    )


def _drawn(tasks: Sequence[Task], limit: int | None, seed: int, tag: str) -> list[Task]:
    """All tasks, or as many as are wanted, drawn by seed and in the source's order."""
    if limit is None or limit >= len(tasks):
        return list(tasks)
    return [tasks[place] for place in sorted(order_of(len(tasks), seed, "play", tag)[:limit])]


def _settings(config: PlayConfig, env: EnvironmentConfig, tasks: Sequence[Task], trials: int) -> EvalSettings:
    folder = checkpoint(config.pretrain)
    customer = eval_settings.user_of(env.user_strategy, env.user_model, env.user_config)
    return EvalSettings(
        agent=folder,
        model_digest=eval_settings.digest_of_checkpoint(Path(folder)) if Path(folder).is_dir() else None,
        source=env.source,
        task_version=eval_settings.task_version(tasks),
        split=env.split,
        subset=env.task_subset,
        tasks=eval_settings.task_digests(tasks),
        trials=trials,
        seed=config.seed,
        customer=customer,
        customer_digest=eval_settings.digest_of_user(customer),
        prompt_style=env.prompt_style,
        max_turns=env.max_turns,
        sampling=dict(vars(config.play.generating_args)) | {"sequence_length": config.sequence_length},
    )


def _tokenizer_digest(pretrain: str) -> str:
    from tau_retail_env.models.loading import load_tokenizer, tokenizer_digest

    return tokenizer_digest(load_tokenizer(checkpoint(pretrain)))


def _in_words(results: dict[str, Any]) -> str:
    first = results.get("pass^1")
    scored = f"{results['episodes']['scored']} of {results['episodes']['asked']} episodes scored"
    return f"pass^1 {100 * first['value']:.1f}, {scored}" if first else scored
