"""An endpoint that speaks the OpenAI chat API: ask, and get an answer or a clear error, whatever the network does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from tau_retail_env.errors import UserSetupError
from tau_retail_env.users.base import UserError
from tau_retail_env.users.llm.background import background
from tau_retail_env.users.llm.budget import run_name
from tau_retail_env.users.llm.call import Call, pay
from tau_retail_env.users.llm.cassette import Cassette, request_key
from tau_retail_env.users.llm.completion import Completion
from tau_retail_env.users.llm.connection import connection
from tau_retail_env.users.llm.faults import Fault, unknown_model
from tau_retail_env.users.llm.settings import ApiSettings
from tau_retail_env.users.usage import Usage

Found = TypeVar("Found")
JsonObject = dict[str, Any]
UnderWay = dict[tuple[str, str], "asyncio.Task[Completion]"]

CHECK_ATTEMPTS = 3
"""How often `check` asks a server that does not answer."""
CHECK_PAUSE_S = 0.3
"""Seconds between the first two of them; after each it is longer by as much."""
CHECK_TIMEOUT_S = 20.0
"""Seconds that an attempt of `check` may take, if `timeout_s` is not less."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model behind an API. Cheap to make: equal endpoints share client, slots, circuit breaker and cassette.

    Any number of threads may use one at once; it survives fork and pickle.
    """

    settings: ApiSettings

    def complete(self, messages: Sequence[Mapping[str, Any]], *, context: str, seed: int | None = None) -> Completion:
        """Get the model's next message; blocks the calling thread.

        Args:
            messages: the conversation in OpenAI's format.
            context: which request of which conversation this is (task, seed, turn, purpose): with a cassette, equal
                requests of one context have one answer. It is not sent.
            seed: sent with this request instead of that of `settings`.

        Returns:
            The answer, not empty.

        Raises:
            UserError: no usable answer, although it was asked for as often and as long as `settings` say. Its `usage`
                has what that took.
            UserSetupError: no or a wrong key, an unknown model, a cassette that cannot be used: no retry helps.
            BudgetError: the budget is used up; nothing was asked.
        """
        request = self._request(messages, context, self.settings.seed if seed is None else seed)
        return background().run(self._complete(request))

    def check(self) -> None:
        """Make sure, before the first episode, that key, URL and model work.

        Asks for the list of models and for one token: the list may be public. A model that is listed may refuse this
        one request, or fail; that shows when it is asked. Where the cassette holds answers, nothing is asked: a replay
        needs no network.

        Raises:
            UserSetupError: no or a wrong key, no credit, an unknown model, an address at which nothing answers, a
                cassette that cannot be written, a budget that cannot be kept.
            MissingDependencyError: the package openai is not installed.
        """
        background().run(self._check())

    def _request(self, messages: Sequence[Mapping[str, Any]], context: str, seed: int | None) -> JsonObject:
        """What is asked, as the cassette knows it."""
        sampling = {"temperature": self.settings.temperature, "max_tokens": self.settings.max_tokens, "seed": seed}
        return {
            "context": context,
            "model": self.settings.model,
            "messages": [dict(message) for message in messages],
            **{name: value for name, value in sampling.items() if value is not None},
        }

    async def _complete(self, request: JsonObject) -> Completion:
        cassette = self._cassette()
        if cassette is None:
            return await self._ask(request)
        began = time.monotonic()
        recorded = cassette.find(request)
        if recorded is not None:
            return _replayed(_completion(recorded), began)
        under_way: UnderWay = background().shared("under way", dict)
        name = (str(cassette.path), request_key(request))
        if name in under_way:
            return _replayed(await asyncio.shield(under_way[name]), began)
        task = asyncio.create_task(self._record(cassette, request))
        under_way[name] = task
        task.add_done_callback(lambda _: under_way.pop(name))
        return await asyncio.shield(task)

    async def _record(self, cassette: Cassette, request: JsonObject) -> Completion:
        cassette.check_writable()
        try:
            completion = await self._ask(request)
        except (UserError, UserSetupError) as error:
            raise _beside(cassette, error) from None
        answer = cassette.add(request, asdict(completion))
        return replace(_completion(answer), usage=completion.usage)

    async def _ask(self, request: JsonObject) -> Completion:
        sent = {name: value for name, value in request.items() if name != "context"}
        return await Call(connection(self.settings), self.settings, sent).answer()

    def _cassette(self) -> Cassette | None:
        path = self.settings.cassette
        return background().shared(("cassette", path), lambda: Cassette(Path(path))) if path else None

    async def _check(self) -> None:
        if self.settings.budget_usd is not None:
            run_name()
        cassette = self._cassette()
        if cassette is not None:
            if len(cassette):
                return
            cassette.check_writable()
        line = connection(self.settings)
        timeout_s = min(self.settings.timeout_s, CHECK_TIMEOUT_S)
        known = await _some_attempts(lambda: line.models(self.settings, timeout_s))
        if isinstance(known, Fault) and known.is_outage:
            raise self._unreachable(known)
        models = () if isinstance(known, Fault) else known
        request = {"model": self.settings.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        attempts = 1 if self.settings.model in models else CHECK_ATTEMPTS
        answer = await _some_attempts(lambda: line.send(request, self.settings, timeout_s), attempts)
        if isinstance(answer, Completion):
            pay(answer, self.settings)
        else:
            self._judge(answer, models)

    def _judge(self, fault: Fault, models: Sequence[str]) -> None:
        """Raise what the fault of the check's one token means, if it means anything."""
        if isinstance(fault.fatal, UserSetupError):
            raise fault.fatal
        is_listed = self.settings.model in models
        if fault.unknown_model or (models and not is_listed and fault.fatal is not None):
            raise unknown_model(self.settings, models)
        if not is_listed and fault.is_outage:
            raise self._unreachable(fault)

    def _unreachable(self, fault: Fault) -> UserSetupError:
        return UserSetupError(
            f"user.base_url: {self.settings.base_url} does not answer as a server of OpenAI's chat API does "
            f"({fault.reason}, {CHECK_ATTEMPTS} attempts): start it, as with tau-retail serve-user "
            f"{self.settings.model}, or correct the address"
        )


async def _some_attempts(ask: Callable[[], Awaitable[Found | Fault]], attempts: int = CHECK_ATTEMPTS) -> Found | Fault:
    """Ask a few times while the fault is one that may pass."""
    for attempt in range(attempts):
        if attempt:
            await asyncio.sleep(attempt * CHECK_PAUSE_S)
        found = await ask()
        if not isinstance(found, Fault) or found.fatal is not None or found.unknown_model:
            break
    return found


def _replayed(completion: Completion, began: float) -> Completion:
    """An answer for which nothing was paid now: its tokens, and how long it took to find."""
    tokens = (completion.usage.prompt_tokens, completion.usage.completion_tokens)
    return replace(completion, usage=Usage(time.monotonic() - began, *tokens, cost_usd=0.0, replayed=1))


def _completion(recorded: Mapping[str, Any]) -> Completion:
    return Completion(recorded["content"], Usage.read(recorded.get("usage", {})), recorded.get("finish_reason", ""))


def _beside(cassette: Cassette, error: UserError | UserSetupError) -> UserError | UserSetupError:
    """The error, with the word that the cassette does not have the answer either."""
    text = f"{error}. The cassette {cassette.path} has no answer to this request"
    return UserError(text, usage=error.usage) if isinstance(error, UserError) else type(error)(text)
