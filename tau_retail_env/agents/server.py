"""An agent behind a server that speaks OpenAI's chat API: vLLM, SGLang, or a provider."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tau_retail_env.agents.api import ApiHistory, agent_message
from tau_retail_env.errors import InvalidValueError, MissingDependencyError, TauRetailError, UserSetupError
from tau_retail_env.messages import AgentMessage
from tau_retail_env.users.llm.address import keep_out_of_logs, secrets_of, whole, without
from tau_retail_env.users.llm.answer_size import AnswerTooLongError, bounded_at_once
from tau_retail_env.users.llm.completion import tokens_of
from tau_retail_env.users.llm.connection import key_of, network_reason
from tau_retail_env.users.llm.settings import ApiSettings

TOO_LONG = ("context_length_exceeded", "maximum context length", "context window", "longer than the maximum")
"""How servers say, in a code or in words, that a conversation has outgrown the model."""
NO_KEY = "none"
"""What is sent to a server that asks for no key."""
OPTIONS = (("user.base_url", "--agent"), ("user.api_key_env", "--api-key-env"), ("user_model", "--model"))
"""What a customer's settings are called, and an agent's."""
MOST_MB = ApiSettings.model_fields["max_response_mb"].default
"""Megabytes (10^6 bytes) of one answer; a longer one is not read to its end."""
CHECK_RETRIES = 2
"""Further attempts of the question for the models, before the first episode."""
UNAUTHORIZED = 401
USABLE_TRIES = 3
"""How often a server is asked that answers with something else than a message."""


class AgentServerError(TauRetailError, RuntimeError):
    """The agent's server gave no answer, however often it was asked: the evaluation stops, with everything kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the agent's model is reached, and how it speaks."""

    base_url: str
    """The server's address up to its version, such as http://127.0.0.1:8000/v1."""
    model: str
    """The model's name there."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; a server on this machine needs none."""
    temperature: float | None = None
    """What the logits are divided by; None for the server's own."""
    top_p: float | None = None
    """Draw from the likeliest tokens whose probabilities add up to this; None for the server's own."""
    max_new_tokens: int | None = None
    """Most tokens of one message; None for the server's own."""
    timeout_s: float = 120.0
    """Seconds that one attempt may take."""
    max_retries: int = 8
    """Further attempts after the first, with the pauses of the package openai between them."""
    usd_per_million_input_tokens: float | None = None
    """Price of a million prompt tokens in dollars; None: unknown."""
    usd_per_million_output_tokens: float | None = None
    """Price of a million completion tokens in dollars; None: unknown."""


class AgentServer:
    """The connection to an agent's server; any number of threads may share it.

    Raises:
        MissingDependencyError: the package openai is not installed.
        InvalidValueError: an address that is none, or a variable's name that is none.
        UserSetupError: the variable holds what is no key.
    """

    def __init__(self, settings: ServerSettings) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingDependencyError(
                f"An agent behind a server needs the package openai: {error}. Install it with: pip install openai"
            ) from error
        reached, address = _reached(settings)
        self.settings = replace(settings, base_url=reached.base_url)
        self._openai = openai
        self._key = key_of(reached) or NO_KEY
        self._secrets = [one for one in (self._key, *secrets_of(reached.base_url)) if one != NO_KEY]
        keep_out_of_logs(reached.base_url)
        self._client = openai.OpenAI(
            base_url=address,
            api_key=self._key,
            timeout=settings.timeout_s,
            max_retries=settings.max_retries,
            http_client=openai.DefaultHttpxClient(
                trust_env=not reached.is_loopback,  # proxies are not for this machine
                follow_redirects=False,  # the conversation is for this host and no other
                headers={"Accept-Encoding": "identity"},
                event_hooks={"response": [bounded_at_once(MOST_MB)]},
            ),
        )

    def check(self) -> None:
        """Make sure, before the first episode, that the server answers and knows the model.

        Raises:
            AgentServerError: it does not.
        """
        retries = min(CHECK_RETRIES, self.settings.max_retries)
        try:
            known = [model.id for model in self._client.with_options(max_retries=retries).models.list()]
        except (self._openai.NotFoundError, self._openai.PermissionDeniedError):  # no list of models is asked of it
            return
        except (self._openai.OpenAIError, AnswerTooLongError) as error:
            raise self._no_answer(error, retries) from None
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
            raise AgentServerError(
                f"--agent: {self.settings.base_url} answers, but not as a server of OpenAI's chat API does: it has no "
                "list of models; correct the address, which mostly ends with /v1"
            ) from None
        if known and self.settings.model not in known:
            shown = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
            raise AgentServerError(
                f"--model: {self.settings.base_url} has no model {self.settings.model!r}; it has: {shown}"
            )

    def reply(self, messages: list[dict[str, Any]], tools: list[Any], seed: int) -> tuple[dict[str, Any] | None, Any]:
        """Get the model's next message.

        Args:
            messages: the conversation in OpenAI's format.
            tools: the tools as OpenAI schemas.
            seed: of the model's draws, where the server heeds one.

        Returns:
            The message, None where the conversation has become too long for the model, and what the server reports of
            its tokens.

        Raises:
            AgentServerError: no answer, however often it was asked.
        """
        settings = self.settings
        sampling = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_new_tokens,
        }
        given = {name: value for name, value in sampling.items() if value is not None}
        create: Any = self._client.chat.completions.create  # its 2 overloads know no plain dictionaries
        for _ in range(USABLE_TRIES):
            try:
                answer = create(
                    model=settings.model, messages=messages, tools=tools or self._openai.NOT_GIVEN, seed=seed, **given
                )
                message = answer.choices[0].message.model_dump(exclude_none=True)
            except self._openai.BadRequestError as error:
                if any(words in str(error) for words in TOO_LONG):
                    return None, None
                raise self._no_answer(error) from None
            except (self._openai.OpenAIError, AnswerTooLongError) as error:
                raise self._no_answer(error) from None
            except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
                continue  # the body is no chat completion, or nested so deeply that nothing can read it
            text = json.dumps(message, ensure_ascii=False, default=str)
            if not any(one in text for one in self._secrets):
                return message, answer.usage
        raise AgentServerError(
            f"The agent's server {self.settings.base_url} answers without a message in its answer, or with the key in "
            f"it, {USABLE_TRIES} times"
        )

    def close(self) -> None:
        """Close the connections; what is under way fails."""
        self._client.close()

    def _no_answer(self, error: Exception, retries: int | None = None) -> AgentServerError:
        """What an attempt's fault means for the evaluation, after so many further ones (None: those of a message).

        It is raised without its cause, whose words may hold a secret.
        """
        words = " ".join(without(str(error), self._secrets).split())[:300]  # servers repeat a wrong key, and a path
        status = getattr(error, "status_code", None)  # of an answer that came; the client asks again after these alone
        is_asked_again = status is None or status in (408, 409, 429) or status >= 500
        tries = 1 + (self.settings.max_retries if retries is None else retries)
        attempts = f" in {tries} attempts; the last" if is_asked_again else ""
        if isinstance(error, self._openai.APIConnectionError) and not isinstance(error, self._openai.APITimeoutError):
            words = f"{network_reason(error)}. Start it, as with vllm serve {self.settings.model} (with "
            words += "--enable-auto-tool-choice and --tool-call-parser for tools), or correct the address"
        elif status == UNAUTHORIZED and self._key == NO_KEY:
            words += f". It needs a key: export {self.settings.api_key_env}=…, or name another variable, --api-key-env"
        return AgentServerError(
            f"The agent's server {self.settings.base_url} (model {self.settings.model}) gave no usable "
            f"answer{attempts}: {type(error).__name__}: {words}"
        )


def _reached(settings: ServerSettings) -> tuple[ApiSettings, str]:
    """How the server is reached, and its whole address; checked as a customer's, in the words of an agent's options."""
    block = {"base_url": settings.base_url, "api_key_env": settings.api_key_env}
    try:
        reached = ApiSettings.read(settings.model, block)
        return reached, whole(reached.base_url)
    except (InvalidValueError, UserSetupError) as error:
        text = str(error)
        for key, option in OPTIONS:
            text = text.replace(key, option)
        raise type(error)(text) from None


class TextHistory:
    """The messages of one episode of a model that calls tools in its text.

    Args:
        info: what `env.reset` returned.
    """

    def __init__(self, info: Mapping[str, Any]) -> None:
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": info["system_prompt"]}]
        self.messages += [dict(message) for message in info["messages"]]
        self.tools: list[Mapping[str, Any]] = []

    def add(self, reply: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Append one turn: the model's text as it stands, and what came back; servers want an id with every result."""
        self.messages.append({"role": "assistant", "content": reply.get("content") or ""})
        for number, message in enumerate(info["messages"]):
            is_result = message["role"] == "tool"
            self.messages.append({**message, **({"tool_call_id": f"call_{number}"} if is_result else {})})


class ServerAgent:
    """One episode of an agent behind a server.

    Args:
        server: the connection.
        seed: of the model's draws, where the server heeds one.
        sends_tools: whether the tools go beside the messages, as upstream's own agent sends them, and calls come back
            apart from the text. Else the prompt has shown them, and calls stand in the text, in hermes form.
    """

    def __init__(self, server: AgentServer, seed: int, *, sends_tools: bool = True) -> None:
        self._server = server
        self._seed = seed
        self._sends_tools = sends_tools
        self._history: ApiHistory | TextHistory | None = None
        self._last: Mapping[str, Any] = {}
        self._is_too_long = False
        self.usage: dict[str, float] = {"calls": 0.0, "prompt_tokens": 0.0, "completion_tokens": 0.0, "seconds": 0.0}
        """What the model took so far; `cost_usd` where the prices are known."""

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage | str:
        """Ask the model; where the conversation has become too long for it, say nothing until the episode ends."""
        if self._history is None:
            self._history = ApiHistory(info) if self._sends_tools else TextHistory(info)
        else:
            self._history.add(self._last, info)
        if self._is_too_long:
            return AgentMessage(None)
        began = time.monotonic()
        reply, usage = self._server.reply(self._history.messages, self._history.tools, self._seed)
        self._count(usage, time.monotonic() - began)
        if reply is None:
            self._is_too_long = True
            self.usage["too_long"] = 1.0
            return AgentMessage(None)
        self._last = reply
        return agent_message(reply) if self._sends_tools else reply.get("content") or ""

    def _count(self, usage: Any, seconds: float) -> None:
        settings = self._server.settings
        read, written = (tokens_of(getattr(usage, name, None)) or 0 for name in ("prompt_tokens", "completion_tokens"))
        self.usage["calls"] += 1
        self.usage["prompt_tokens"] += read
        self.usage["completion_tokens"] += written
        self.usage["seconds"] += seconds
        prices = settings.usd_per_million_input_tokens, settings.usd_per_million_output_tokens
        if prices[0] is not None and prices[1] is not None:
            cost_usd = (read * prices[0] + written * prices[1]) / 1e6
            self.usage["cost_usd"] = self.usage.get("cost_usd", 0.0) + cost_usd
