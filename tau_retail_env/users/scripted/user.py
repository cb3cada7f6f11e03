"""The scripted customer: offline, deterministic by task and seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tau_retail_env.errors import EpisodeStateError, unknown
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources.parts import PARTS
from tau_retail_env.tasks.task import Task
from tau_retail_env.users.base import STOP, UserMessage
from tau_retail_env.users.scripted.agenda import build_agenda
from tau_retail_env.users.scripted.conversation import Conversation
from tau_retail_env.users.scripted.phrases import PORTIONS, Phrasebook


class ScriptedUser:
    """Plays the customer of one task after another from an agenda; see `Conversation` for how it behaves."""

    def __init__(self, shop: Mapping[str, Any], *, phrasings: str = "auto") -> None:
        """Get to know the shop.

        Args:
            shop: the shop's database, read only: {"users", "orders", "products"}.
            phrasings: a name of `PORTIONS`, or "auto": held out for tasks of a test split; for the part of a training
                split the half that only it has; wide for train3; train otherwise.

        Raises:
            InvalidValueError: unknown phrasings.
        """
        if phrasings not in ("auto", *PORTIONS):
            raise unknown("phrasings", phrasings, ("auto", *PORTIONS))
        self._shop = shop
        self._phrasings = phrasings
        self._conversation: Conversation | None = None

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        """Begin an episode and say the first words.

        Args:
            task: what the customer wants.
            seed: decides the wording and nothing else.

        Raises:
            InvalidValueError: a task whose customer is not in the shop.
        """
        portion = _portion_of(task.split) if self._phrasings == "auto" else self._phrasings
        book = Phrasebook(portion=portion, name=f"{task.id}/{seed}")
        self._conversation = Conversation(build_agenda(task, self._shop), book)
        return UserMessage(self._conversation.open())

    def respond(self, message: AgentMessage) -> UserMessage:
        """Answer the agent's text.

        Args:
            message: what the agent said; tool calls are not heard.

        Raises:
            EpisodeStateError: no episode has begun.
        """
        if self._conversation is None:
            raise EpisodeStateError(
                "The customer was spoken to before an episode began; call reset(task, seed=…) first"
            )
        content = self._conversation.answer(message.content or "")
        stop = STOP if STOP in content else None
        return UserMessage(content, stop=stop, agrees=self._conversation.agreed)


def _portion_of(split: str) -> str:
    """In which portion of the phrasings a split's customers speak."""
    if split.startswith("test"):
        return "held_out"
    if split == "train3":
        return "wide"
    part = split.rpartition("_")[2]
    return f"train_{part}" if part in PARTS else "train"
