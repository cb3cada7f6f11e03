"""The environment under its name in gem's registry, from which ROLL makes environments."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tau_retail_env.errors import InvalidValueError, MissingDependencyError

if TYPE_CHECKING:
    from tau_retail_env.env import TauRetailEnv

REGISTRY = "gem.envs.registration"
"""gem's module in which environments are registered."""
ENVIRONMENT_ID = "tau_retail"
"""What `env_type` under custom_envs says."""
ENTRY_POINT = "tau_retail_env.roll.registration:make_environment"


def register_beside_gem() -> None:
    """Register `tau_retail` where gem is imported already, else as soon as it is; gem itself is not imported for it.

    The configuration of ROLL is checked with this package, and often where there is no gem.
    """
    if REGISTRY in sys.modules and sys.modules[REGISTRY] is not None:
        register_environment()
    elif not any(isinstance(finder, _WhenGemComes) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenGemComes())


class _WhenGemComes(MetaPathFinder):
    """Sees the import of gem's registry, and registers after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != REGISTRY:
            return None
        # Or looking for the real module would end up here again.
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                register_environment()

            setattr(spec.loader, "exec_module", execute_and_register)  # noqa: B010 — mypy refuses the plain way
        return spec


def register_environment() -> None:
    """Register `tau_retail` with gem, once in a process; doing it again changes nothing.

    Raises:
        MissingDependencyError: gem is not installed, or another package has its name.
        InvalidValueError: somebody else has registered that name.
    """
    try:
        from gem.envs.registration import ENV_REGISTRY, register
    except ImportError as error:
        raise MissingDependencyError(
            f"ROLL makes its environments with gem, which cannot be imported ({error}); "
            "requirements-roll.txt names the version that ROLL needs (gem-llm)"
        ) from error
    known = ENV_REGISTRY.get(ENVIRONMENT_ID)
    if known is None:
        register(ENVIRONMENT_ID, entry_point=ENTRY_POINT)
    elif known.entry_point != ENTRY_POINT:
        raise InvalidValueError(
            f"gem already knows an environment {ENVIRONMENT_ID!r} from {known.entry_point!r}, expected "
            f"{ENTRY_POINT!r}: remove that registration"
        )


def make_environment(**settings: Any) -> TauRetailEnv:
    """Make an environment as ROLL asks gem for it.

    Args:
        settings: `env_config` of a block under custom_envs: arguments of `TauRetailEnv`, in OmegaConf's containers or
            plain ones.

    Raises:
        InvalidValueError: a setting that `TauRetailEnv` does not take or cannot use.
    """
    from tau_retail_env.env import TauRetailEnv

    plain = {name: plain_value(value) for name, value in settings.items()}
    try:
        return TauRetailEnv(**plain)
    except TypeError as error:
        raise InvalidValueError(f"env_config of env_type {ENVIRONMENT_ID}: {error}") from error


def plain_value(value: Any) -> Any:
    """A value without OmegaConf's containers: mappings become dict, lists become list."""
    if isinstance(value, Mapping):
        return {str(name): plain_value(item) for name, item in value.items()}
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        return [plain_value(item) for item in value]
    return value
