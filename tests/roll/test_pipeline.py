"""ROLL's whole pipeline with real Ray, FSDP2, Megatron and vLLM on the CPU: PPO, and GRPO on two devices, stopped and
resumed."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.roll.backends import is_importable
from tau_retail_env.roll.summary import read_validations
from tau_retail_env.runs.trajectories import read_trajectories

REMEDY = "how to make an environment for it: docs/roll.md, Running these tests"
LIMIT_S = 1800
TIMED_OUT = 124
ENDING_S = 10
MARK = "TAU_RETAIL_PIPELINE_TEST"
"""Environment variable that every process of the run inherits; its value is the run's folder."""
STEPS, MORE_STEPS = 1, 1
LAST = STEPS + MORE_STEPS
"""ROLL's last step, from 0; the first start ends with step `STEPS`."""
GROUPS, GROUP_SIZE, TASKS = 4, 2, 4
UPDATES = 2
"""Optimizer steps in one of ROLL's."""
BATCH = GROUPS * GROUP_SIZE
TINY = (
    f"rollout_batch_size={BATCH}",
    f"train_env_manager.num_env_groups={GROUPS}",
    f"train_env_manager.group_size={GROUP_SIZE}",
    f"val_env_manager.num_env_groups={TASKS}",
    "actor_infer.strategy_args.strategy_config.enforce_eager=true",  # a CPU has no graphs, and compiles for minutes
    "eval_steps=1",
    "save_steps=1",
    "actor_train.training_args.learning_rate=2.0e-4",
    f"actor_train.training_args.per_device_train_batch_size={BATCH // UPDATES}",
    "actor_train.training_args.gradient_accumulation_steps=1",
    f"actor_train.infer_batch_size={BATCH}",
    f"reference.infer_batch_size={BATCH}",
)
TINY_PPO = (
    "engines_per_gpu=2",  # each gets the weights that have learnt
    f"val_batch_size={TASKS}",
    "critic_warmup=0",
    f"critic.training_args.per_device_train_batch_size={BATCH // UPDATES}",
    "critic.training_args.gradient_accumulation_steps=1",
    f"critic.infer_batch_size={BATCH}",
)
TINY_MEGATRON = ("train=megatron", *TINY_PPO[1:])
TINY_AHEAD = ("async_generation_ratio=1", "+train_infer_correction.is_weight.enabled=true", *TINY_PPO[1:])
TRIALS = 2
GRPO_GROUPS = 2 * GROUPS
"""A quarter of them hold a signal: with as few as PPO has one run in ten learns nothing."""
GRPO_BATCH = GRPO_GROUPS * GROUP_SIZE
TINY_GRPO = (
    f"rollout_batch_size={GRPO_BATCH}",
    f"train_env_manager.num_env_groups={GRPO_GROUPS}",
    "filter_groups=true",
    f"actor_train.infer_batch_size={BATCH // UPDATES}",  # what is kept is a multiple of these, too
    f"reference.infer_batch_size={BATCH // UPDATES}",
    f"val_batch_size={TASKS * TRIALS}",
    f"val_env_manager.group_size={TRIALS}",
    "actor_train.training_args.warmup_steps=0",
)
VARIABLES = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": str(os.cpu_count()),
    "HF_HUB_OFFLINE": "1",
    "PYTHON": sys.executable,
    "STEPS": str(STEPS),
    "MORE_STEPS": str(MORE_STEPS),
}
DROPPED = {"RAY_ADDRESS", "ROLL_LOG_DIR", "CUDA_VISIBLE_DEVICES"}  # the last is empty in these tests: Ray would refuse


@dataclass(frozen=True)
class Run:
    """What a run of two starts has left."""

    folder: Path
    """Its output_dir."""
    output: str
    """What both starts said."""
    status: int
    """Exit status of the second, or of the first if that failed."""
    left: tuple[str, ...]
    """Command lines of the processes that outlived it."""

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Its metrics."""
        return [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]

    def numbers(self, name: str) -> list[Any]:
        """A metric at every step."""
        return [row.get(name) for row in self.rows]

    def episodes(self, mode: str) -> list[Trajectory]:
        """The trajectories of one mode, in the order of ROLL's steps."""
        files = (self.folder / "trajectories").glob(f"{mode}-*.jsonl")
        return sorted((one for file in files for one in read_trajectories(file)), key=lambda one: one.policy_version)

    def checkpoint(self, step: int, role: str) -> Path:
        """Where a role's weights and optimizer are."""
        return self.folder / "checkpoints" / f"checkpoint-{step}" / role / "dcp"


@pytest.fixture(scope="module")
def run(roll: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """PPO on one device."""
    with recorded("ppo", TINY_PPO, tmp_path_factory.mktemp("ppo"), roll, repository, gpus=1) as one:
        yield one


@pytest.fixture(scope="module")
def grpo(roll: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """GRPO with rollouts that run ahead, on two devices: one learns, one plays."""
    with recorded("grpo", TINY_GRPO, tmp_path_factory.mktemp("grpo"), roll, repository, gpus=2) as one:
        yield one


@pytest.fixture(scope="module")
def ahead(roll: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """PPO with rollouts that run ahead, on one device that plays and learns in turn."""
    with recorded("ppo", TINY_AHEAD, tmp_path_factory.mktemp("ahead"), roll, repository, gpus=1) as one:
        yield one


@pytest.fixture(scope="module")
def megatron(roll: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """PPO with actor and reference on Megatron, on one device."""
    if not is_importable("megatron.core"):
        pytest.skip("needs megatron-core: requirements-roll-megatron.txt")
    with recorded("ppo", TINY_MEGATRON, tmp_path_factory.mktemp("megatron"), roll, repository, gpus=1) as one:
        yield one


@contextmanager
def recorded(
    algorithm: str, overrides: tuple[str, ...], out: Path, roll: Path, repository: Path, *, gpus: int
) -> Iterator[Run]:
    """What the recording script of GPU runs leaves, tiny, with `on_cpu/` where its GPUs would be; what it left running
    is ended."""
    need_vllm_for_cpus()
    command = [repository / "benchmarks" / "roll_run.sh", algorithm, out, *TINY, *overrides]
    folder = out / "run"
    inherited = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    folders = [str(Path(__file__).parent / "on_cpu"), str(roll), *inherited]
    given = {name: value for name, value in os.environ.items() if name not in DROPPED}
    given |= VARIABLES
    given["RAY_OVERRIDE_RESOURCES"] = json.dumps({"CPU": 16 * gpus, "GPU": gpus})  # Ray wants a CPU for each actor
    if "train=megatron" in overrides:
        given["TAU_RETAIL_ON_CPU"] = "megatron"
    given |= {MARK: str(folder), "PYTHONPATH": os.pathsep.join(folders)}
    said = out / "said.log"
    try:
        status = start(command, given, said)
        left = tuple(line for _, line in left_behind(str(folder)))
        yield Run(folder, said.read_text(), status, left)
    finally:
        for one, _ in left_behind(str(folder)):
            one.kill()


def start(command: list[Any], variables: dict[str, str], said: Path) -> int:
    """Run a command to its end, or to the limit of time, and keep what it says; its exit status."""
    with said.open("w") as file:
        try:
            return subprocess.run(
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_S,
            ).returncode
        except subprocess.TimeoutExpired:
            return TIMED_OUT


def need_vllm_for_cpus() -> None:
    """Skip where vLLM is not there, or is the build for GPUs."""
    versions = []
    for name in ("vllm-cpu", "vllm"):
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    if not any("cpu" in version for version in versions):
        pytest.skip(f"needs vLLM's CPU build: found {', '.join(versions) or 'no vLLM'}; {REMEDY}")


def left_behind(mark: str) -> list[tuple[Any, str]]:
    """Processes that have inherited a run's mark, once they have had time to end, and their command lines."""
    import psutil

    deadline = time.monotonic() + ENDING_S
    while True:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append((process, " ".join(process.cmdline())))
            except psutil.Error:
                continue
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def optimizer_steps(folder: Path) -> set[float]:
    """How many steps Adam has behind it in a checkpoint, of all its parameters."""
    import torch
    from torch.distributed.checkpoint import FileSystemReader, load

    saved = FileSystemReader(folder).read_metadata().state_dict_metadata
    names = [name for name in saved if name.startswith("optimizer.state.") and name.endswith(".step")]
    state = {name: torch.zeros(saved[name].size, dtype=saved[name].properties.dtype) for name in names}
    load(state, storage_reader=FileSystemReader(folder), no_dist=True)
    return {float(value) for value in state.values()}


def test_both_starts_end_well_and_leave_no_process(run):
    assert run.status == 0, run.output[-20000:]
    assert not run.left


def test_the_rows_go_on_after_the_checkpoint(run):
    assert run.numbers("step") == list(range(LAST + 1))
    assert f"going on after step {STEPS}, from" in run.output


def test_kl_is_measured_against_the_model_that_the_run_began_with(run):
    """Until a step had something to learn the actor still is that model and KL exactly 0, then it is not; with ROLL's
    own reference also after a resume."""
    assert all(coefficient > 0 for coefficient in run.numbers("critic/kl_coef"))
    kls, has_learnt = run.numbers("critic/kl"), False  # all of the few episodes of a step may be won
    for kl, highest in zip(kls, run.numbers("critic/advantages/max"), strict=True):
        assert abs(kl) > 1e-6 if has_learnt else kl == 0
        has_learnt |= highest > 0
    assert kls[0] == 0 != kls[-1]


def test_the_engine_plays_with_the_weights_that_have_learnt(run):
    """The weights reach vLLM before each rollout, and after a resume: it gives a token the learner's probability."""
    assert all(abs(value) < 0.002 for value in run.numbers("actor/train_infer_diff_token_mean"))


def test_numbers_of_the_engine_and_of_validations_are_told(run):
    assert all(0 < rate < 1 for rate in run.numbers("vllm/prefix_cache_hit_rate"))
    for name in ("val/env/retail_test/success", "val/env/retail_test/pass^1"):
        assert all(0 <= value <= 1 for value in run.numbers(name))
    assert run.numbers("val/env/retail_test/success") == run.numbers("val/env/retail_test/pass^1")
    assert run.numbers("val/env/retail_test/pass^1_tasks_sum") == [TASKS] * (LAST + 1)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("role", ["", "critic"])
def test_the_optimizer_goes_on_where_it_stopped(run, role):
    """ROLL's own loading leaves Adam's moments and its count of steps at nothing."""
    assert optimizer_steps(run.checkpoint(STEPS, role)) == {UPDATES * (STEPS + 1)}
    assert optimizer_steps(run.checkpoint(LAST, role)) == {UPDATES * (LAST + 1)}


@pytest.mark.parametrize("role", ["", "critic"])
def test_weights_and_moments_are_kept_in_fp32(run, role):
    import torch
    from torch.distributed.checkpoint import FileSystemReader

    saved = FileSystemReader(run.checkpoint(LAST, role)).read_metadata().state_dict_metadata
    types = {name: entry.properties.dtype for name, entry in saved.items() if hasattr(entry, "properties")}
    kept = {name: kind for name, kind in types.items() if name.startswith("model.") or ".exp_avg" in name}
    assert len(kept) > 3 * 10
    assert set(kept.values()) == {torch.float32}


def test_the_saved_actor_has_learnt_and_can_be_loaded(run, repository):
    import torch
    from transformers import AutoModelForCausalLM

    def weights(folder: Path) -> Any:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()

    first = weights(repository / "checkpoints" / "small")
    last = weights(run.folder / "checkpoints" / f"checkpoint-{LAST}")
    assert first.keys() == last.keys()
    assert not any(torch.equal(first[name], last[name]) for name in first if "proj.weight" in name)


def test_every_validation_plays_the_same_tasks(run):
    validations = read_validations(run.folder / "trajectories")
    assert list(validations) == list(range(LAST + 1))
    played = {tuple(sorted(episode.task_id for episode in one.values())) for one in validations.values()}
    assert len(played) == 1
    assert len(set(*played)) == TASKS


def test_training_goes_on_with_the_tasks_that_follow(run):
    """No task is played by two groups, before and after the resume."""
    played = {(one.policy_version, one.group): one.task_id for one in run.episodes("train")}
    assert len(played) >= GROUPS * (LAST + 1)
    assert len(set(played.values())) == len(played)


@pytest.mark.parametrize("mode", ["train", "val"])
def test_trajectories_hold_what_the_engine_said(run, small_tokenizer, mode):
    """Each of the actor's turns ends with the end-of-turn token, its own or, after a cut, one of ours."""
    episodes = run.episodes(mode)
    assert len(episodes) >= (BATCH if mode == "train" else TASKS) * (LAST + 1)
    for one in episodes:
        assert len(one.token_ids) == len(one.logprobs) == len(one.response_mask)
        own = [place for place, mask in enumerate(one.response_mask) if mask]
        assert own
        assert all(one.logprobs[place] <= 0 for place in own) and min(one.logprobs[place] for place in own) < 0
        ends = [place for place in own if place + 1 == len(one.token_ids) or not one.response_mask[place + 1]]
        cut = [place for place in ends if one.token_ids[place] != small_tokenizer.eos_token_id]
        assert len(cut) == one.metrics["cut_turns"]
        assert all(one.token_ids[place + 1 : place + 2] in ((), (small_tokenizer.eos_token_id,)) for place in cut)


def test_no_empty_folder_stays(run):
    assert not [path for path in run.folder.iterdir() if path.is_dir() and not any(path.iterdir())]


def test_curves_and_summary_are_written(run):
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary["steps"] == LAST
    assert summary["validated"] == [0, LAST]
    assert {"before", "after", "difference"} <= summary.keys()
    assert (run.folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_grpo_plays_ahead_while_it_learns(grpo):
    """Rollouts of the next step begin before the weights have changed: the first weights play two batches."""
    assert grpo.status == 0 and not grpo.left, grpo.output[-20000:]
    assert grpo.numbers("step") == list(range(LAST + 1))
    weights = Counter(episode.policy_version for episode in grpo.episodes("train"))
    assert weights[0] >= 2 * GRPO_BATCH
    assert max(weights) >= 1


def test_kl_in_the_loss_is_measured_against_the_first_model(grpo):
    kl = grpo.numbers("actor/kl_loss")
    assert kl[-1] > 1e-6  # the first step after the resume
    assert all(value >= 0 for value in kl)


def test_groups_that_all_earned_the_same_are_left_out(grpo):
    update = BATCH // UPDATES
    for without, left_out in zip(
        grpo.numbers("rollout/groups_without_signal"), grpo.numbers("rollout/episodes_left_out"), strict=True
    ):
        with_signal = round(GRPO_GROUPS * (1 - without)) * GROUP_SIZE
        assert left_out == GRPO_BATCH - max(math.ceil(with_signal / update), 1) * update


def test_several_trials_of_a_task_give_pass_hat_k(grpo):
    one, both = (grpo.rows[0][f"val/env/retail_test/pass^{k}"] for k in (1, TRIALS))
    assert 0 <= both <= one <= 1
    assert grpo.rows[0][f"val/env/retail_test/pass^{TRIALS}_tasks_sum"] == TASKS
    assert len(grpo.episodes("val")) == TASKS * TRIALS * (LAST + 1)


def test_on_a_device_that_also_learns_episodes_go_on_in_the_next_step_and_each_is_played_once(ahead):
    assert ahead.status == 0 and not ahead.left, ahead.output[-20000:]
    assert ahead.numbers("step") == list(range(LAST + 1))
    played = Counter(one.group for one in ahead.episodes("train"))
    assert played == dict.fromkeys(range(GROUPS * (LAST + 1)), GROUP_SIZE)
    behind = ahead.numbers("rollout/steps_behind")
    assert behind[0] == behind[LAST] == 0 < behind[STEPS] <= 1  # neither a run nor its resume begins with old episodes
    versions = Counter((one.policy_version, one.group // GROUPS) for one in ahead.episodes("train"))
    assert versions[0, 1] > 0  # begun before the step that they are for
    assert sum(number for (version, step), number in versions.items() if version not in (step, step - 1)) == 0


def test_megatron_is_stopped_and_goes_on(megatron):
    assert megatron.status == 0 and not megatron.left, megatron.output[-20000:]
    assert megatron.numbers("step") == list(range(LAST + 1))
    assert megatron.numbers("critic/kl")[0] == 0 != megatron.numbers("critic/kl")[-1]


def test_the_engine_plays_with_the_weights_that_megatron_has_learnt(megatron):
    assert all(abs(value) < 0.002 for value in megatron.numbers("actor/train_infer_diff_token_mean"))


def test_megatrons_checkpoint_and_the_best_one_are_models_of_transformers(megatron, repository):
    import torch
    from transformers import AutoModelForCausalLM

    checkpoints = megatron.folder / "checkpoints"
    small, last, best = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
        for folder in (repository / "checkpoints" / "small", checkpoints / f"checkpoint-{LAST}", checkpoints / "best")
    )
    assert small.keys() == last.keys() == best.keys()
    assert not any(torch.equal(small[name], last[name]) for name in small if "proj.weight" in name)
    assert not [path.name for path in (checkpoints / "best").iterdir() if path.name.startswith(("iter_", "mca_"))]
