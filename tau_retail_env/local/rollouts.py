"""Where episodes are played: the environments of every tag, and the model in front of them."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.config.environments import CustomEnv, EnvironmentConfig
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.encoders import make_encoder
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import BatchPlayer, Standing
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError, UserSetupError
from tau_retail_env.local.config.managers import EnvManager
from tau_retail_env.local.config.workers import GeneratingArgs, ModelArgs
from tau_retail_env.local.models import playing
from tau_retail_env.models.checks import listed
from tau_retail_env.models.sampler import Sampler, SamplingSettings
from tau_retail_env.runs.bar import Bar
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks import Task

TOLD_FROM = 0.1
"""Share of the episodes that must be over before they tell how long the others are."""
TRIES = 3
"""How often a validation plays an episode whose customer failed, and training a step in which every customer did."""


@dataclass(frozen=True, kw_only=True)
class PlaySettings:
    """One kind of playing: for training, or for validation."""

    manager: EnvManager
    """The tags, and how many environments side by side."""
    generating: GeneratingArgs
    """How tokens are sampled."""


class Rollouts:
    """Plays planned episodes with a model as it is at that moment.

    Args:
        envs: environments by tag.
        plays: what is played, by the name of the kind.
        model: the actor, on its device.
        tokenizer: its tokenizer.
        model_args: the precision in which it plays.
        sequence_length: tokens of an episode at most.

    Raises:
        InvalidValueError: unknown tasks, or a prompt that leaves no room for a message.
    """

    def __init__(
        self,
        envs: Mapping[str, CustomEnv],
        plays: Mapping[str, PlaySettings],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        model_args: ModelArgs,
        sequence_length: int,
    ) -> None:
        self._model = model
        self._model_args = model_args
        self._turns_each: dict[str, float] = {}
        tags = {tag: envs[tag] for play in plays.values() for tag in play.manager.tags}
        encoders = {
            tag: make_encoder(
                tokenizer,
                env.env_config.source,
                env.env_config.prompt_style,
                task_version=env.env_config.task_version,
                eos_token_ids=listed(model.generation_config.eos_token_id),
            )
            for tag, env in tags.items()
        }
        for play in plays.values():
            for tag in play.manager.tags:
                _check_room(tag, encoders[tag], play.generating.max_new_tokens, sequence_length)
        self.tasks = {tag: _tasks(env.env_config) for tag, env in tags.items()}
        self._players = {
            (kind, tag): self._make_player(tags[tag], self.tasks[tag], play, encoders[tag], sequence_length)
            for kind, play in plays.items()
            for tag in play.manager.tags
        }

    def play(
        self,
        kind: str,
        episodes: Sequence[EpisodeRequest],
        *,
        step: int,
        label: str,
        record: list[Trajectory] | None = None,
    ) -> list[Trajectory]:
        """Play episodes.

        Args:
            kind: a key of `plays`.
            episodes: what to play.
            step: the model's training step, for the record.
            label: what the progress bar, or line, begins with.
            record: gets every episode that was begun, also where an error stops the playing.

        Returns:
            One trajectory for each episode, in the same order.

        Raises:
            UserSetupError: no customer is available until something is fixed.
        """
        played: dict[int, Trajectory] = {}
        with playing(self._model, self._model_args), _Turns(len(episodes), label, self._turns_each.get(kind)) as bar:
            for tag in dict.fromkeys(episode.tag for episode in episodes):
                places = [place for place, episode in enumerate(episodes) if episode.tag == tag]
                requests = [episodes[place] for place in places]
                player = self._players[kind, tag]
                trajectories = player.play(
                    requests, progress=bar.counting(bar.standing), policy_version=step, record=record
                )
                played |= dict(zip(places, trajectories, strict=True))
        if bar.turns_each is not None:
            self._turns_each[kind] = bar.turns_each
        return [played[place] for place in range(len(episodes))]

    def play_some(
        self, kind: str, episodes: Sequence[EpisodeRequest], *, step: int, label: str, record: list[Trajectory]
    ) -> list[Trajectory]:
        """Play episodes; where not one of them can be scored, play them all again, `TRIES` times in all.

        Raises:
            UserSetupError: no customer is available until something is fixed, or each failed every time.
        """
        for _ in range(TRIES):
            trajectories = self.play(kind, episodes, step=step, label=label, record=record)
            if any(trajectory.scorable for trajectory in trajectories):
                return trajectories
        raise _nothing_scorable(trajectories)

    def play_scorable(
        self, kind: str, episodes: Sequence[EpisodeRequest], *, step: int, label: str, record: list[Trajectory]
    ) -> list[Trajectory]:
        """Play episodes, those whose customer failed again; what fails `TRIES` times stays unscorable.

        Raises:
            UserSetupError: no customer is available until something is fixed, or each failed every time.
        """
        trajectories = self.play(kind, episodes, step=step, label=label, record=record)
        for _ in range(TRIES - 1):
            failed = [place for place, trajectory in enumerate(trajectories) if not trajectory.scorable]
            if not failed:
                break
            missing = [episodes[place] for place in failed]
            again = self.play(kind, missing, step=step, label=f"{label}, again", record=record)
            for place, trajectory in zip(failed, again, strict=True):
                trajectories[place] = trajectory
        if not any(trajectory.scorable for trajectory in trajectories):
            raise _nothing_scorable(trajectories)
        return trajectories

    def _make_player(
        self, env: CustomEnv, tasks: Sequence[Task], play: PlaySettings, encoder: ChatEncoder, sequence_length: int
    ) -> BatchPlayer:
        generating = play.generating
        max_new_tokens = min(generating.max_new_tokens, env.max_tokens_per_step or generating.max_new_tokens)
        settings = SamplingSettings(max_new_tokens, generating.temperature, generating.top_p, generating.top_k)
        return BatchPlayer(
            lambda: TauRetailEnv(**vars(env.env_config), tasks=tasks),
            Sampler(self._model, settings, encoder.stop_ids),
            encoder,
            sequence_length=sequence_length,
            max_own_tokens=env.max_tokens_per_episode,
            batch_size=play.manager.num_envs(),
        )


class _Turns:
    """A bar of the agent's turns, which come all the time where episodes end together; it vanishes at the end.

    How many turns there will be is estimated from the episodes that are over, at first from those played last time.

    Args:
        asked: episodes in all.
        label: what it says.
        turns_each: turns of an episode in the playing before, None for the first.
    """

    def __init__(self, asked: int, label: str, turns_each: float | None) -> None:
        self._asked = asked
        total = None if turns_each is None else round(asked * turns_each)
        self._bar = Bar(total=total, desc=label, unit="turn", leave=False)
        self.turns_each = turns_each

    def __enter__(self) -> _Turns:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def counting(self, before: Standing) -> Callable[[Standing], None]:
        """Takes how far the episodes are that are played after those before."""

        def show(now: Standing) -> None:
            self.standing = added(before, now)
            if self.standing.finished >= self._asked * TOLD_FROM:
                self.turns_each = self.standing.finished_turns / self.standing.finished
                self._bar.total = max(round(self._asked * self.turns_each), self.standing.turns)
            self._bar.set_postfix_str(
                f"{self.standing.finished}/{self._asked} episodes, {self.standing.tokens:,} tokens", refresh=False
            )
            self._bar.update(self.standing.turns - self._bar.n)

        return show

    standing = Standing(0, 0, 0, 0, 0)


def added(one: Standing, other: Standing) -> Standing:
    """How far two playings have come together."""
    return Standing(*(sum(pair) for pair in zip(astuple(one), astuple(other), strict=True)))


def _nothing_scorable(trajectories: Sequence[Trajectory]) -> UserSetupError:
    reasons = collections.Counter(trajectory.customer_error for trajectory in trajectories)
    (reason, _), *_ = reasons.most_common(1)
    return UserSetupError(
        f"The customer failed in every one of {len(trajectories)} episodes, {TRIES} times; most often: {reason}"
    )


def _tasks(config: EnvironmentConfig) -> list[Task]:
    chosen = (config.source, config.split, config.task_subset, config.task_version)
    return load_tasks(*chosen, exclude_tasks=config.exclude_tasks, task_file=config.task_file)


def _check_room(tag: str, encoder: ChatEncoder, max_new_tokens: int, sequence_length: int) -> None:
    if len(encoder.prefix) + max_new_tokens >= sequence_length:
        raise InvalidValueError(
            f"sequence_length: {sequence_length} leaves no room for a conversation after the {len(encoder.prefix)} "
            f"tokens of the system prompt of {tag!r} and a message of {max_new_tokens}; raise it, or choose "
            "prompt_style: compressed (about a quarter of full's tokens) or minimal"
        )
