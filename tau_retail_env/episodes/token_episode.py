"""An episode that a model plays: also exactly the tokens that it saw and produced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tau_retail_env.chat.calls import MalformedMessageError
from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.chat.tool_formats import ToolFormat
from tau_retail_env.episodes.episode import Episode
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import AgentMessage, ResetInfo, StepInfo, StopReason


@dataclass(kw_only=True)
class TokenEpisode(Episode):
    """An episode whose player calls `listen` for the next prompt and `speak` with the model's turn, in place of `say`.

    The tokens are only ever appended to. Those that no turn of the model follows (`pending`) are kept apart: they are
    shown again where a request was aborted, and are left out where the episode ends.

    It ends with stop_reason "length" when `sequence_length` or `max_own_tokens` leaves no room: for another token of
    the model, or for the end of its turn. Its environment is not to be asked again then.
    """

    encoder: ChatEncoder
    """Renders the conversation for the model; its system prompt must be the environment's."""
    sequence_length: int
    """Most tokens of the episode."""
    max_own_tokens: int | None = None
    """Most tokens of it that are the model's own; None for no such limit."""
    token_ids: list[int] = field(default_factory=list)
    """What the model saw before its last turn, and that turn."""
    response_mask: list[int] = field(default_factory=list)
    """1 on the model's own tokens."""
    own_tokens: int = 0
    """How many of them are the model's own."""
    logprobs: list[float] = field(default_factory=list)
    """Of the model's own tokens when they were drawn, 0.0 on the others."""
    with_logprobs: bool = True
    """Whether they are known for every turn."""
    pending: list[int] = field(default_factory=list)
    """What follows the tokens in the next prompt."""
    cut_turns: int = 0
    """Turns that the model did not end itself."""
    _unread: Sequence[Mapping[str, Any]] | None = None
    """Messages that came back and are not tokens yet."""
    _closing: list[int] = field(default_factory=list)

    @property
    def room(self) -> int:
        """How many more tokens the model may say."""
        room = self.sequence_length - len(self.token_ids) - len(self.pending)
        return room if self.max_own_tokens is None else min(room, self.max_own_tokens - self.own_tokens)

    @property
    def prompt_ids(self) -> list[int]:
        """What the model sees before its next turn."""
        return self.token_ids + self.pending

    @property
    def prompt_length(self) -> int:
        """Tokens before the model's first own one."""
        return self.response_mask.index(1) if 1 in self.response_mask else len(self.token_ids)

    def open(self, info: ResetInfo) -> None:
        """Begin with the `info` of `reset`.

        Raises:
            InvalidValueError: the environment shows another system prompt than the encoder's.
        """
        if info["system_prompt"] != self.encoder.system_prompt:
            raise InvalidValueError(
                f"The environment's system prompt ({info['system_prompt'][:60]!r}…) is not the encoder's "
                f"({self.encoder.system_prompt[:60]!r}…); use the same prompt_style and source for both, and no "
                "wrapper that changes it"
            )
        super().open(info)
        self._unread = info["messages"]

    def listen(self) -> list[int]:
        """Tokens since the model's last turn, up to its next; ends the episode if they leave no room for that.

        Asked again before the model has spoken, they are the same.
        """
        if self._unread is not None:
            if self.token_ids:
                self.pending = [*self._closing, *self.encoder.following(self._unread)]
            else:
                self.pending = self.encoder.opening(self._unread)
            self._unread = None
            if self.room < 1:
                self._end_for_length()
        return self.pending

    def speak(self, response_ids: Sequence[int], logprobs: Sequence[float] | None, *, stopped: bool) -> str:
        """Take a turn of the model; ends the episode if it was cut for want of room.

        Args:
            response_ids: the model's own tokens.
            logprobs: one for each, None where they are not known.
            stopped: whether the model ended the turn itself.

        Returns:
            The text, for the environment.
        """
        self._append(self.pending, 0)
        self.pending = []
        self._append(response_ids, 1, logprobs)
        self.with_logprobs = self.with_logprobs and logprobs is not None
        self.cut_turns += not stopped
        self._closing = self.encoder.closing(response_ids)
        text = self.encoder.decode(response_ids)
        self.say(self._recorded(text))
        if not stopped and self.room < 1:
            self._end_for_length()
        return text

    def hear(self, reward: float, terminated: bool, truncated: bool, info: StepInfo) -> None:
        """Take what `step` answered to the model's message."""
        super().hear(reward, terminated, truncated, info)
        if not self.over:
            self._unread = info["messages"]

    def stop(self) -> None:
        """End it where it is under way and cannot go on; what the model was answering is kept."""
        if not self.over:
            self._append(self.pending, 0)
            self.pending = []
        super().stop()

    def metrics(self) -> dict[str, float]:
        """All numbers of the episode, for its record."""
        own = {"response_tokens": float(self.own_tokens), "cut_turns": float(self.cut_turns)}
        return super().metrics() | own

    def _recorded(self, text: str) -> AgentMessage | str:
        """Its own text; calls in another format than hermes, in which records are read, as what they mean."""
        if self.encoder.tool_format is ToolFormat.HERMES:
            return text
        try:
            message = self.encoder.read(text)
        except MalformedMessageError:
            return text
        return message if message.tool_calls else text

    def _end_for_length(self) -> None:
        """Leave out what no turn followed; of a first prompt the room is filled."""
        if not self.token_ids:
            self._append(self.pending[: self.sequence_length], 0)
        self.pending = []
        self.stop_reason = StopReason.LENGTH

    def _append(self, ids: Sequence[int], own: int, logprobs: Sequence[float] | None = None) -> None:
        self.token_ids += ids
        self.response_mask += [own] * len(ids)
        self.own_tokens += own * len(ids)
        self.logprobs += [0.0] * len(ids) if logprobs is None else logprobs

    def _tokens(self) -> dict[str, Any]:
        return {
            "token_ids": tuple(self.token_ids),
            "response_mask": tuple(self.response_mask),
            "logprobs": tuple(self.logprobs) if self.with_logprobs else (),
            "prompt_length": self.prompt_length,
        }
