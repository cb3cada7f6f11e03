"""A model as the agent of one episode, turn by turn; `BatchPlayer` plays many episodes at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.token_episode import TokenEpisode
from tau_retail_env.errors import EpisodeStateError

if TYPE_CHECKING:
    from tau_retail_env.models.sampler import SampledConversations, Sampler


class ModelAgent:
    """Answers with a model's turns; it sees exactly the tokens that it would see in training.

    Args:
        sampler: draws the turns; its stop tokens are to be `encoder.stop_ids`.
        encoder: renders the conversation; its system prompt must be the environment's.
        request: what is played; it seeds the draws.
        sequence_length: most tokens of the episode.
    """

    def __init__(
        self, sampler: Sampler, encoder: ChatEncoder, request: EpisodeRequest, *, sequence_length: int
    ) -> None:
        self._sampler = sampler
        self._encoder = encoder
        self._episode = TokenEpisode(request=request, encoder=encoder, sequence_length=sequence_length)
        self._conversation: SampledConversations | None = None

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        """Let the model speak.

        Args:
            observation: what `reset` or the last `step` returned.
            info: the info returned with it.

        Raises:
            EpisodeStateError: the conversation has outgrown `sequence_length`.
        """
        episode: Any = self._episode
        known = 0
        if self._conversation is None:
            episode.open(info)
            self._conversation = self._sampler.begin(self._encoder.prefix, [episode.request.sampling_key])
            known = len(self._encoder.prefix)
        else:
            episode.hear(0.0, False, False, info)
        ids = episode.listen()[known:]
        if episode.over:
            raise EpisodeStateError(
                f"The conversation has outgrown the {episode.sequence_length} tokens that the model reads"
            )
        reply = self._conversation.reply({0: ids}, {0: episode.room})[0]
        text: str = episode.speak(reply.token_ids, reply.logprobs, stopped=reply.stopped)
        return text
