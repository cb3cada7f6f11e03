"""One call to a customer's model: attempts, pauses between them, and when to give up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tau_retail_env.errors import TauRetailError, UserSetupError
from tau_retail_env.users.base import UserError
from tau_retail_env.users.llm import backoff
from tau_retail_env.users.llm.breaker import FAILURES_TO_OPEN
from tau_retail_env.users.llm.budget import Ledger
from tau_retail_env.users.llm.completion import CUT_OFF, Completion
from tau_retail_env.users.llm.connection import Connection
from tau_retail_env.users.llm.faults import Fault, unknown_model
from tau_retail_env.users.llm.settings import ApiSettings
from tau_retail_env.users.usage import Usage

logger = logging.getLogger(__name__)


def patience_s(settings: ApiSettings) -> float:
    """Seconds that a call may take, waiting for a slot aside: every attempt and every pause at its longest."""
    return (settings.timeout_s + backoff.LONGEST_BACKOFF_S) * (1 + settings.max_retries)


def pay(reply: Completion, settings: ApiSettings) -> None:
    """Enter a reply's cost where there is a budget.

    Raises:
        UserSetupError: its cost is not known.
    """
    if settings.budget_usd is None:
        return
    if reply.usage.cost_usd is None:
        raise UserSetupError(
            f"user.budget_usd cannot be kept: the server {settings.base_url} reports no usage of tokens; "
            "set user.budget_usd to null"
        )
    Ledger().add(reply.usage.cost_usd)


class Call:
    """One call under way.

    Between the beginnings of two attempts passes a time drawn evenly from 0 to `longest_backoff_s` (full jitter), or
    the attempt itself if that is longer; after it what the server asks for, if that fits into `patience_s`. After an
    empty reply the request's seed is one higher.

    Args:
        line: the process's connection to the endpoint.
        settings: the endpoint's.
        request: `messages`, `model` and sampling settings.
    """

    def __init__(self, line: Connection, settings: ApiSettings, request: Mapping[str, Any]) -> None:
        self._line = line
        self._settings = settings
        self._request = dict(request)
        self._began = time.monotonic()
        self._deadline = self._began + patience_s(settings)
        self._attempt_began = self._began
        self._sent = 0
        self._trials_of_others = 0
        self._empty = 0
        self._last = "none was made"
        self._replies = Usage(cost_usd=settings.cost_usd(0, 0))

    async def answer(self) -> Completion:
        """Ask until there is an answer; its usage is that of the whole call.

        Raises:
            UserError: retries or time are used up, or the server refuses this one conversation.
            UserSetupError: what no further attempt can fix.
            BudgetError: the budget is used up.
        """
        while True:
            found = await self._attempt()
            if isinstance(found, Completion):
                if found.content.strip():
                    return replace(found, usage=self._usage())
                self._empty += 1
                found = Fault(self._empty_reason(found), is_outage=False)
            await self._after(found)

    def _empty_reason(self, found: Completion) -> str:
        reason = f"an empty reply (finish_reason {found.finish_reason or 'none given'})"
        if found.finish_reason == CUT_OFF and self._settings.max_tokens is not None:
            reason += f": user.max_tokens={self._settings.max_tokens} was used up before a word, raise it"
        return reason

    async def _attempt(self) -> Completion | Fault:
        """Make one attempt, once there is a slot and the circuit breaker lets it through."""
        while True:
            await self._wait_for_server()
            queued = time.monotonic()
            async with self._line.slots.slot(self._settings.max_concurrency):
                # Waiting for a slot is not the server's fault.
                self._deadline += time.monotonic() - queued
                self._check_budget()
                attempt = self._line.breaker.admit()
                if attempt is not None:
                    return await self._send(attempt)

    async def _send(self, attempt: int) -> Completion | Fault:
        breaker = self._line.breaker
        request = self._request
        if self._empty and isinstance(request.get("seed"), int):
            # The same seed would bring the same empty reply.
            request = {**request, "seed": request["seed"] + self._empty}
        self._sent += 1
        self._attempt_began = time.monotonic()
        try:
            found = await self._line.send(request, self._settings, min(self._settings.timeout_s, self._left_s()))
        except BaseException:
            breaker.dropped(attempt)
            raise
        if isinstance(found, Fault) and found.is_outage:
            was_open = breaker.is_open
            breaker.failed(attempt)
            if breaker.is_open and not was_open:
                self._tell_of(found)
        else:
            breaker.succeeded(attempt)
        if isinstance(found, Completion):
            self._line.has_answered = True
            self._replies += found.usage
            pay(found, self._settings)
        return found

    def _tell_of(self, fault: Fault) -> None:
        """Say that the circuit breaker has opened: conversations stand still, and nothing else would say why.

        A customer's, or a judge's: both have these settings.
        """
        logger.warning(
            "The server %s failed %d times in a row or more, the last: %s. One request at a time tries "
            "whether it is back. If it is slow, not down: max_tokens bounds a reply, timeout_s waits longer",
            self._settings.base_url,
            FAILURES_TO_OPEN,
            fault.reason,
        )

    async def _wait_for_server(self) -> None:
        """Wait while the circuit breaker is open; what the server fails meanwhile counts as attempts of this call."""
        breaker = self._line.breaker
        seen = breaker.failed_trials
        while breaker.refuses:
            self._last = "the server is down, as other calls find"
            await asyncio.sleep(min(breaker.wait_s, self._left_s()))
            self._trials_of_others += breaker.failed_trials - seen
            seen = breaker.failed_trials
            self._go_on()

    async def _after(self, fault: Fault) -> None:
        """Pause before the next attempt, or give up."""
        if fault.fatal is not None:
            raise self._closing(fault.fatal, fault.is_settings)
        if fault.unknown_model:
            known = await self._line.models(self._settings)
            raise unknown_model(self._settings, known if isinstance(known, tuple) else ())
        self._last = fault.reason
        self._go_on()
        attempts = self._sent + self._trials_of_others
        pause_s = self._line.random.uniform(0, backoff.longest_backoff_s(attempts))
        pause_s = max(pause_s - (time.monotonic() - self._attempt_began), 0.0)
        if fault.retry_after_s is not None:
            pause_s = fault.retry_after_s + self._line.random.uniform(0, backoff.FIRST_BACKOFF_S)
            self._last += f", which asks to wait {fault.retry_after_s:.4g} s"
        if pause_s >= self._left_s():
            raise self._given_up()
        await asyncio.sleep(pause_s)

    def _go_on(self) -> None:
        """Give up where retries or time are used up."""
        if self._sent + self._trials_of_others > self._settings.max_retries or self._left_s() <= 0:
            raise self._given_up()

    def _given_up(self) -> UserError:
        seconds = time.monotonic() - self._began
        others = f" and {self._trials_of_others} of other calls" if self._trials_of_others else ""
        return UserError(
            f"The customer's server {self._settings.base_url} (model {self._settings.model}) gave no usable answer: "
            f"{self._sent} attempt{'s' if self._sent != 1 else ''}{others} in {seconds:.1f} s; the last: {self._last}",
            usage=self._usage(failures=1).as_mapping(),
        )

    def _closing(self, error: TauRetailError, is_settings: bool) -> TauRetailError:
        """The error as it is raised: a refused request is the settings' fault as long as no other was answered."""
        if not isinstance(error, UserError):
            return error
        if is_settings and not self._line.has_answered:
            return UserSetupError(str(error))
        return UserError(str(error), usage=self._usage(failures=1).as_mapping())

    def _check_budget(self) -> None:
        if self._settings.budget_usd is not None:
            Ledger().check(self._settings.budget_usd)

    def _usage(self, failures: int = 0) -> Usage:
        taken = Usage(time.monotonic() - self._began, retries=max(self._sent - 1, 0), failures=failures)
        return self._replies + taken

    def _left_s(self) -> float:
        return self._deadline - time.monotonic()
