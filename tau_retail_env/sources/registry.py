"""The sources by name: finding one, and adding one's own."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType

from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.sources.base import Source
from tau_retail_env.sources.generated.source import GeneratedSource
from tau_retail_env.sources.tau2.editions import edition_of
from tau_retail_env.sources.tau2.source import Tau2Source
from tau_retail_env.sources.tau_bench.source import TauBenchSource
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.shop import Shop

_KNOWN: dict[str, type[Source]] = {kind.name: kind for kind in (Tau2Source, TauBenchSource, GeneratedSource)}

SOURCES: Mapping[str, type[Source]] = MappingProxyType(_KNOWN)
"""The sources by name."""


def register_source(source: type[Source]) -> type[Source]:
    """Make a source known by its name in this process; can stand above a class as a decorator.

    Args:
        source: a class of your own.

    Returns:
        The same class.

    Raises:
        InvalidValueError: it has no name, or another source has it already.
    """
    if not source.name or "/" in source.name:
        raise InvalidValueError(f"{source.__name__}.name is {source.name!r}; expected a name without '/'")
    if _KNOWN.get(source.name, source) is not source:
        raise InvalidValueError(f"Another source is named {source.name!r}; give {source.__name__} a name of its own")
    _KNOWN[source.name] = source
    return source


def unregister_source(name: str) -> None:
    """Forget a source that was registered; unknown names are ignored."""
    if _KNOWN.pop(name, None) is not None:
        forget_sources()


def forget_sources() -> None:
    """Make every source anew at its next use, for a process in which upstream's data comes or goes."""
    _made.cache_clear()
    edition_of.cache_clear()


def get_source(name: str, version: str | float | None = None, domain: str = "retail") -> Source:
    """The source of a name; one object for each name, version and domain in a process.

    Args:
        name: one of `SOURCES`.
        version: which edition of its tasks, 1.0 being "1.0"; None for the source's default.
        domain: which kind of shop.

    Raises:
        InvalidValueError: unknown source, version or domain.
    """
    if name not in SOURCES:
        raise unknown("source", name, SOURCES)
    kind = SOURCES[name]
    if domain not in kind.domains:
        raise unknown("domain", domain, kind.domains)
    version = str(version) if isinstance(version, float) else version
    return _made(kind, kind.check_version(version), domain)


def source_class(task: Task) -> type[Source]:
    """The class of a task's source; that of a source nobody registered is the base of all."""
    return SOURCES.get(task.source, Source)


def source_of(task: Task) -> Source:
    """The source of a task, in the task's version.

    Raises:
        InvalidValueError: its source or version is not known.
    """
    return get_source(task.source, task.version, task.domain)


def open_shop(source: str, version: str | float | None = None) -> Shop:
    """The shop of a source; one per process, shared by its episodes and threads.

    Args:
        source: one of `SOURCES`.
        version: which edition of its tasks; None for the source's default.

    Raises:
        InvalidValueError: unknown source or version.
        MissingDependencyError: upstream's package, or one that it imports, is not installed.
    """
    return get_source(source, version).shop()


@functools.cache
def _made(kind: type[Source], version: str | None, domain: str) -> Source:
    return kind(version, domain)
