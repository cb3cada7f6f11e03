"""Checks before a run with ROLL touches a GPU: ROLL, GPUs, tasks, tokenizer, customers."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import multiprocessing
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tau_retail_env.blocks import raise_if
from tau_retail_env.config.environments import prompt_styles
from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.config.users import check_servers
from tau_retail_env.episodes.encoders import make_encoder
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.roll import run_tasks
from tau_retail_env.roll.backends import missing_packages
from tau_retail_env.roll.config.check import RollConfig, version_wanted
from tau_retail_env.roll.config.package import install_arguments, look_at, missing_modules
from tau_retail_env.roll.config.rules import RollValues, without_room
from tau_retail_env.roll.preload import import_rolls_packages, in_background
from tau_retail_env.roll.run_tasks import Loaded, load_into, memory_files, read
from tau_retail_env.runs.interruption import SIGNALS, signals_held_back
from tau_retail_env.runs.trackers import check_tracker

INSTALL = "./run_tau_retail_pipeline.sh --setup-only makes .venv-roll with it on a machine with a GPU"

IMPORTED_IN_WORKERS = ("workers", "environment_worker", "env_manager", "group_filter")
"""Our modules that ROLL imports in its actors by name; it logs their errors there, and continues with None."""

ASK_FOR_CARDS = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
"""Command that lists the MiB of each GPU."""

PARENT_S = 1.0
"""Seconds between two looks of a forked process whether its parent lives."""


def preflight(
    config: RollConfig, *, attention: str | None = None, begin: Callable[[], object] = lambda: None
) -> dict[str, Loaded]:
    """Refuse a run that cannot work here. Tasks are counted beside all that is imported, and beside nvidia-smi.

    Args:
        config: the checked configuration.
        attention: actor_train.model_args.attn_implementation.
        begin: begins what takes its time beside that, once the quick looks have passed.

    Returns:
        The tasks of each tag that is played.

    Raises:
        TauRetailError: what is missing or does not fit, and what to do.
    """
    check_installation(config)
    check_tracker(config.track_with, beside_roll=True)
    if attention == "fa2" and importlib.util.find_spec("flash_attn") is None:
        raise MissingDependencyError(
            "attn_implementation: fa2 needs flash-attn, which is not installed; use attn_implementation: sdpa"
        )
    begin()
    with counting(config) as counted:
        asking = in_background(smallest_card_gib)
        check_gpus(config)
        check_tokenizer(config)
        check_model(config)
        check_servers(config.custom_envs, config.train_tags + config.val_tags)
        import_rolls_packages()
        asking.join()
        return counted()


def roll_folder() -> Path:
    """Folder of Alibaba's package `roll`; nothing is imported.

    Raises:
        MissingDependencyError: there is none, or another package has its name.
    """
    found = importlib.util.find_spec("roll")
    if found is None:
        raise MissingDependencyError(f"engine: roll needs ROLL, which is not installed: {INSTALL}")
    package = look_at(Path(folder) for folder in found.submodule_search_locations or ())
    if package and package.is_alibabas:
        return package.folder
    where = package.folder if package else found.origin
    raise MissingDependencyError(
        f"The package `roll` in {where} is not Alibaba's ROLL (PyPI has an unrelated one of that name): "
        f"pip uninstall roll, then install requirements-roll.txt; {INSTALL}"
    )


def check_installation(config: RollConfig) -> None:
    """Refuse a ROLL without the strategies that are wanted, or without what these import.

    Raises:
        MissingDependencyError: no ROLL, another package, one that is not whole, a version without a strategy, or no
            package that a strategy needs.
    """
    folder = roll_folder()
    schema = RollSchema.load(config.version)
    if left_out := missing_modules(folder):
        raise MissingDependencyError(
            f"The ROLL in {folder} is not whole, as the wheel that it makes of itself is not: its environment workers "
            f"import {' and '.join(left_out)}. Install it as a checkout: pip uninstall roll, then "
            f"pip {install_arguments(schema.commit)}"
        )
    known = _strategies(folder)
    missing = [name for name in config.strategies if name not in known]
    if missing:
        raise MissingDependencyError(
            f"The ROLL in {folder} has no {' and no '.join(missing)} (it has {', '.join(known)}). "
            f"This configuration is for ROLL {schema.version} (commit {schema.commit[:8]}): "
            + (
                "TAU_RETAIL_UNPROVEN=1 ./run_tau_retail_pipeline.sh makes .venv-roll-deepspeed with that tag"
                if config.version != "main"
                else "install requirements-roll.txt"
            )
            + ", or choose another by train=fsdp2"
        )
    if packages := missing_packages(config.strategies, folder, schema.commit):
        raise MissingDependencyError(" ".join(packages))


def check_gpus(config: RollConfig) -> None:
    """Refuse too few GPUs. Those of a cluster that the run joins are counted when it has joined.

    Raises:
        InvalidValueError: fewer are visible than device_mapping names; or none where the run joins a cluster, since
            ROLL takes the number of those that are visible here for that of every machine.
    """
    visible = visible_gpus()
    if os.environ.get("RAY_ADDRESS"):
        if visible == 0:
            raise InvalidValueError(
                "RAY_ADDRESS names a cluster, but no GPU is visible here, and ROLL takes the number of GPUs of this "
                "machine for that of every machine: start the run on one of the cluster's GPU machines"
            )
        return
    if visible < config.num_gpus:
        raise InvalidValueError(
            f"device_mapping names {config.num_gpus} GPUs, but {visible} are visible here (CUDA_VISIBLE_DEVICES): "
            f"{_remedy(visible)}. A device_mapping that names its GPUs one by one must be changed, too"
        )


def _remedy(visible: int) -> str:
    """What to set where a shipped file wants more GPUs: their batches are divided by powers of two."""
    if visible < 2:
        return "use --config-name tau_retail_1gpu for one GPU, tau_retail_local for none"
    return f"set num_gpus_per_node={2 ** (visible.bit_length() - 1)}"


def check_cluster(config: RollConfig, resources: Mapping[str, float]) -> None:
    """Refuse a Ray with too few GPUs.

    Args:
        config: the checked configuration.
        resources: what Ray says it has.

    Raises:
        InvalidValueError: fewer GPUs than device_mapping names.
    """
    if (found := int(resources.get("GPU", 0))) < config.num_gpus:
        raise InvalidValueError(
            f"device_mapping names {config.num_gpus} GPUs, but this Ray has {found}: lower num_nodes or "
            "num_gpus_per_node, or start Ray on more machines"
        )


def check_memory(values: Mapping[str, Any], card_gib: float | None = None, whose: str = "") -> None:
    """Refuse a run that cannot fit on the smallest card, or that divides its model as it cannot be divided.

    Args:
        values: the configuration as composed and checked; a model whose shape is not known here is not looked at.
        card_gib: GiB of the smallest card; None for this machine's, as nvidia-smi says.
        whose: added to the word memory where something does not fit.

    Raises:
        InvalidValueError: what does not fit, and what to change.
    """
    from tau_retail_env.models.shapes import shape_of
    from tau_retail_env.roll.config.device_rules import check_heads
    from tau_retail_env.roll.config.memory import memory

    card_gib = smallest_card_gib() if card_gib is None else card_gib
    config = RollValues(values, RollSchema.load(version_wanted(values)))
    try:
        shape = shape_of(str(config("pretrain")))
    except InvalidValueError:
        return
    raise_if(list(check_heads(config, shape)))
    if card_gib is None or config.strategy("actor_train") != "fsdp2_train":
        return
    needed = memory(config, shape)
    # CUDA's own was measured on one machine: it refuses nothing.
    problems = needed.problems(card_gib, forgiven_gib=needed.contexts)
    raise_if([f"memory{whose}: {problem}" for problem in problems])


def with_engines(values: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with as many rollout workers as there are to be engines.

    Args:
        values: as composed and checked.
    """
    from tau_retail_env.models.shapes import shape_of
    from tau_retail_env.roll.engines import several_engines

    shape = None
    with suppress(InvalidValueError):
        shape = shape_of(str(values["pretrain"]))
    return several_engines(values, shape, smallest_card_gib())


@functools.cache
def smallest_card_gib() -> float | None:
    """GiB of the smallest GPU of this machine; None without nvidia-smi, which is asked once."""
    try:
        return smallest_of(subprocess.run(ASK_FOR_CARDS, capture_output=True, text=True, timeout=30, check=True).stdout)
    except (OSError, subprocess.SubprocessError):
        return None


def smallest_of(said: str) -> float | None:
    """GiB of the smallest GPU in nvidia-smi's answer to `ASK_FOR_CARDS`; None where it names none."""
    try:
        return min(float(line) for line in said.splitlines() if line.strip()) / 1024
    except ValueError:
        return None


def check_model(config: RollConfig) -> None:
    """Look at the actor's configuration and at its files, before any worker loads them.

    Raises:
        InvalidValueError: there is none, a file is not whole, or the run does not suit it.
    """
    from tau_retail_env.models.checks import check_pretrained

    styles = prompt_styles(config.custom_envs, config.train_tags + config.val_tags)
    check_pretrained(checkpoint(config.pretrain), prompt_styles=styles, sequence_length=config.sequence_length)


def import_what_workers_import() -> None:
    """Import here what ROLL's actors will import, before any of them starts.

    Raises:
        MissingDependencyError: a module is missing, or one of another version is there.
    """
    for name in IMPORTED_IN_WORKERS:
        try:
            importlib.import_module(f"tau_retail_env.roll.{name}")
        except ImportError as error:
            missing = f"the module {error.name!r}" if error.name else "a module"
            raise MissingDependencyError(
                f"ROLL's workers import {missing}, which is missing here or of another version ({error}): "
                "install requirements-roll.txt; tau-retail doctor compares what is installed with it"
            ) from error


def visible_gpus() -> int:
    """CUDA devices that this process may use; 0 without torch."""
    if importlib.util.find_spec("torch") is None:
        return 0
    import torch

    return int(torch.cuda.device_count())


def count_tasks(config: RollConfig) -> dict[str, int]:
    """Load the tasks of every tag that is played, on all CPUs: a generated series takes seconds.

    Returns:
        Their number, by tag.

    Raises:
        MissingDependencyError: the source is not here.
        InvalidValueError: an empty selection, or an evaluation that asks for more tasks than there are.
    """
    with counting(config) as counted:
        return {tag: loaded.number for tag, loaded in counted().items()}


@contextmanager
def counting(config: RollConfig) -> Iterator[Callable[[], dict[str, Loaded]]]:
    """Count tasks in forked processes beside what runs within; they end with it, also where it fails.

    Args:
        config: the checked configuration.

    Yields:
        What waits for the tasks of each tag and raises as `count_tasks` does.
    """
    tags = tuple(dict.fromkeys(config.train_tags + config.val_tags))

    def counted() -> dict[str, Loaded]:
        loaded = all_loaded()
        raise_if(
            [
                f"val_batch_size: an evaluation asks tag {tag!r} for {places} tasks, but there are "
                f"{loaded[tag].number}; use val_batch_size=-1 for all of them, or fewer val_env_manager.num_env_groups"
                for tag, places in config.val_places.items()
                if places > loaded[tag].number
            ]
        )
        return loaded

    with _loading(config, tags) as all_loaded:
        yield counted


def check_tokenizer(config: RollConfig) -> None:
    """Load the actor's tokenizer and encode what every episode starts with.

    Raises:
        InvalidValueError: it cannot be had, has no chat template or one that leaves the tools out, pads with the token
            that ends a turn, or the prompt leaves no room for a message.
    """
    tokenizer = _tokenizer(config.pretrain)
    raise_if(list(_without_room(config, tokenizer)))


def _strategies(folder: Path) -> list[str]:
    """Strategies that a ROLL knows, read from its source."""
    text = (folder / "configs" / "worker_config.py").read_text(encoding="utf-8")
    literal = re.search(r"strategy_name: *Literal\[(.*?)\]", text, re.DOTALL)
    return re.findall(r"\"(\w+)\"", literal.group(1)) if literal else []


@contextmanager
def _loading(config: RollConfig, tags: Sequence[str]) -> Iterator[Callable[[], dict[str, Loaded]]]:
    """Begin to load in forked processes; in this one where one of them ends early, so that what ended it is seen."""
    others = multiprocessing.active_children()
    at_once, fork = min(len(tags), os.cpu_count() or 1), multiprocessing.get_context("fork")
    begun: Iterator[int] | None = None

    def all_loaded() -> dict[str, Loaded]:
        if begun is not None:
            with suppress(BrokenProcessPool):  # killed, such as for its memory, or its error cannot be sent
                return {tag: Loaded(number, read(files[tag])) for tag, number in zip(tags, begun, strict=True)}
        return {tag: run_tasks.load(config, tag) for tag in tags}

    with memory_files(tags) as files, ProcessPoolExecutor(at_once, fork, _end_with, (os.getpid(),)) as processes:
        # Until they have their own ways with signals, they would answer as this one does.
        with suppress(BrokenProcessPool), signals_held_back():  # killed before all was handed out
            begun = processes.map(partial(load_into, files, config), tags)
        try:
            yield all_loaded
        except BaseException:  # nobody waits for the tasks any more
            for process in set(multiprocessing.active_children()).difference(others):
                process.terminate()
            raise


def _end_with(parent: int) -> None:
    """Have a forked process end without a word at Ctrl-C and SIGTERM, and soon after its parent was killed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _tokenizer(pretrain: str) -> Any:
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(checkpoint(pretrain))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InvalidValueError(
            f"pretrain: the tokenizer of {pretrain!r} cannot be loaded ({reason}). "
            "Give a folder with weights and tokenizer, a Hugging Face name, or small"
        ) from error
    except AttributeError as error:  # transformers 4 expects a dict where 5 writes the list of extra special tokens
        raise InvalidValueError(
            f"pretrain: the tokenizer of {pretrain!r} cannot be loaded by transformers {transformers.__version__} "
            f"({error}): it was saved by a newer one. Give a model that this one reads, such as Hugging Face's, or "
            "choose train=fsdp2 and infer=vllm, whose environment has the newer one"
        ) from error


def _without_room(config: RollConfig, tokenizer: Any) -> Iterator[str]:
    starts = {}
    for tag in dict.fromkeys((*config.train_tags, *config.val_tags)):
        env = config.custom_envs[tag].env_config
        encoder = make_encoder(
            tokenizer, env.source, env.prompt_style, task_version=env.task_version, needs_own_padding=True
        )
        starts[tag] = (env.source, env.prompt_style, len(encoder.prefix))
    yield from without_room(starts, message=config.longest_message, sequence_length=config.sequence_length)
