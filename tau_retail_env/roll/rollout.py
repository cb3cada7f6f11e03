"""What ROLL's loop needs beside the episode: where its time goes, and the actor's own tokens of an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")


@dataclass
class Clock:
    """Where an episode's time goes, in seconds; all tries together."""

    environment_s: float = 0.0
    """Wall clock inside reset and step, the customer's answers included."""
    customer_s: float = 0.0
    """Wall clock of the customer's part of it."""
    environment_cpu_s: float = 0.0
    """Processor time of the same, on the episode's thread."""
    chat_cpu_s: float = 0.0
    """Processor time for rendering, tokenising and decoding."""
    generation_s: float = 0.0
    """Wall clock waiting for the engine."""
    proxy_cpu_s: float = 0.0
    """Processor time of ROLL's proxy and of Ray while asking it."""
    steps: int = 0
    """Calls of step."""

    def environment(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Call the environment and count its time."""
        start, start_cpu = time.perf_counter(), time.thread_time()
        try:
            return call(*arguments)
        finally:
            self.environment_s += time.perf_counter() - start
            self.environment_cpu_s += time.thread_time() - start_cpu

    def proxy(self, call: Callable[..., Result], **arguments: Any) -> Result:
        """Ask the engine and count the time."""
        start, start_cpu = time.perf_counter(), time.thread_time()
        try:
            return call(**arguments)
        finally:
            self.generation_s += time.perf_counter() - start
            self.proxy_cpu_s += time.thread_time() - start_cpu

    def chat(self, call: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
        """Have tokens made or read, and count the time."""
        start = time.thread_time()
        try:
            return call(*arguments, **named)
        finally:
            self.chat_cpu_s += time.thread_time() - start


def own_tokens(response_ids: Sequence[int], pad_token_id: int, stop_ids: Sequence[int]) -> tuple[list[int], bool]:
    """The actor's own tokens of what the engine answered.

    Args:
        response_ids: the engine's tokens, at least one. A padding token at the end stops a turn without being one of
            its words, and ROLL keeps no log-probability for it: it is left out.
        pad_token_id: the tokenizer's.
        stop_ids: tokens that end a turn.

    Returns:
        The tokens, and whether the actor ended the turn itself.
    """
    own = list(response_ids)
    while own and own[-1] == pad_token_id:
        own.pop()
    return own, len(own) < len(response_ids) or own[-1] in stop_ids
