"""Playing with a checkpoint's model: in this process through transformers, or through vLLM in processes of its own."""

from __future__ import annotations

import math
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.encoders import make_encoder
from tau_retail_env.episodes.player import MAX_CONCURRENT_STEPS, BatchPlayer
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.evaluation.engines import AT_ONCE, EnginePool, Machine, engines_for
from tau_retail_env.evaluation.generation import LONGEST, Generation
from tau_retail_env.evaluation.playing import played, request
from tau_retail_env.evaluation.worker_pool import STOPPING_S, TICK_S, Job, Played, StoppedError
from tau_retail_env.tasks import Task

if TYPE_CHECKING:
    from tau_retail_env.chat.encoder import ChatEncoder
    from tau_retail_env.models.sampler import SamplingSettings
    from tau_retail_env.models.serving import Engine

NO_VLLM = (
    "vLLM is neither in this Python nor in .venv-roll: ./run_tau_retail_pipeline.sh --setup-only --config-name "
    "tau_retail_1gpu makes that"
)


class CheckpointPool:
    """Plays jobs with one model, `batch_size` at once, and hands each episode back as it ends.

    Args:
        folder: the checkpoint.
        make_env: makes an environment.
        tasks: the tasks, of one source.
        seed: of the first trial; each further one adds 1.
        prompt_style: how the domain policy and the tools are shown.
        generation: how tokens are drawn.
        batch_size: episodes at once.

    Raises:
        InvalidValueError: no model or tokenizer, none with a chat template that shows the tools, or one that reads
            less than a conversation.
    """

    def __init__(
        self,
        folder: str,
        make_env: Callable[[], TauRetailEnv],
        tasks: Sequence[Task],
        *,
        seed: int,
        prompt_style: str,
        generation: Generation,
        batch_size: int,
    ) -> None:
        self._tasks = {task.id: task for task in tasks}
        self._seed = seed
        encoder, sampler, sequence_length = load_player(folder, tasks[0], prompt_style, generation)
        self._player = BatchPlayer(make_env, sampler, encoder, sequence_length=sequence_length, batch_size=batch_size)

    def play(self, jobs: Iterable[Job], again: Callable[[Played], bool]) -> Generator[Played | None]:
        """Play jobs.

        Args:
            jobs: what to play.
            again: whether an episode is to be played once more.

        Yields:
            Every episode as it ends, and None now and then while none does.
        """
        waiting = list(jobs)
        while waiting:
            once_more = []
            for one in self._once(waiting):
                if one is not None and again(one):
                    once_more.append(one.job)
                yield one
            waiting = once_more

    def _once(self, jobs: Sequence[Job]) -> Generator[Played | None]:
        """Play every job once, in a thread, so that the caller can be interrupted."""
        ends: queue.SimpleQueue[Played | BaseException] = queue.SimpleQueue()
        stopped = threading.Event()

        def finished(place: int, trajectory: Trajectory) -> None:
            ends.put(played(jobs[place], trajectory, self._tasks[trajectory.task_id]))

        def look_up(_: object) -> None:
            if stopped.is_set():
                raise StoppedError

        def work() -> None:
            requests = [request(job, self._seed) for job in jobs]
            try:
                self._player.play(requests, finished=finished, progress=look_up)
            except BaseException as error:
                ends.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        left = len(jobs)
        try:
            while left:
                try:
                    end = ends.get(timeout=TICK_S)
                except queue.Empty:
                    yield None
                    continue
                if isinstance(end, BaseException):
                    raise end
                left -= 1
                yield end
        finally:
            stopped.set()
            thread.join(STOPPING_S)


def runs_on_vllm(engine: str, tell: Callable[[str], None]) -> bool:
    """Whether vLLM runs a checkpoint.

    Args:
        engine: vllm, transformers, or auto for vLLM where it and a GPU are.
        tell: prints a line for a person, where a GPU is left to transformers.
    """
    if engine != "auto":
        return engine == "vllm"
    from tau_retail_env.models.loading import device

    if device().type == "cpu":
        return False
    try:
        _vllm()
    except MissingDependencyError:
        tell(f"transformers plays, many times slower than vLLM would. {NO_VLLM}")
        return False
    return True


def unread(*, on_vllm: bool, engines: int | None, gpu_memory: float | None) -> str | None:
    """Which of vLLM's options would change nothing here, and why, without a stop; None where all that are given count.

    Args:
        on_vllm: what `runs_on_vllm` says.
        engines: how many side by side, None where it is not said.
        gpu_memory: the share of each GPU's memory, None where it is not said.
    """
    if not on_vllm:
        several = "play.engines: only vLLM runs several side by side" if engines is not None else None
        share = "play.gpu_memory: only vLLM takes a share of a GPU" if gpu_memory is not None else None
        words = "; ".join(filter(None, (several, share)))
        return f"{words}, and transformers plays here" if words else None
    from tau_retail_env.models.loading import visible_gpus

    if gpu_memory is not None and not visible_gpus()[0]:
        return f"play.gpu_memory={gpu_memory:g}: a share of a GPU, and vLLM plays without one here"
    return None


def _vllm() -> Engine:
    """The vLLM that can play.

    Raises:
        MissingDependencyError: there is none; the message says where one is looked for.
    """
    from tau_retail_env.models.serving import find_engine

    try:
        return find_engine("vllm", None)
    except MissingDependencyError:
        raise MissingDependencyError(f"{NO_VLLM}; play.engine=transformers plays without it") from None


def engine_pool(
    folder: str,
    make_env: Callable[[], TauRetailEnv],
    tasks: Sequence[Task],
    *,
    seed: int,
    prompt_style: str,
    generation: Generation,
    is_offline: bool,
    episodes: int,
    engines: int | None = None,
    at_once: int | None = None,
    gpu_memory: float | None = None,
    logprobs: bool = False,
    log_folder: Path,
    tell: Callable[[str], None],
    stays: bool = False,
    before: EnginePool | None = None,
) -> EnginePool:
    """Who plays jobs with a checkpoint through vLLM, from the Python that has it.

    Args:
        folder: the checkpoint.
        make_env: makes an environment; it is pickled.
        tasks: the tasks, of one source.
        seed: of the first trial; each further one adds 1.
        prompt_style: how the domain policy and the tools are shown.
        generation: how tokens are drawn.
        is_offline: whether the customer waits for no server. One that does is played by one engine, in threads, for
            its budget is counted in one process.
        episodes: how many are to be played.
        engines: how many side by side; None to choose by cores, GPUs and size.
        at_once: episodes at a time, all engines together; None for `AT_ONCE` each.
        gpu_memory: the share of each GPU's memory that they take together; None for `GPU_MEMORY`.
        logprobs: whether the log-probability of each token is kept.
        log_folder: where the engines' logs are kept.
        tell: prints a line for a person.
        stays: whether the engines stay after the last episode, until `close`; `episodes` is then that of the tasks of
            which there are most.
        before: who played other tasks: goes on with these where it can, and is closed where it cannot.

    Raises:
        InvalidValueError: see `CheckpointPool`; or several engines with a customer that waits for a server.
        MissingDependencyError: vLLM is not here.
    """
    from tau_retail_env.evaluation.engine_worker import WorkerSettings
    from tau_retail_env.models.loading import visible_gpus
    from tau_retail_env.models.vllm_engine import GPU_MEMORY, EngineSettings, weights_bytes

    _, sequence_length = _encoder(folder, tasks[0], prompt_style, generation)
    machine = Machine(_vllm().python, len(os.sched_getaffinity(0)), *visible_gpus(), gpu_memory or GPU_MEMORY)
    if not is_offline and (engines or 1) > 1:
        raise InvalidValueError(
            f"play.engines={engines}: a customer behind a server is played by one engine, for its budget is counted in "
            "one process; leave it out"
        )
    count = engines or (engines_for(machine, weights_bytes(folder), episodes) if is_offline else 1)
    each = math.ceil(at_once / count) if at_once else AT_ONCE
    settings = WorkerSettings(
        folder=folder,
        make_env=make_env,
        tasks={task.id: task for task in tasks},
        task_version=tasks[0].version,
        seed=seed,
        prompt_style=prompt_style,
        sampling=_sampling(generation),
        engine=EngineSettings(sequence_length=sequence_length, at_once=each, logprobs=logprobs),
        threads=0 if is_offline else min(each, MAX_CONCURRENT_STEPS),
    )
    if before is not None and before.turns_to(settings, log_folder):
        return before
    where: dict[str, Any] = {"log_folder": log_folder, "tell": tell}
    return EnginePool(machine, settings, engines=count, stays=stays, episodes=episodes, **where)


def _sampling(generation: Generation) -> SamplingSettings:
    from tau_retail_env.models.sampler import SamplingSettings

    drawn = (generation.temperature, generation.top_p, generation.top_k)
    return SamplingSettings(generation.max_new_tokens, *drawn)


def _encoder(folder: str, task: Task, prompt_style: str, generation: Generation) -> tuple[ChatEncoder, int]:
    """Encoder, and most tokens of an episode.

    Raises:
        InvalidValueError: see `CheckpointPool`.
    """
    from tau_retail_env.models.checks import check_pretrained, eos_token_ids, model_config
    from tau_retail_env.models.loading import load_tokenizer

    longest = getattr(model_config(folder).get_text_config(), "max_position_embeddings", None) or LONGEST
    sequence_length = generation.sequence_length or min(longest, LONGEST)
    check_pretrained(folder, prompt_styles=(prompt_style,), sequence_length=sequence_length)
    encoder = make_encoder(
        load_tokenizer(folder),
        task.source,
        prompt_style,
        task_version=task.version,
        eos_token_ids=eos_token_ids(folder),
    )
    if len(encoder.prefix) + generation.max_new_tokens >= sequence_length:
        raise InvalidValueError(
            f"--agent: {folder} reads {sequence_length} tokens, and the system prompt of prompt_style {prompt_style} "
            f"alone takes {len(encoder.prefix)} and a message {generation.max_new_tokens}; give a shorter prompt "
            "style, a model that reads more, or with eval fewer --max-new-tokens or a greater --sequence-length"
        )
    return encoder, sequence_length


def load_player(folder: str, task: Task, prompt_style: str, generation: Generation) -> tuple[ChatEncoder, Any, int]:
    """What plays a checkpoint in this process: encoder, sampler, and most tokens of an episode.

    Args:
        folder: the checkpoint.
        task: one of those that are played.
        prompt_style: how the domain policy and the tools are shown.
        generation: how tokens are drawn.

    Raises:
        InvalidValueError: see `CheckpointPool`.
    """
    from tau_retail_env.models.loading import check_vocabulary, device, load_weights, use_free_cores
    from tau_retail_env.models.sampler import Sampler

    encoder, sequence_length = _encoder(folder, task, prompt_style, generation)
    use_free_cores()
    model = load_weights(folder)
    check_vocabulary(model, encoder.tokenizer, folder)
    return encoder, Sampler(model.to(device()), _sampling(generation), encoder.stop_ids), sequence_length
