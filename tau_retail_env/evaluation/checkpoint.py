"""Playing with a checkpoint's model in this process, in batches, through transformers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.encoders import make_encoder
from tau_retail_env.episodes.player import BatchPlayer
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.crew import STOPPING_S, TICK_S, Job, Played, StoppedError
from tau_retail_env.evaluation.playing import played, request
from tau_retail_env.tasks import Task

if TYPE_CHECKING:
    from tau_retail_env.chat.encoder import ChatEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """How a checkpoint's tokens are drawn."""

    temperature: float = 0.0
    """What the logits are divided by; 0 takes the likeliest token always."""
    top_p: float = 1.0
    """Draw from the likeliest tokens whose probabilities add up to this."""
    top_k: int = 0
    """Draw from this many likeliest tokens; 0 for all."""
    max_new_tokens: int = 256
    """Most tokens of one message."""
    sequence_length: int | None = None
    """Most tokens of an episode, prompt included; None for as many as the model reads, `LONGEST` at most."""


LONGEST = 16_384
"""Tokens of an episode where nothing else is said and the model reads more."""


class CheckpointCrew:
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
        encoder, sampler, sequence_length = _loaded(folder, tasks[0].source, prompt_style, generation)
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
        """Play every job once, in a thread, so that who takes the episodes can be interrupted."""
        ends: queue.SimpleQueue[Played | BaseException] = queue.SimpleQueue()
        stopped = threading.Event()

        def finished(place: int, trajectory: Trajectory) -> None:
            ends.put(played(jobs[place], trajectory, self._tasks[trajectory.task_id]))

        def look_up(*_: int) -> None:
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


def _loaded(folder: str, source: str, prompt_style: str, generation: Generation) -> tuple[ChatEncoder, Any, int]:
    """Encoder, sampler and most tokens of an episode.

    Raises:
        InvalidValueError: see `CheckpointCrew`.
    """
    from tau_retail_env.models.checks import check_pretrained, model_config
    from tau_retail_env.models.loading import check_vocabulary, device, load_tokenizer, load_weights
    from tau_retail_env.models.sampler import Sampler, SamplingSettings

    longest = getattr(model_config(folder).get_text_config(), "max_position_embeddings", None) or LONGEST
    sequence_length = generation.sequence_length or min(longest, LONGEST)
    check_pretrained(folder, prompt_styles=(prompt_style,), sequence_length=sequence_length)
    tokenizer = load_tokenizer(folder)
    encoder = make_encoder(tokenizer, source, prompt_style)
    if len(encoder.prefix) + generation.max_new_tokens >= sequence_length:
        raise InvalidValueError(
            f"--agent: {folder} reads {sequence_length} tokens, and the system prompt of prompt_style {prompt_style} "
            f"alone takes {len(encoder.prefix)}; use --prompt-style compressed, or a model that reads more"
        )
    settings = SamplingSettings(generation.max_new_tokens, generation.temperature, generation.top_p, generation.top_k)
    model = load_weights(folder)
    check_vocabulary(model, tokenizer, folder)
    return encoder, Sampler(model.to(device()), settings, encoder.stop_ids), sequence_length
