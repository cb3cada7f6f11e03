"""Compose one configuration from Hydra's YAML files and `key=value` overrides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.config.resolvers import RESOLVERS
from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.models.shipped import default_config_folder
from tau_retail_env.urls import without_secrets

PLAIN_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")


def config_names(folder: Path) -> list[str]:
    """Names of the configurations in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def compose(name: str, *, folder: str | Path | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Compose a configuration and resolve every `${…}`.

    Args:
        name: file name of the configuration, with or without .yaml.
        folder: folder of the YAML files, against the working folder; None takes the shipped ones.
        overrides: Hydra overrides, such as "max_steps=3"; a key may be new to the YAML, checks come later.

    Returns:
        The configuration as plain dicts, lists and scalars; in the place of a key in a server's address stands the
        name of a variable that holds it.

    Raises:
        InvalidValueError: unknown folder or name, an override or a YAML file that cannot be read,
            an interpolation that leads nowhere.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from tau_retail_env.users.llm.address import with_hidden_keys  # late: `doctor` reads this module without pydantic

    for resolver, call in RESOLVERS.items():
        OmegaConf.register_new_resolver(resolver, call, replace=True)
    path = Path(folder).expanduser().resolve() if folder is not None else default_config_folder()
    stem = name.removesuffix(".yaml")
    if not path.is_dir():
        raise InvalidValueError(f"There is no folder of configurations {path}; give one with --config-path DIR")
    if not (path / f"{stem}.yaml").is_file():
        raise unknown("config name", stem, config_names(path))
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir=str(path), version_base=None):
            composed = hydra_compose(stem, overrides=[_adding(override, path) for override in overrides])
            values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:  # a number for a block: ValueError
        reason = _reason(error)
        text = f"{stem}.yaml with {list(overrides)} cannot be composed: {reason}"
        raise InvalidValueError(without_secrets(text)) from error
    if not isinstance(values, Mapping):
        raise InvalidValueError(f"{stem}.yaml holds {type(values).__name__}, expected keys and values")
    return {str(key): value for key, value in with_hidden_keys(values).items()}


def to_yaml(values: Mapping[str, Any]) -> str:
    """A composed configuration as YAML text."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(dict(values)))


def _reason(error: Exception) -> str:
    """What went wrong, in one line; of a resolver's arguments in our own words, since OmegaConf says it in Python's."""
    if told := [cause for cause in _causes(error) if isinstance(cause, InvalidValueError)]:
        return str(told[-1])
    node = getattr(error, "child_node", None)
    if str(error).startswith("TypeError raised while resolving") and node is not None:  # of Hydra's `now`, for one
        return f"{node._get_full_key(None)}: found {node._value()}, which is given other arguments than it takes"
    return " ".join(str(error).split())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def _adding(override: str, folder: Path) -> str:
    """Let a plain override bring a key that the YAML leaves at its default (Hydra's `++`)."""
    found = PLAIN_OVERRIDE.match(override)
    is_group = (folder / override.split("=", 1)[0].split("@", 1)[0]).is_dir()
    return f"++{override}" if found and not is_group and not override.startswith("hydra") else override
