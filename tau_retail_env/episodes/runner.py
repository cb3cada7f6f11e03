"""One episode under way: its environment, and the record that every player steps it through."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.episode import Episode
from tau_retail_env.episodes.token_episode import TokenEpisode
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import TauRetailError
from tau_retail_env.messages import AgentMessage
from tau_retail_env.users import UserError

if TYPE_CHECKING:
    from tau_retail_env.models.sampler import Reply

Played = TypeVar("Played", bound=Episode)


class EpisodeRunner(Generic[Played]):
    """An environment and the episode that is played in it.

    Args:
        env: an environment that has the episode's task.
        episode: what is played.
    """

    def __init__(self, env: TauRetailEnv, episode: Played) -> None:
        self.episode = episode
        self.observation = ""
        self.info: Mapping[str, Any] = {}
        self._env = env
        self._environment_s = 0.0

    def reset(self) -> None:
        """Begin; a customer who cannot open the conversation ends the episode, unscored."""
        request = self.episode.request
        try:
            self.observation, info = self._timed(self._env.reset, request.task_id, request.seed)
        except UserError as error:
            self.episode.fail_to_open(error, str(getattr(self._env, "user_strategy", "")))
            return
        self.info = info
        self.episode.open(info)

    def step(self, action: AgentMessage | str) -> None:
        """Play the agent's message."""
        self.observation, reward, terminated, truncated, info = self._timed(self._env.step, action)
        self.info = info
        self.episode.hear(reward, terminated, truncated, info)

    def trajectory(self) -> Trajectory:
        """The record of the finished episode."""
        return self.episode.trajectory(self._timings())

    def _timings(self) -> dict[str, float]:
        return {"environment_s": self._environment_s}

    def _timed(self, call: Callable[..., Any], *arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return call(*arguments)
        except TauRetailError:
            raise
        except Exception as error:
            request = self.episode.request
            task = f"task {request.task_id} (seed {request.seed}, turn {self.episode.turns})"
            raise RuntimeError(f"The environment failed at {task}: {type(error).__name__}: {error}") from error
        finally:
            self._environment_s += time.perf_counter() - start


class ModelRunner(EpisodeRunner[TokenEpisode]):
    """An environment and the episode that a model plays in it; where no token is left the environment is closed.

    Args:
        env: an environment that has the episode's task.
        episode: what is played.
    """

    def __init__(self, env: TauRetailEnv, episode: TokenEpisode) -> None:
        super().__init__(env, episode)
        env.tool_format = episode.encoder.tool_format
        self._generation_s = 0.0

    @property
    def tokens(self) -> int:
        """Tokens of the episode so far."""
        return len(self.episode.token_ids) + len(self.episode.pending)

    def listen(self) -> list[int]:
        """Tokens between the model's last turn and its next."""
        ids = self.episode.listen()
        self._close_if_over()
        return ids

    def speak(self, reply: Reply, seconds: float) -> str:
        """Take the model's turn, which took so long, and return its text."""
        self._generation_s += seconds
        text = self.episode.speak(reply.token_ids, reply.logprobs, stopped=reply.stopped)
        self._close_if_over()
        return text

    def _close_if_over(self) -> None:
        if self.episode.over:
            self._env.close()

    def _timings(self) -> dict[str, float]:
        return super()._timings() | {"generation_s": self._generation_s}
