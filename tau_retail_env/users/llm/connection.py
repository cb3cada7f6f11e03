"""The one client of a process to an endpoint, and what its calls share: circuit breaker, slots."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from tau_retail_env.errors import MissingDependencyError, UserSetupError
from tau_retail_env.users.llm.address import keep_out_of_logs, secrets_of, whole
from tau_retail_env.users.llm.answer_size import AnswerTooLongError, bounded
from tau_retail_env.users.llm.background import background
from tau_retail_env.users.llm.breaker import CircuitBreaker
from tau_retail_env.users.llm.completion import Completion, read_completion
from tau_retail_env.users.llm.faults import Fault, fault_of_status, holds_key, read_models
from tau_retail_env.users.llm.settings import OPENAI_URL, ApiSettings
from tau_retail_env.users.llm.shared_folder import shared_file
from tau_retail_env.users.llm.slots import Slots

NO_KEY = "none"
"""Sent to a server on this machine where no key is set; the client sends none of its own accord."""
LIST_MODELS_S = 10.0
"""Seconds that a question for the list of models may take."""


def connection(settings: ApiSettings) -> Connection:
    """This process's connection to an endpoint; to be called within the event loop.

    Raises:
        UserSetupError: no key, or an address without the variable that it names.
        MissingDependencyError: the package openai is not installed.
    """
    key = key_of(settings)
    digest = hashlib.sha256(f"{key} {whole(settings.base_url)}".encode()).hexdigest()
    name = ("connection", settings.base_url, settings.api_key_env, settings.max_response_mb, digest)
    return background().shared(name, lambda: Connection(settings, key))


def key_of(settings: ApiSettings) -> str:
    """The endpoint's key, empty where none is set.

    Raises:
        UserSetupError: it holds what no key can.
    """
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserSetupError(
            f"The environment variable {settings.api_key_env} holds characters that no key has; export the key again"
        )
    return key


class Connection:
    """The client to an endpoint (a base URL and the key in its variable), used by all calls of this process."""

    def __init__(self, settings: ApiSettings, key: str) -> None:
        self._key = key
        if not self._key and not settings.is_loopback:
            raise UserSetupError(
                f"The customer's server {settings.base_url} needs a key, and the environment variable "
                f"{settings.api_key_env} is not set: export {settings.api_key_env}=…, name another variable with "
                "user.api_key_env, or play the customer offline with user_strategy=scripted"
            )
        self._secrets = [self._key, *secrets_of(settings.base_url)]
        keep_out_of_logs(settings.base_url)
        self._openai = _import_openai()
        self._client = self._openai.AsyncOpenAI(
            api_key=self._key or NO_KEY,
            base_url=whole(settings.base_url),
            max_retries=0,
            http_client=self._openai.DefaultAsyncHttpxClient(
                trust_env=not settings.is_loopback,
                follow_redirects=False,  # the conversation is for this host and no other
                headers={"Accept-Encoding": "identity"},
                event_hooks={"response": [bounded(settings.max_response_mb)]},
            ),
        )
        self.breaker = CircuitBreaker()
        file = shared_file("slots", f"{settings.base_url} {settings.api_key_env}")
        self.slots = background().shared(("slots", file), lambda: Slots(file))
        self.random = random.Random()
        self.has_answered = False

    random: random.Random
    """Draws of pauses; nobody else's."""
    has_answered: bool
    """Whether any call got an answer: the settings work in general. The check before a run is none."""

    async def send(self, request: Mapping[str, Any], settings: ApiSettings, timeout_s: float) -> Completion | Fault:
        """Make one attempt.

        Args:
            request: `messages`, `model` and sampling settings.
            settings: the endpoint's.
            timeout_s: seconds that it may take, slow tokens included.
        """
        body = {name: value for name, value in request.items() if name not in ("messages", "model")}
        if "max_tokens" in body and settings.base_url == OPENAI_URL:
            body["max_completion_tokens"] = body.pop("max_tokens")
        create = self._client.chat.completions.with_raw_response.create
        messages = request["messages"]
        asking = create(model=request["model"], messages=messages, extra_body=body, timeout=timeout_s)
        found = await self._body(asking, settings, timeout_s, messages)
        completion = found if isinstance(found, Fault) else read_completion(found, settings)
        if isinstance(completion, Completion) and any(holds_key(completion.content, one) for one in self._secrets):
            return Fault("an answer that holds the key")  # it would stand in the episode's record
        return completion

    async def models(self, settings: ApiSettings, timeout_s: float = LIST_MODELS_S) -> tuple[str, ...] | Fault:
        """The names of the models that the server has."""
        asking = self._client.models.with_raw_response.list(timeout=timeout_s)
        found = await self._body(asking, settings, timeout_s, ())
        return found if isinstance(found, Fault) else read_models(found)

    async def _body(
        self,
        asking: Coroutine[Any, Any, Any],
        settings: ApiSettings,
        timeout_s: float,
        messages: Sequence[Mapping[str, Any]],
    ) -> bytes | Fault:
        try:
            async with asyncio.timeout(timeout_s):
                return (await asking).content
        except AnswerTooLongError as error:
            return Fault(str(error))
        except self._openai.APIStatusError as error:
            headers = {name.lower(): value for name, value in error.response.headers.items()}
            return fault_of_status(error.status_code, error.body, headers, settings, messages, self._key)
        except (TimeoutError, self._openai.APITimeoutError):
            return Fault(f"no answer within {timeout_s:.3g} s")
        except self._openai.APIConnectionError as error:
            return Fault(f"no connection, or one that broke off ({network_reason(error)})")

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._client.close()


def _import_openai() -> Any:
    try:
        import openai
    except ImportError as error:
        raise MissingDependencyError(
            f"An API customer needs the package openai ({error}): pip install '.[api]' in the repository, "
            "or pip install openai"
        ) from None
    return openai


def network_reason(error: BaseException) -> str:
    """What the network says: the operating system's words where there are any, else the kind of error.

    Args:
        error: of the package openai, with what caused it.
    """
    kind = type(error.__cause__ or error).__name__
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return f"{kind}: {inner.strerror}"
        inner = inner.__cause__ or inner.__context__
    return kind
