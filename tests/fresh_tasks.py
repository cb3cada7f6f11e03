"""A process that has loaded no tasks, for a test."""

from __future__ import annotations

import functools

import pytest

from tau_retail_env.sources import load


def forget_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process load, check and be brought its tasks anew.

    Args:
        monkeypatch: what was known is known again when it ends.
    """
    for name in ("_all_tasks", "_file_tasks", "_selected_tasks", "_check_selection"):
        monkeypatch.setattr(load, name, functools.lru_cache(getattr(load, name).__wrapped__))
    monkeypatch.setattr(load, "_brought", functools.cache(dict))
