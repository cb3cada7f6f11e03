"""Opening the shop of a task source: each once in a process."""

from __future__ import annotations

import functools
import threading

from tau_retail_env.sources.load import upstream_of
from tau_retail_env.world.shop import Shop

_OPENING = threading.Lock()


def open_shop(source: str) -> Shop:
    """The shop of a task source; one per process, shared by its episodes and threads.

    Args:
        source: "tau2", "generated" (whose tasks live in τ²'s shop) or "tau_bench".

    Raises:
        InvalidValueError: unknown source.
        MissingDependencyError: upstream's package, or one that it imports, is not installed.
    """
    upstream = upstream_of(source)
    with _OPENING:
        return _shop_of(upstream)


@functools.cache
def _shop_of(upstream: str) -> Shop:
    if upstream == "tau_bench":
        from tau_retail_env.sources.tau_bench.shop import TauBenchShop

        return TauBenchShop()
    from tau_retail_env.sources.tau2.shop import Tau2Shop

    return Tau2Shop()
