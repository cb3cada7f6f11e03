"""Fine-tuning with several processes: the same numbers as with one, and an end for all of them."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local import sft
from tau_retail_env.local.batches import Collator, Update, shares_of
from tau_retail_env.local.config import check_sft
from tau_retail_env.local.conversations import EncodedConversations
from tau_retail_env.local.gradient_workers import GradientWorkers, WorkerError, num_processes
from tau_retail_env.local.learner import Learner
from tau_retail_env.local.loop import RunStoppedError
from tau_retail_env.runs.files import read_rows
from tests.local.toy import TWO_PASSES, make_data, toy

Values = Callable[..., dict[str, Any]]
TWO = "num_gpus_per_node=2"


@pytest.fixture(scope="module")
def data() -> EncodedConversations:
    return make_data()


@pytest.fixture
def two() -> Iterator[GradientWorkers]:
    with GradientWorkers(2) as workers:
        yield workers


def batch(data: EncodedConversations, update: Update, processes: int) -> dict[str, Any]:
    collator = Collator(data, pad_token_id=0, observation_loss_weight=0.3, processes=processes)
    return collator([{"rows": update}])


def gradients_of_one(data: EncodedConversations, update: Update, *, bf16: bool = False) -> tuple[Any, float]:
    model = toy()
    return model, Learner(model, bf16=bf16).gradients(batch(data, update, 1)["passes"]).item()


def assert_same_gradients(found: Any, expected: Any, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    for one, other in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=rtol, atol=atol)


def run(values: dict[str, Any], say: Callable[[str], None] = lambda line: None) -> Any:
    return sft.run(check_sft(values), values, say=say)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows = read_rows(folder / "metrics.jsonl")
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]


def assert_same_runs(found: Any, expected: Any) -> None:
    for one, other in zip(rows_of(found.folder), rows_of(expected.folder), strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)
    ours, theirs = (
        AutoModelForCausalLM.from_pretrained(each.folder / each.summary["files"]["checkpoint"]).state_dict()
        for each in (found, expected)
    )
    for name, weight in theirs.items():
        assert (ours[name] - weight).norm() <= 1e-4 * weight.norm(), name


def processes_of(session: int) -> list[int]:
    """Processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, _, owner = (folder / "stat").read_text().rpartition(") ")[2].split()[:4]
                if int(owner) == session and state != "Z":
                    found.append(int(folder.name))
    return found


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("update", [[[4, 2, 0], [1, 3, 5]], [[4], [2], [0], [1]]], ids=["threes", "ones"])
def test_every_row_of_an_update_is_learnt_from_by_one_process(update: Update, processes: int):
    shares = shares_of(update, processes)
    assert len(shares) == processes
    dealt = [row for share in shares for rows in share for row in rows]
    assert sorted(dealt) == sorted(row for rows in update for row in rows)
    counts = [sum(map(len, share)) for share in shares]
    assert max(counts) - min(counts) <= 1
    assert all(rows for share in shares for rows in share)


def test_one_process_keeps_the_passes_as_they_are():
    assert shares_of(TWO_PASSES, 1) == [TWO_PASSES]


def test_two_processes_find_the_gradient_of_one_from_uneven_shares(data: EncodedConversations, two: GradientWorkers):
    """Five rows: three for the first process, two for the other, and of unlike numbers of tokens."""
    update = [[0, 1, 2], [3, 4]]
    expected, loss = gradients_of_one(data, update)
    shared = batch(data, update, 2)
    own, other = ([one["weights"] for one in passes] for passes in (shared["passes"], shared["others"][0]))
    assert sum(map(len, own)) != sum(map(len, other))
    assert sum(float(one.sum()) for one in own + other) == pytest.approx(1.0)
    model = toy()
    learner = Learner(model, bf16=False)
    two.start(model, bf16=False, checkpointing=False)
    for _ in range(2):
        model.zero_grad()
        assert two.gradients(learner, shared["passes"], shared["others"]).item() == pytest.approx(loss, rel=1e-5)
        assert_same_gradients(model, expected)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.01
    model.zero_grad()
    changed = toy()
    changed.load_state_dict(model.state_dict())
    Learner(changed, bf16=False).gradients(batch(data, [[5]], 1)["passes"])
    one_row = batch(data, [[5]], 2)  # the worker has nothing to learn from
    two.gradients(learner, one_row["passes"], one_row["others"])
    assert_same_gradients(model, changed)


@pytest.mark.slow
def test_in_bf16_weights_travel_in_bf16_and_gradients_in_fp32(data: EncodedConversations, two: GradientWorkers):
    expected, loss = gradients_of_one(data, TWO_PASSES, bf16=True)
    model = toy()
    two.start(model, bf16=True, checkpointing=True)
    shared = batch(data, TWO_PASSES, 2)
    found = two.gradients(Learner(model, bf16=True), shared["passes"], shared["others"])
    assert found.item() == pytest.approx(loss, rel=1e-2)
    for one, other in zip(model.parameters(), expected.parameters(), strict=True):
        assert one.grad.dtype == torch.float32
        assert (one.grad - other.grad).norm() < 0.03 * other.grad.norm()


@pytest.mark.slow
def test_what_goes_wrong_in_another_process_is_told(data: EncodedConversations, two: GradientWorkers):
    model = toy()
    two.start(model, bf16=False, checkpointing=False)
    shared = batch(data, TWO_PASSES, 2)
    del shared["others"][0][0]["labels"]
    with pytest.raises(WorkerError, match="Process 2 of 2 that learn failed: KeyError: 'labels'"):
        two.gradients(Learner(model, bf16=False), shared["passes"], shared["others"])


def test_a_run_with_two_processes_equals_one_with_one_and_goes_on_with_another_number(
    sft_values: Values, tmp_path: Path
):
    """Two processes until the second checkpoint, then one."""
    alone = run(sft_values(f"output_dir={tmp_path / 'alone'}"))
    together = sft_values(TWO)
    write = sft.ConversationTrainer._write

    def interrupted(self: Any, path: Path) -> None:
        write(self, path)
        if path.name.startswith(".checkpoint-4"):
            raise KeyboardInterrupt

    sft.ConversationTrainer._write = interrupted  # type: ignore[method-assign]
    said: list[str] = []
    try:
        with pytest.raises(KeyboardInterrupt):
            run(together, said.append)
    finally:
        sft.ConversationTrainer._write = write  # type: ignore[method-assign]
    assert any("4 updates on 2 processes" in line for line in said)
    assert not [one for one in multiprocessing.active_children() if one.name.startswith("SpawnProcess")]
    assert_same_runs(run(sft_values("num_gpus_per_node=1", "resume=true")), alone)


def test_a_killed_process_ends_the_run_with_a_checkpoint_and_words_to_resume_it(sft_values: Values, tmp_path: Path):
    values = sft_values(TWO, "save_steps=100", "max_steps=3")
    steps: list[str] = []

    def kill_after_the_first_step(line: str) -> None:
        if line.startswith("step 1 of 3"):
            [worker] = multiprocessing.active_children()
            os.kill(worker.pid or 0, signal.SIGKILL)
        steps.append(line)

    with pytest.raises(RunStoppedError) as caught:
        run(values, kill_after_the_first_step)
    folder = tmp_path / "run"
    assert str(caught.value) == (
        "Process 2 of 2 that learn died: it was killed by signal 9 -- Stopped after step 1 of 3; "
        f"everything so far is saved, resume with: resume={folder}"
    )
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["checkpoint-1"]
    assert_same_runs(
        run(sft_values(TWO, "save_steps=100", "max_steps=3", "resume=true")),
        run(sft_values(f"output_dir={tmp_path / 'alone'}", "save_steps=100", "max_steps=3")),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_all_processes_end_with_the_first(sft_values: Values, tmp_path: Path, number: signal.Signals, status: int):
    (tmp_path / "tiny.yaml").write_text(json.dumps(sft_values(TWO, "max_steps=10000")))
    command = [sys.executable, "-m", "tau_retail_env", "train", "--config-path", str(tmp_path), "--config-name", "tiny"]
    # A session of its own, as a terminal has: Ctrl-C reaches all of its processes.
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert first.stdout is not None
        assert any(line.startswith("step 3 of 10000") for line in first.stdout)
        assert len(processes_of(first.pid)) > 1
        if number == signal.SIGINT:
            os.killpg(first.pid, number)
        else:
            first.send_signal(number)
        rest = first.stdout.read()  # ends when no process is left that could write
        assert first.wait() == status
        assert ("interrupted; resume with: resume=" in rest) == (number != signal.SIGKILL)
        for _ in range(100):
            if not (left := processes_of(first.pid)):
                return
            time.sleep(0.2)
        raise AssertionError(f"still there: {left}")
    finally:
        with suppress(ProcessLookupError):  # of a test that was cut short
            os.killpg(first.pid, signal.SIGKILL)


def test_more_processes_than_rows_are_refused(sft_values: Values):
    with pytest.raises(InvalidValueError, match="num_gpus_per_node: found 9, but an update has 8 rows"):
        check_sft(sft_values("num_gpus_per_node=9", "sft_train.training_args.gradient_accumulation_steps=4"))


def test_as_many_processes_learn_as_gpus_are_visible(monkeypatch: pytest.MonkeyPatch):
    assert num_processes(None, rows=16) == (torch.cuda.device_count() or 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [num_processes(wanted, rows=16) for wanted in (None, 1, 3)] == [4, 1, 3]
    assert num_processes(None, rows=2) == 2
    with pytest.raises(InvalidValueError, match="num_gpus_per_node: found 8, but 4 GPUs are visible here"):
        num_processes(8, rows=16)
