"""Where episodes are played: the environments of every tag, and the model in front of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.chat.prompts import show_tools, system_prompt
from tau_retail_env.config.environments import CustomEnv, EnvironmentConfig, EnvManager
from tau_retail_env.config.roles import GeneratingArgs, ModelArgs
from tau_retail_env.episodes.player import BatchPlayer, EpisodeRequest
from tau_retail_env.episodes.sampler import Sampler, SamplingSettings
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks import Task, load_tasks
from tau_retail_env.training.data import make_env
from tau_retail_env.training.models import playing
from tau_retail_env.training.plan import Planned
from tau_retail_env.world import open_shop

TRIES = 3
"""How often a validation plays an episode whose customer failed."""


class Stage:
    """Plays planned episodes with a model as it is at that moment.

    Args:
        envs: environments by tag.
        managers: the tags that are played, and how many environments side by side.
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
        managers: Sequence[EnvManager],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        model_args: ModelArgs,
        sequence_length: int,
    ) -> None:
        tags = [tag for manager in managers for tag in manager.tags]
        self.tasks = {tag: _tasks(envs[tag].env_config) for tag in tags}
        self._envs = envs
        self._model = model
        self._model_args = model_args
        self._sequence_length = sequence_length
        self._batch_size = max(manager.num_envs() for manager in managers)
        self._encoders = {tag: _encoder(envs[tag].env_config, tokenizer) for tag in tags}
        self._players: dict[tuple[str, GeneratingArgs], BatchPlayer] = {}

    def play(
        self, episodes: Sequence[Planned], generating: GeneratingArgs, *, step: int, label: str
    ) -> list[Trajectory]:
        """Play episodes.

        Args:
            episodes: what to play.
            generating: how tokens are sampled.
            step: the model's training step, for the record.
            label: what the progress bar says.

        Returns:
            One trajectory for each episode, in the same order.
        """
        played: dict[int, Trajectory] = {}
        with playing(self._model, self._model_args), _Bar(len(episodes), label) as bar:
            for tag in dict.fromkeys(episode.tag for episode in episodes):
                places = [place for place, episode in enumerate(episodes) if episode.tag == tag]
                requests = [_request(episodes[place]) for place in places]
                player = self._player(tag, generating)
                trajectories = player.play(requests, progress=bar.counting(len(played)), policy_version=step)
                played |= dict(zip(places, trajectories, strict=True))
        return [played[place] for place in range(len(episodes))]

    def play_scorable(
        self, episodes: Sequence[Planned], generating: GeneratingArgs, *, step: int, label: str
    ) -> list[Trajectory]:
        """Play episodes, those whose customer failed again; what fails `TRIES` times stays unscorable."""
        trajectories = self.play(episodes, generating, step=step, label=label)
        for _ in range(TRIES - 1):
            failed = [place for place, trajectory in enumerate(trajectories) if not trajectory.scorable]
            if not failed:
                break
            again = self.play([episodes[place] for place in failed], generating, step=step, label=f"{label}, again")
            for place, trajectory in zip(failed, again, strict=True):
                trajectories[place] = trajectory
        return trajectories

    def _player(self, tag: str, generating: GeneratingArgs) -> BatchPlayer:
        if (tag, generating) not in self._players:
            self._players[tag, generating] = self._make_player(tag, generating)
        return self._players[tag, generating]

    def _make_player(self, tag: str, generating: GeneratingArgs) -> BatchPlayer:
        env, encoder, tasks = self._envs[tag], self._encoders[tag], self.tasks[tag]
        max_new_tokens = min(generating.max_new_tokens, env.max_tokens_per_step or generating.max_new_tokens)
        settings = SamplingSettings(max_new_tokens, generating.temperature, generating.top_p, generating.top_k)
        if len(encoder.prefix) + max_new_tokens >= self._sequence_length:
            raise InvalidValueError(
                f"sequence_length: {self._sequence_length} leaves no room for a conversation after the "
                f"{len(encoder.prefix)} tokens of the system prompt of {tag!r} and a message of {max_new_tokens}; "
                "raise it, or choose prompt_style: minimal"
            )
        return BatchPlayer(
            lambda: make_env(env.env_config, tasks=tasks),
            Sampler(self._model, settings, encoder.stop_ids),
            encoder,
            sequence_length=self._sequence_length,
            batch_size=self._batch_size,
        )


class _Bar:
    """A progress bar of episodes that vanishes when they are over."""

    def __init__(self, total: int, label: str) -> None:
        self._bar = tqdm(total=total, desc=label, unit="episode", leave=False)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def counting(self, before: int) -> Callable[[int, int], None]:
        """Takes the number of finished episodes beyond those before."""

        def show(finished: int, _: int) -> None:
            self._bar.update(before + finished - self._bar.n)

        return show


def _tasks(config: EnvironmentConfig) -> list[Task]:
    return load_tasks(config.source, config.split, config.task_subset)


def _encoder(config: EnvironmentConfig, tokenizer: PreTrainedTokenizerBase) -> ChatEncoder:
    shop = open_shop(config.source)
    tools = shop.tools if show_tools(config.prompt_style) else None
    return ChatEncoder(tokenizer, system_prompt=system_prompt(config.prompt_style, shop.domain_policy), tools=tools)


def _request(episode: Planned) -> EpisodeRequest:
    return EpisodeRequest(
        episode.task_id, episode.wording_seed, episode.group, episode.tag, sampling_seed=episode.sampling_seed
    )
