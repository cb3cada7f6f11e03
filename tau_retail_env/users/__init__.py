"""Who asks: the user simulators, one file or folder per kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tau_retail_env.sources import Source, get_source
from tau_retail_env.users.base import OUT_OF_SCOPE, STOP, TRANSFER, UserError, UserMessage, UserSimulator, UserStrategy
from tau_retail_env.users.spec import API_STRATEGIES, USER_STRATEGIES, UserSpec, user_weights

if TYPE_CHECKING:
    from tau_retail_env.users.scripted import ScriptedUser

__all__ = [
    "API_STRATEGIES",
    "OUT_OF_SCOPE",
    "STOP",
    "TRANSFER",
    "USER_STRATEGIES",
    "ScriptedUser",
    "UserError",
    "UserMessage",
    "UserSimulator",
    "UserSpec",
    "UserStrategy",
    "check_user",
    "make_user",
    "user_weights",
]


def __getattr__(name: str) -> Any:
    """Import the scripted customer when it is first asked for: checking a configuration needs no customer."""
    if name == "ScriptedUser":
        from tau_retail_env.users.scripted import ScriptedUser

        return ScriptedUser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def make_user(
    strategy: str | Mapping[str, float],
    config: Mapping[str, Any] | None,
    shop: Mapping[str, Any],
    *,
    model: str | None = None,
    source: str | Source = "tau2",
) -> UserSimulator:
    """Make the customer of a strategy, or a mixture; no server is asked anything.

    Args:
        strategy: one of `USER_STRATEGIES`; or the weight of each that is to play, as {"scripted": 0.7, "llm": 0.3}.
        config: settings of the customer: `phrasings` (one of `PHRASINGS`) is the scripted one's, all others are those
            of `ApiSettings`. A key of a kind that does not play is an error.
        shop: the shop's database as plain JSON, read only.
        model: the model behind an API customer.
        source: where the tasks come from, as an object or by name: it decides whose simulator an API customer is.

    Raises:
        InvalidValueError: an unknown strategy, key or value, weights that do not sum to 1, a model that is missing or
            that nobody needs.
        MissingDependencyError: a package that the customer needs is not installed.
    """
    spec = UserSpec.read(strategy, config, model)
    origin = source if isinstance(source, Source) else get_source(source)
    customers = {name: _make(name, spec, shop, origin) for name in spec.weights}
    if isinstance(strategy, str):
        return customers[strategy]
    from tau_retail_env.users.mixed import MixedUser

    return MixedUser(customers, spec.weights)


def check_user(
    strategy: str | Mapping[str, float], config: Mapping[str, Any] | None, *, model: str | None = None
) -> None:
    """Make sure, before the first episode, that the server of an API customer can be used; others need no check.

    Args:
        strategy: as `make_user` takes it.
        config: settings of the customer, as `make_user` takes them.
        model: the model behind an API customer.

    Raises:
        InvalidValueError: whatever `make_user` raises it for.
        UserSetupError: no key, a wrong key, an unknown model, a server that cannot be reached.
        MissingDependencyError: the package openai is not installed.
    """
    settings = UserSpec.read(strategy, config, model).api
    if settings is not None:
        from tau_retail_env.users.llm.endpoint import Endpoint

        Endpoint(settings).check()


def _make(name: str, spec: UserSpec, shop: Mapping[str, Any], source: Source) -> UserSimulator:
    if name == UserStrategy.SCRIPTED:
        from tau_retail_env.users.scripted import ScriptedUser

        return ScriptedUser(shop, phrasings=spec.phrasings)
    if name == UserStrategy.HUMAN:
        from tau_retail_env.users.human import HumanUser

        return HumanUser(source=source)
    from tau_retail_env.users.llm.endpoint import Endpoint
    from tau_retail_env.users.llm.simulators import ApiUser

    assert spec.api is not None, "an API customer plays"
    return ApiUser(name, Endpoint(spec.api), source=source)
