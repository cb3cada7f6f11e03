"""ROLL's environment worker, whose environments share one tokenizer, tasks and shop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from roll.distributed.scheduler.decorator import Dispatch, register
from roll.pipeline.agentic.environment_worker import EnvironmentWorker
from transformers import ProcessorMixin

from tau_retail_env.roll.nodes import take_keys
from tau_retail_env.roll.preload import in_background, load_for
from tau_retail_env.roll.ranks import TakesItsPort, started_at_once

USED = ("apply_chat_template", "batch_decode", "decode", "encode")
"""What the env managers and ROLL's proxies call."""


class SharedTokenizer:
    """A tokenizer for many threads: locked, and `deepcopy` returns the same object.

    Args:
        tokenizer: a transformers tokenizer; a fast one does not bear two threads.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        for name in USED:
            setattr(self, name, self._locked(getattr(tokenizer, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __len__(self) -> int:
        return len(self._tokenizer)

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedTokenizer:
        return self

    def _locked(self, call: Any) -> Any:
        def one_at_a_time(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                return call(*arguments, **named)

        return one_at_a_time


class TauRetailEnvironmentWorker(TakesItsPort, EnvironmentWorker):
    """ROLL's, which copies tokenizer and processor for each environment; a text model's processor is a tokenizer, too.

    Here the tokenizer is shared, and a processor that is none is left out. What else environments share is loaded once,
    while other roles start.

    Args:
        worker_config: ROLL's.
    """

    loading: threading.Thread | None = None
    """Loads what environments share; None where nothing was begun."""

    def __init__(self, worker_config: Any) -> None:
        super().__init__(worker_config)
        take_keys()
        self.loading = in_background(lambda: load_for(self.env_configs.values()))

    @register(dispatch_mode=Dispatch.ONE_TO_ALL, clear_cache=False)
    async def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Make the environments, once what they share is loaded.

        Args:
            args: ROLL's.
            kwargs: ROLL's.
        """
        if self.loading is not None:
            await asyncio.to_thread(self.loading.join)
        await super().initialize(*args, **kwargs)

    @property
    def tokenizer(self) -> SharedTokenizer | None:
        """The one of all environments; None until it is loaded."""
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, loaded: Any) -> None:
        self._tokenizer = None if loaded is None else SharedTokenizer(loaded)

    @property
    def processor(self) -> Any:
        """Of a model that sees or hears; None for others."""
        return self._processor

    @processor.setter
    def processor(self, loaded: Any) -> None:
        self._processor = loaded if isinstance(loaded, ProcessorMixin) else None


TauRetailEnvironmentWorkers = started_at_once(TauRetailEnvironmentWorker, begun_ahead=True)
"""What ROLL makes the roles of, and before it `schedulers.begin_what_schedulers_start`."""
