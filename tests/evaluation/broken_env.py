"""An environment with a fault, for processes that find it by its name."""

from typing import Any

from tau_retail_env import TauRetailEnv, load_tasks


class BrokenEnv(TauRetailEnv):
    """Fails at the first message."""

    def step(self, action: Any) -> Any:
        """Fail."""
        raise KeyError("broken")


def make_broken_env() -> BrokenEnv:
    """One for the first generated test task."""
    return BrokenEnv("generated", tasks=load_tasks("generated", "test")[:1], prompt_style="minimal")
