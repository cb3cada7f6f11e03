"""tau-retail: train and judge customer-service agents on τ-bench retail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tau_retail_env.env import TauRetailEnv
    from tau_retail_env.sources import load_tasks

__all__ = ["TauRetailEnv", "load_tasks"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the two public names when they are first asked for, so that importing the package costs nothing."""
    if name == "TauRetailEnv":
        from tau_retail_env.env import TauRetailEnv

        return TauRetailEnv
    if name == "load_tasks":
        from tau_retail_env.sources import load_tasks

        return load_tasks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
