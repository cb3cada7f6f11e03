"""Customers played by a model behind an API: upstream's llm, react, verify and reflection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tau_retail_env.errors import EpisodeStateError, unknown
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import Source, get_source
from tau_retail_env.sources.base import Message
from tau_retail_env.tasks.task import Task
from tau_retail_env.users.base import UserError, UserMessage
from tau_retail_env.users.llm.completion import Completion
from tau_retail_env.users.llm.endpoint import Endpoint
from tau_retail_env.users.llm.slips import Exchange
from tau_retail_env.users.llm.writing import WRITERS, Writing

SEED_BITS = 31
"""Seeds of requests are below 2**31, for some servers read a signed 32-bit number."""


class ApiUser:
    """Plays the customer of one task after another by a model, as upstream's simulator of the source and strategy does.

    Where it differs from upstream stands in docs/api_customers.md. Making one asks the server nothing.

    Args:
        strategy: one of `WRITERS`.
        endpoint: where the model is served; may be shared by any number of customers and threads.
        source: whose simulator, as an object or by name.

    Raises:
        InvalidValueError: unknown strategy or source, or one without prompts for a model.
        MissingDependencyError: upstream's package is not installed, or has no such texts.
    """

    def __init__(self, strategy: str, endpoint: Endpoint, *, source: str | Source) -> None:
        if strategy not in WRITERS:
            raise unknown("strategy of an API customer", strategy, WRITERS)
        self.strategy = strategy
        self._endpoint = endpoint
        self._source = source if isinstance(source, Source) else get_source(source)
        self._source.shop()  # what is not installed is missed now, not in the first episode
        self._source.check_user_opening(strategy)
        self._stop_tokens = self._source.episode_rules.stop_tokens
        self._episode = ""
        self._calls = 0
        self._history: list[Message] = []
        self._held_at: str | None = None
        self._before: list[Exchange] = []

    @property
    def history(self) -> Sequence[Message]:
        """The model's prompt and messages in this episode; its own have the role "assistant"."""
        return tuple(self._history)

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        """Begin an episode and say the first words.

        Args:
            task: what the customer wants.
            seed: decides the seeds of all requests, together with the setting `seed`; without that none is sent.

        Raises:
            UserError: the server failed, or its model wrote nothing that could be sent.
            UserSetupError: the server cannot be used until something is fixed (key, model, budget).
        """
        self._episode = f"{task.id}/{seed}"
        self._calls = 0
        self._history = []
        self._held_at = None
        self._before = []
        return self._say(self._source.user_opening(self.strategy, task))

    def respond(self, message: AgentMessage) -> UserMessage:
        """Answer the agent's text.

        Args:
            message: what the agent said; tool calls are not heard.

        Raises:
            EpisodeStateError: no episode has begun.
            UserError: the server failed, or its model wrote nothing that could be sent.
            UserSetupError: the server cannot be used until something is fixed (key, model, budget).
        """
        if not self._history:
            raise EpisodeStateError(
                "The customer was spoken to before an episode began; call reset(task, seed=…) first"
            )
        return self._say([*self._history, {"role": "user", "content": message.content or ""}])

    def _say(self, messages: list[Message]) -> UserMessage:
        """Write the next message; only what is sent becomes part of the history."""
        writing = Writing(
            self._ask,
            messages,
            with_thought=self.strategy == "react",
            stop_tokens=self._stop_tokens,
            held_at=self._held_at,
            before=self._before,
        )
        try:
            written = WRITERS[self.strategy](writing)
        except UserError as error:
            raise UserError(f"{error}", usage=writing.usage(error.usage)) from error
        slip = writing.sent(written)
        if slip is not None and self._endpoint.settings.unscorable_loops:
            raise UserError(f"the customer's message falls out of its part: {slip.reason}", usage=writing.usage())
        self._before.append(Exchange(messages[-1]["content"], written.reply))
        self._history = [*messages, {"role": "assistant", "content": written.kept}]
        self._held_at = messages[-1]["content"] if written.is_stop_held else None
        stop = next((token for token in self._stop_tokens if token in written.reply), None)
        return UserMessage(written.reply, stop=stop, usage=writing.usage())

    def _ask(self, messages: Sequence[Message]) -> Completion:
        """One call; its seed follows from the setting, the task, the episode's seed and the call's number."""
        context = f"{self._episode}/{self._calls}"
        self._calls += 1
        seed = self._endpoint.settings.seed
        if seed is not None:
            digest = hashlib.sha256(f"{seed}/{context}".encode()).digest()
            seed = int.from_bytes(digest[:8], "big") % 2**SEED_BITS
        return self._endpoint.complete(messages, context=context, seed=seed)
