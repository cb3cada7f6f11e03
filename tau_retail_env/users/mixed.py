"""Mixed customers: several kinds, one of them for each group of episodes."""

from __future__ import annotations

from collections.abc import Mapping

from tau_retail_env.errors import EpisodeStateError
from tau_retail_env.messages import AgentMessage
from tau_retail_env.tasks.seeding import Draws
from tau_retail_env.tasks.task import Task
from tau_retail_env.users.base import UserMessage, UserSimulator

PARTS = 1_000_000
"""Weights count in whole parts of this many."""


class MixedUser:
    """Draws for each episode, by its task and seed alone, who plays it: a group (one task, one seed) has one customer.

    Args:
        customers: the kinds by the name of their strategy; their order does not matter.
        weights: how often each plays; they sum to 1.
    """

    def __init__(self, customers: Mapping[str, UserSimulator], weights: Mapping[str, float]) -> None:
        self._customers = dict(customers)
        self._names = sorted(customers)
        self._parts = [round(weights[name] * PARTS) for name in self._names]
        self._present: str | None = None

    @property
    def strategy(self) -> str | None:
        """Who plays the present episode; None before the first."""
        return self._present

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        """Begin an episode with the customer drawn for it.

        Args:
            task: what the customer wants.
            seed: decides, together with the task, who plays, and the wording.

        Raises:
            UserError: that customer gives no answer; another one is not tried, for that would change the shares.
        """
        draws = Draws(f"tau-retail/mixed/{task.id}/{seed}")
        self._present = draws.weighted(self._names, self._parts)
        return self._customers[self._present].reset(task, seed=seed)

    def respond(self, message: AgentMessage) -> UserMessage:
        """Answer the agent's text as the customer of this episode does.

        Args:
            message: what the agent said.

        Raises:
            EpisodeStateError: no episode has begun.
            UserError: there is no answer.
        """
        if self._present is None:
            raise EpisodeStateError(
                "The customer was spoken to before an episode began; call reset(task, seed=…) first"
            )
        return self._customers[self._present].respond(message)
