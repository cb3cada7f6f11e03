"""A whole chain on the processor, each stage a real process, killed in the middle and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the local engine is not installed: pip install '.[train]'")

TINY = (
    "~stages.sft_eval",
    *(f"stages.{stage}.set.conversations.num=8" for stage in ("sft", "rft")),
    *(f"stages.{stage}.set.max_steps=1" for stage in ("sft", "rft", "grpo")),
    *(f"stages.{stage}.set.save_steps=1" for stage in ("sft", "rft", "grpo")),
    *(f"stages.{stage}.set.play.sets.series1_test={{limit: 3, trials: 1}}" for stage in ("rft_eval", "grpo_eval")),
    "stages.samples.set.play.sets.series1_train={limit: 6, trials: 3}",
    "stages.samples.set.play.concurrency=3",
    "stages.grpo.set.rollout_batch_size=8",
    "stages.grpo.set.train_env_manager={num_env_groups: 2, group_size: 4, num_groups_partition: [2]}",
    "stages.grpo.set.actor_train.training_args={per_device_train_batch_size: 4, gradient_accumulation_steps: 2}",
    "stages.grpo.set.val_batch_size=2",
    "stages.grpo.set.val_env_manager={num_env_groups: 2, num_groups_partition: [2]}",
)
WAITING_S = 600
"""Seconds for what takes one of them on a machine that does nothing else."""


def started(repository: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tau_retail_env", "train", "--config-name", "tau_retail_local_pipeline"]
    return subprocess.Popen(
        [*command, f"output_dir={folder}", *TINY, *more],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(lines: Path, chain: subprocess.Popen[str]) -> bytes:
    """What stands in a file as soon as it has a line."""
    end = time.monotonic() + WAITING_S
    while not lines.is_file() or b"\n" not in (found := lines.read_bytes()):
        assert chain.poll() is None and time.monotonic() < end, chain.stdout and chain.stdout.read()
        time.sleep(0.2)
    return found


@pytest.mark.slow
@pytest.mark.timeout(3 * WAITING_S)
def test_a_chain_killed_while_it_samples_goes_on_and_ends_with_the_table(repository: Path, tmp_path: Path):
    folder = tmp_path / "chain"
    chain = started(repository, folder)
    episodes = folder / "samples" / "run" / "series1_train" / "episodes.jsonl"
    before = wait_for(episodes, chain)
    chain.send_signal(signal.SIGKILL)
    chain.communicate()
    made = (folder / "sft" / "stage.json").stat().st_mtime_ns

    chain = started(repository, folder, "resume=true")
    told, _ = chain.communicate(timeout=WAITING_S)
    assert chain.returncode == 0, told[-3000:]
    assert "[chain] 1/6 sft: whole already" in told
    assert (folder / "sft" / "stage.json").stat().st_mtime_ns == made
    assert episodes.read_bytes().startswith(before[: before.rindex(b"\n")])
    figures = json.loads((folder / "stages.json").read_text())
    assert set(figures["weights"]) == {"rft", "grpo"}
    assert all(one["is_whole"] for one in figures["stages"].values())
    assert (folder / "stages.md").read_text() in told
