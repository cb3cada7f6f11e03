"""A run that a signal ends: it finishes what it learns from, saves it, and goes on there as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env.cli.main import main
from tau_retail_env.local.grpo import EpisodeTrainer
from tau_retail_env.local.rollouts import Rollouts
from tau_retail_env.local.sft import ConversationTrainer
from tau_retail_env.runs import interruption
from tau_retail_env.runs.checkpoints import MANIFEST, checkpoints_in, damage_of
from tau_retail_env.runs.files import read_rows

Values = Callable[..., dict[str, Any]]
NEVER = "save_steps=1000"
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}


@pytest.fixture(params=["sft", "grpo"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def values(kind: str, request: pytest.FixtureRequest) -> Values:
    keys = (NEVER, "max_steps=4", "eval_steps=2")
    several = ("actor_train.training_args.gradient_accumulation_steps=1", "ppo_epochs=2") if kind == "grpo" else ()
    composer = request.getfixturevalue(f"{kind}_values")
    return lambda *overrides: composer(*keys, *several, *overrides)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows = read_rows(folder / "metrics.jsonl")
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]


def words_of(values: dict[str, Any], folder: Path) -> list[str]:
    (folder / "tiny.yaml").write_text(json.dumps(values))
    return ["train", "--config-path", str(folder), "--config-name", "tiny"]


def status_of(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as ended:
        return int(str(ended.code))


def interrupting(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, is_there: Callable[..., bool], send: Callable[[], None]
) -> None:
    """Send a signal as a method is called for the first time with such arguments."""
    whole, sent = getattr(owner, name), []

    def interrupted(self: Any, *positional: Any, **named: Any) -> Any:
        if not sent and is_there(self, **named):
            sent.append(True)
            send()
        return whole(self, *positional, **named)

    monkeypatch.setattr(owner, name, interrupted)


def learning_step(step: int) -> Callable[..., bool]:
    """In the last update of a step: TRL plays in the first one's."""
    return lambda self, **_: bool(self.state.global_step == step * self.updates_per_step - 1)


def playing(label: str) -> Callable[..., bool]:
    return lambda self, **named: str(named["label"]).startswith(label)


def assert_goes_on(values: Values, tmp_path: Path, step: int) -> None:
    """There is a whole checkpoint of a step and no other, and from there the run is the one that was never ended."""
    folder = tmp_path / "run"
    [(saved, checkpoint)] = checkpoints_in(folder / "checkpoints")
    assert saved == step
    assert (checkpoint / MANIFEST).is_file() and damage_of(checkpoint) is None
    assert [row["step"] for row in rows_of(folder)][-1] == step
    assert main(["train", f"resume={folder}"]) == 0
    assert status_of(words_of(values(f"output_dir={tmp_path / 'whole'}"), tmp_path)) == 0
    assert rows_of(folder) == rows_of(tmp_path / "whole")


@pytest.mark.parametrize("number", STATUS)
def test_a_signal_while_a_run_learns_ends_it_after_the_step_with_a_checkpoint(
    kind: str,
    values: Values,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    number: signal.Signals,
):
    trainer = {"sft": ConversationTrainer, "grpo": EpisodeTrainer}[kind]
    with monkeypatch.context() as patch:
        interrupting(patch, trainer, "training_step", learning_step(3), lambda: os.kill(os.getpid(), number))
        assert status_of(words_of(values(), tmp_path)) == STATUS[number]
    told = capsys.readouterr().out
    assert "interrupted: this step is finished and saved first; once more ends the run at once\nstep 3 of 4" in told
    assert told.endswith(f"saved after step 3 of 4\ninterrupted; resume with: resume={tmp_path / 'run'}\n")
    assert_goes_on(values, tmp_path, 3)


def test_a_signal_during_a_validation_ends_it_and_the_resumed_run_makes_up_for_it(
    values: Values, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    send = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    with monkeypatch.context() as patch:
        interrupting(patch, Rollouts, "play", playing("validation after step 2"), send)
        assert status_of(words_of(values(), tmp_path)) == 143
    assert "val/unscorable" not in rows_of(tmp_path / "run")[-1]
    assert_goes_on(values, tmp_path, 2)


@pytest.mark.parametrize("kind", ["grpo"], indirect=True)
def test_a_signal_while_a_step_is_played_ends_it_at_once_and_saves_the_steps_before(
    values: Values, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    with monkeypatch.context() as patch:
        send = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
        interrupting(patch, Rollouts, "play", playing("step 4: playing"), send)
        assert status_of(words_of(values(), tmp_path)) == 143
    assert "saved after step 3 of 4\n" in capsys.readouterr().out
    assert_goes_on(values, tmp_path, 3)


@pytest.mark.parametrize("number", STATUS)
def test_a_second_signal_ends_a_run_at_once_and_nothing_half_learnt_is_saved(
    values: Values,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    number: signal.Signals,
):
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), number)

    trainer = {"sft": ConversationTrainer, "grpo": EpisodeTrainer}[kind]
    monkeypatch.setattr(interruption, "AGAIN_S", -1.0)
    interrupting(monkeypatch, trainer, "training_step", learning_step(3), twice)
    assert status_of(words_of(values(), tmp_path)) == STATUS[number]
    told = capsys.readouterr().out
    assert "step 3 of 4" not in told and "saved" not in told.replace("saved first", "")
    assert told.endswith(f"interrupted; resume with: resume={tmp_path / 'run'}\n")
    assert checkpoints_in(tmp_path / "run" / "checkpoints") == []


@pytest.mark.parametrize("kind", ["sft"], indirect=True)
@pytest.mark.parametrize("number", STATUS)
def test_a_signal_to_all_processes_of_a_run_is_answered_by_the_first(
    values: Values, tmp_path: Path, number: signal.Signals
):
    """Two processes that learn, and one for each that loads batches. A terminal's Ctrl-C reaches all of them."""
    keys = ("num_gpus_per_node=2", "sft_train.training_args.dataloader_num_workers=2")
    command = [sys.executable, "-m", "tau_retail_env", *words_of(values(*keys), tmp_path)]
    first = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        assert first.stdout is not None
        told = []
        for line in first.stdout:
            told.append(line)
            if line.startswith("step 1 of 4"):
                os.killpg(first.pid, number)
        assert first.wait() == STATUS[number], "".join(told)
    finally:
        with suppress(ProcessLookupError):  # of a test that was cut short
            os.killpg(first.pid, signal.SIGKILL)
    assert told[-1] == f"interrupted; resume with: resume={tmp_path / 'run'}\n"
    [(step, checkpoint)] = checkpoints_in(tmp_path / "run" / "checkpoints")
    assert told[-2] == f"saved after step {step} of 4\n"
    assert (checkpoint / MANIFEST).is_file() and damage_of(checkpoint) is None
    assert [row["step"] for row in rows_of(tmp_path / "run")] == list(range(1, step + 1))
