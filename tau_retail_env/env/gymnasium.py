"""What Gymnasium's checker and wrappers want of an environment; gymnasium itself need not be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tau_retail_env.errors import MissingDependencyError

if TYPE_CHECKING:
    Base = object
else:
    try:
        from gymnasium import Env as Base
    except ImportError:
        Base = object

HAS_GYMNASIUM = Base is not object
"""Whether environments are derived from `gymnasium.Env`, which wrappers ask for."""


def text_space() -> Any:
    """The space of observations, and that of actions.

    Raises:
        MissingDependencyError: gymnasium is not installed.
    """
    try:
        from tau_retail_env.env.text_space import AnyText
    except ImportError as error:
        raise MissingDependencyError(
            f"An environment's spaces are those of Gymnasium: {error}. Install it with: pip install gymnasium"
        ) from error
    return AnyText()


def note_seed(env: Any, seed: int) -> None:
    """Seed the generator that Gymnasium's checker wants of an environment; nothing here draws from it.

    Args:
        env: the environment.
        seed: of the episode.
    """
    if HAS_GYMNASIUM:
        parent: Any = Base
        parent.reset(env, seed=seed)
