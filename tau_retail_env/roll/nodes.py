"""A run over several machines: what the driver's shell sets reaches every worker, and a lost machine ends it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tau_retail_env.roll.config.check import RollConfig
from tau_retail_env.roll.machines import alive, check_machines
from tau_retail_env.users.llm.address import ADDRESS, variables_of

HANDED_ON = ("CUDA_", "HF_", "NCCL_", "TAU2_BENCH_", "TAU_BENCH_", "TORCH_", "TRANSFORMERS_", "VLLM_", "GLOO_")
"""How variables begin that every worker gets as the driver has them, in a cluster that the run joins as well."""
NOT_HANDED_ON = ("CUDA_VISIBLE_DEVICES",)
"""ROLL sets it for each worker."""
SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD")
"""Words in the names of variables that Ray must not write into its logs."""
DEFAULT_KEY = "OPENAI_API_KEY"
"""Where a customer behind an API looks that names no other variable."""
KEYS = "tau_retail_keys"
"""Name of the actor that holds the customers' keys; they lie in its memory alone."""
LOOK_S = 10.0
"""Seconds between two looks at the cluster's machines."""
AFTER_ERROR_S = 0.5
"""Seconds between two looks after an error."""


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What of the driver's environment every worker gets.

    Args:
        environment: the driver's.

    Returns:
        Variables by name, no secrets among them.
    """
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(HANDED_ON) and name not in NOT_HANDED_ON and not any(word in name for word in SECRET)
    }


def hold_keys(names: Sequence[str]) -> Any:
    """Have an actor hold the keys of customers and judges for environment workers on all machines.

    Args:
        names: of environment variables; those that are not set are left out.

    Returns:
        The actor, which ends with the last reference to it; None where there is nothing to hold.
    """
    import ray

    held = {name: os.environ[name] for name in names if os.environ.get(name)}
    if not held:
        return None
    keeper = ray.remote(Keys).options(name=KEYS, num_cpus=0).remote(held)
    ray.get(keeper.names.remote())
    return keeper


class Keys:
    """Keys by the names of their variables.

    Args:
        held: key by name.
    """

    def __init__(self, held: Mapping[str, str]) -> None:
        self._held = dict(held)

    def names(self) -> list[str]:
        """Of the variables."""
        return sorted(self._held)

    def give(self) -> dict[str, str]:
        """All of them."""
        return dict(self._held)


def take_keys() -> None:
    """Put the keys that the driver holds into this process's environment, where it has none of that name."""
    import ray

    with suppress(ValueError):  # nobody holds any
        for name, key in ray.get(ray.get_actor(KEYS).give.remote()).items():
            os.environ.setdefault(name, key)


def key_names(envs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The variables in which customers and judges look for their keys, and those that their addresses name.

    Args:
        envs: `env_config` of each block under custom_envs.
    """
    blocks = [env.get(name) or {} for env in envs for name in ("user_config", "nl_judge_config")]
    keys = {str(block.get("api_key_env", DEFAULT_KEY)) for block in blocks}
    return sorted(keys.union(*(variables_of(str(block.get(ADDRESS, ""))) for block in blocks)))


@contextmanager
def together(
    config: RollConfig, values: Mapping[str, Any], output_dir: Path, say: Callable[[str], None], end: Callable[[], None]
) -> Iterator[None]:
    """What a run needs in a cluster that it has joined, while it lasts; nothing where Ray is the run's own.

    Args:
        config: the checked configuration.
        values: the same as composed.
        output_dir: the run's folder.
        say: takes each line for the screen.
        end: ends the run at once, called where a machine is gone.

    Raises:
        InvalidValueError: a machine does not see what all must share, or its card is too small.
    """
    if not os.environ.get("RAY_ADDRESS"):
        yield
        return
    check_machines(config, values, output_dir)
    keeper = hold_keys(key_names(env.env_config.model_dump() for env in config.custom_envs.values()))
    with watched(say, end=end):
        yield
    # Ray ends an actor with its last reference: it is held until here.
    del keeper


@contextmanager
def watched(
    say: Callable[[str], None],
    look_s: float = LOOK_S,
    end: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM),
) -> Iterator[None]:
    """End the run, as SIGTERM does, when a machine that it began with is gone: others would wait for it for hours.

    An error of what runs within may be the first sign of it, such as that of a call to an actor of that machine. Then
    the machines are looked at for as long as the next look would have taken to come, and the run ends the same way if
    one is gone.

    Args:
        say: takes the line that names the machine.
        look_s: seconds between two looks.
        end: ends the run, called in another thread, or in this one after an error.

    Raises:
        Exception: the error of what runs within, where no machine is gone.
    """
    began, over = alive(), threading.Event()

    def is_ended() -> bool:
        try:
            now = alive()
        except Exception:  # of Ray's: it does not answer just now, or has been shut down; the next look may be answered
            return False
        if lost := [address for name, address in began.items() if name not in now]:
            say(f"[tau-retail] machine {', '.join(lost)} of the cluster is gone: the run ends")
            end()
        return bool(lost)

    def watch() -> None:
        while not over.wait(look_s):
            if is_ended():
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    except Exception:
        over.set()
        thread.join()  # one of the two ends the run
        until = time.monotonic() + look_s
        while not is_ended() and time.monotonic() < until:
            time.sleep(AFTER_ERROR_S)
        raise
    finally:
        over.set()
        thread.join()
