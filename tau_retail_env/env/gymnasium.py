"""What Gymnasium's checker and wrappers want of an environment; gymnasium itself need not be installed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tau_retail_env.errors import MissingDependencyError

if TYPE_CHECKING:
    Base = object
else:
    try:
        from gymnasium import Env
        from gymnasium.utils import seeding
    except ImportError:
        Base = object
    else:

        class Base(Env):
            """Gymnasium's environment; its generator is made when somebody asks for it, for nothing here draws."""

            @functools.cached_property
            def _np_random(self) -> Any:
                return seeding.np_random(self._np_random_seed)[0]


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
    """Seed the generator that Gymnasium's checker wants of an environment.

    Args:
        env: the environment.
        seed: of the episode.
    """
    if HAS_GYMNASIUM:
        vars(env).pop("_np_random", None)
        env._np_random_seed = seed
