"""Whole runs of the local engine on a tiny model with random weights."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tau_retail_env.cli import main
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.record import EPISODES, read_episodes
from tau_retail_env.local import loop, rollouts
from tau_retail_env.local.config import check_local
from tau_retail_env.local.rollouts import Rollouts
from tau_retail_env.local.train import train
from tau_retail_env.models.checks import prompt_style_of
from tau_retail_env.runs.bar import Bar
from tau_retail_env.runs.files import read_rows
from tau_retail_env.runs.trajectories import read_trajectories

Values = Callable[..., dict[str, Any]]

LEARNING = ("entropy_loss_coef=0.5",)
"""Random weights earn no reward: the entropy moves the weights instead."""


def run(values: dict[str, Any]) -> tuple[Any, list[str]]:
    said: list[str] = []
    return train(check_local(values), values, say=said.append), said


def without_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]


def arguments_of(values: Values, *overrides: str) -> list[str]:
    """A composed configuration as a command line: written to a folder of its own and named."""
    composed = values(*overrides)
    folder = Path(composed["output_dir"]).parent / "configs"
    folder.mkdir(exist_ok=True)
    (folder / "tiny.yaml").write_text(json.dumps(composed))
    return ["--config-path", str(folder), "--config-name", "tiny"]


def interrupting(monkeypatch: pytest.MonkeyPatch, step: int, end: Callable[[], None]) -> None:
    """Have a run end in some way when it plays for a step."""
    play = Rollouts.play

    def interrupted(self: Rollouts, *positional: Any, label: str, **named: Any) -> Any:
        if label.startswith(f"step {step}"):
            end()
        return play(self, *positional, label=label, **named)

    monkeypatch.setattr(Rollouts, "play", interrupted)


def test_messages_that_a_run_cuts_shorter_than_they_were_taught_are_told_before_it_begins(
    grpo_values: Values, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def begin(*what: Any) -> None:
        raise InvalidValueError("begun")

    monkeypatch.setattr("tau_retail_env.local.train.Rollouts", begin)
    model = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    values = grpo_values(f"pretrain={model}")
    tokens = values["train_env_manager"]["generating_args"]["max_new_tokens"]
    for taught, lines in ((tokens, 0), (tokens + 1, 1)):
        said: list[str] = []
        about = config.get("tau_retail", {}) | {"max_new_tokens": taught}
        (model / "config.json").write_text(json.dumps(config | {"tau_retail": about}))
        with pytest.raises(InvalidValueError, match="begun"):
            train(check_local(values), values, say=said.append)
        told = [line for line in said if f"gave a message {taught} tokens" in line]
        assert len(told) == lines
        assert all(f"train_env_manager.generating_args.max_new_tokens={tokens}" in line for line in told)


@pytest.fixture(scope="module")
def finished(grpo_in: Values, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[str]]:
    torch.set_num_threads(1)
    return run(grpo_in(tmp_path_factory.mktemp("finished") / "run", *LEARNING, "max_steps=3"))


def test_a_run_leaves_everything_that_is_promised(finished: tuple[Any, list[str]]):
    outcome, said = finished
    names = {path.name for path in outcome.folder.iterdir()}
    assert names == {
        "checkpoints",
        "config.yaml",
        "curves.png",
        "metrics.jsonl",
        "summary.json",
        "tensorboard",
        "train.log",
        "trajectories",
        "validations",
    }
    assert outcome.folder.joinpath("curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(outcome.folder.joinpath("summary.json").read_text()) == outcome.summary
    trajectories = sorted(path.name for path in outcome.folder.joinpath("trajectories").iterdir())
    assert trajectories == [
        *(f"train-00000{step}.jsonl" for step in (1, 2, 3)),
        *(f"val-00000{step}.jsonl" for step in (0, 2, 3)),
    ]
    assert "success before" in said[-1]
    assert "on the same 3 held-out episodes" in said[-1]
    assert str(outcome.folder) in said[-1]


def test_it_says_at_once_what_will_be_done_and_a_line_for_every_step_and_validation_stays(
    finished: tuple[Any, list[str]],
):
    outcome, said = finished
    plan, *lines = said[1:-1]
    assert re.fullmatch(
        r"to do: steps 1 to 3 of 4 episodes each, 3 validations of 3 held-out episodes \(after step 0, 2, 3\); "
        r"about \d+ (s|min) on an idle machine"
        r"( \(this one is busy: load \d+ on \d+ cores(; OMP_NUM_THREADS=1 helps)?\))?",
        plan,
    )
    assert [line.partition(":")[0] for line in lines] == [
        "validation after step 0",
        "step 1 of 3",
        "validation after step 2",
        "step 2 of 3",
        "validation after step 3",
        "step 3 of 3",
    ]
    assert "left" in lines[0] and "left" in lines[1] and "left" not in lines[-1] and "KL 0.0000 nats" in lines[1]
    logged = [line[20:] for line in outcome.folder.joinpath("train.log").read_text().splitlines()]
    assert logged == [line for text in said for line in text.splitlines()]


def test_without_a_terminal_nothing_moves_the_cursor(grpo_values: Values):
    ran = subprocess.run(
        [sys.executable, "-m", "tau_retail_env", "train", *arguments_of(grpo_values, "max_steps=1")],
        capture_output=True,
        check=True,
    )
    assert b"validation after step 1" in ran.stdout and b"step 1 of 1" in ran.stdout
    assert not re.search(rb"[\r\x1b]", ran.stdout + ran.stderr)


def test_bars_move_with_turns_and_with_every_batch_that_is_learnt_from(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch
):
    moves: dict[str, list[float]] = {}

    class Moving(Bar):
        def __init__(self, **named: Any) -> None:
            super().__init__(**named | {"disable": False, "file": io.StringIO()})

        def update(self, n: float = 1) -> bool | None:
            moves.setdefault(self.desc.removesuffix(": "), []).append(n)
            return super().update(n)

    monkeypatch.setattr(loop, "tqdm", Moving)
    monkeypatch.setattr(loop, "Bar", Moving)
    monkeypatch.setattr(rollouts, "Bar", Moving)
    outcome, _ = run(grpo_values("max_steps=1"))
    played = read_trajectories(outcome.folder / "trajectories" / "train-000001.jsonl")
    assert sum(moves["step 1: playing"]) == sum(one.metrics["turns"] for one in played)
    assert len([n for n in moves["step 1: playing"] if n]) > 1
    assert moves["step 1: learning"] == [2, 2]
    assert moves["training"] == [1]


def test_a_resumed_curriculum_names_the_episodes_that_it_needs(grpo_values: Values):
    outcome, _ = run(grpo_values("max_steps=1", "curriculum=0.5"))
    played = outcome.folder / "trajectories" / "train-000001.jsonl"
    played.rename(played.with_suffix(".away"))
    again = ("max_steps=2", "curriculum=0.5", "resume=true")
    with pytest.raises(
        InvalidValueError, match=r"curriculum: .*train-000001\.jsonl is not there.*pretrain=.*checkpoint-1"
    ):
        run(grpo_values(*again))
    played.with_suffix(".away").rename(played)
    assert run(grpo_values(*again))[0].summary["steps"] == 2


def test_a_finished_run_that_has_lost_its_metrics_is_summed_up_without_them(grpo_values: Values):
    outcome, _ = run(grpo_values("max_steps=1"))
    (outcome.folder / "metrics.jsonl").unlink()
    again, _ = run(grpo_values("max_steps=1", "resume=true"))
    assert again.summary["after"]["episodes"] == outcome.summary["after"]["episodes"]
    assert again.summary["after"]["by subset"] == {}


def test_metrics_carry_rolls_names(finished: tuple[Any, list[str]]):
    rows = read_rows(finished[0].folder / "metrics.jsonl")
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    expected = {
        "rollout/score/mean",
        "env/retail_train/success",
        "critic/kl",
        "critic/entropy/mean",
        "actor/total_loss",
        "actor/grad_norm",
        "actor/lr",
        "tokens/response_length/mean",
        "time/step_rollout",
    }
    assert all(expected <= row.keys() for row in rows[1:])
    for row in (rows[0], rows[2], rows[3]):
        assert {"val/score/mean", "val/retail_test/score/mean", "val/env/retail_test/success"} <= row.keys()
    assert "val/score/mean" not in rows[1]


def test_kl_to_the_reference_is_nothing_at_first_and_grows(finished: tuple[Any, list[str]]):
    kl = [row["critic/kl"] for row in read_rows(finished[0].folder / "metrics.jsonl")[1:]]
    assert kl[0] == pytest.approx(0, abs=1e-6)
    assert kl[1] > 1e-5


def test_the_checkpoint_is_what_transformers_loads(finished: tuple[Any, list[str]], tiny_checkpoint: Path):
    folder = finished[0].folder / finished[0].summary["files"]["checkpoint"]
    assert folder.name == "checkpoint-3"
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.use_cache
    assert prompt_style_of(model.config) == "minimal"
    assert len(AutoTokenizer.from_pretrained(folder)) == model.config.vocab_size
    start = AutoModelForCausalLM.from_pretrained(tiny_checkpoint)
    moved = [not torch.equal(new, old) for new, old in zip(model.parameters(), start.parameters(), strict=True)]
    assert all(moved)


def test_validation_plays_the_same_tasks_and_words_each_time(finished: tuple[Any, list[str]]):
    files = [finished[0].folder / "trajectories" / f"val-00000{step}.jsonl" for step in (0, 3)]
    before, after = ([(t.task_id, t.seed, t.messages[2]) for t in read_trajectories(file)] for file in files)
    assert before == after


def test_every_validation_is_an_evaluation_that_is_compared_and_reviewed(
    finished: tuple[Any, list[str]], capsys: pytest.CaptureFixture[str]
):
    folder = finished[0].folder
    played = read_trajectories(sorted((folder / "trajectories").glob("val-*.jsonl"))[0])
    first, *_, last = sorted((folder / "validations").glob("step-*/retail_test"))
    results = json.loads((first / "results.json").read_text())
    assert results["episodes"]["scored"] == len(played)
    assert results["tasks"] == len({one.task_id for one in played})
    assert {one.trajectory.token_ids for one in read_episodes(first / EPISODES)} == {one.token_ids for one in played}
    assert main(["compare", str(first), str(last)]) == 0
    assert main(["review", str(last)]) == 0
    assert "no difference shown" in capsys.readouterr().out


def test_a_step_with_several_updates_still_has_one_row(grpo_values: Values):
    outcome, _ = run(grpo_values(*LEARNING, "actor_train.training_args.gradient_accumulation_steps=1", "ppo_epochs=2"))
    rows = read_rows(outcome.folder / "metrics.jsonl")
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert outcome.summary["files"]["checkpoint"].endswith("checkpoint-2")
    assert rows[1]["critic/kl"] > 0


def killed_after(checkpoint: Path, arguments: list[str], number: int) -> subprocess.Popen[bytes]:
    """Start a run of its own and end it by a signal once a checkpoint is there."""
    command = [sys.executable, "-m", "tau_retail_env", "train", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ))
    deadline = time.monotonic() + 120
    while not checkpoint.is_dir() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    process.wait(60)
    return process


def test_a_killed_run_goes_on_as_if_nothing_had_happened(grpo_values: Values, tmp_path: Path):
    keys = (*LEARNING, "max_steps=5", "save_steps=2", "max_ckpt_to_keep=0")
    whole, _ = run(grpo_values(*keys, f"output_dir={tmp_path / 'whole'}"))
    broken = tmp_path / "run"
    arguments = arguments_of(grpo_values, *keys)
    process = killed_after(broken / "checkpoints" / "checkpoint-2", arguments, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, process.communicate()[0]
    assert not broken.joinpath("summary.json").exists()
    outcome, _ = run(grpo_values(*keys, "resume=true"))
    rows, expected = (read_rows(folder / "metrics.jsonl") for folder in (outcome.folder, whole.folder))
    assert without_time(rows) == without_time(expected)
    assert outcome.summary["difference"] == whole.summary["difference"]


def test_a_finished_run_has_nothing_to_go_on_with(finished: tuple[Any, list[str]], grpo_in: Values, tmp_path: Path):
    folder = shutil.copytree(finished[0].folder, tmp_path / "run")  # the log of the others' run stays as it is
    rows = (folder / "metrics.jsonl").read_text()
    again, _ = run(grpo_in(folder, *LEARNING, "max_steps=3", "resume=true"))
    assert (again.folder / "metrics.jsonl").read_text() == rows
    assert again.summary["difference"] == finished[0].summary["difference"]


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    play = Rollouts.play

    def interrupted(self: Rollouts, *positional: Any, label: str, **named: Any) -> Any:
        if label.startswith("step 2"):
            raise KeyboardInterrupt
        return play(self, *positional, label=label, **named)

    monkeypatch.setattr(Rollouts, "play", interrupted)
    assert main(["train", *arguments_of(grpo_values)]) == 130
    assert capsys.readouterr().out.rstrip().endswith(f"interrupted; resume with: resume={tmp_path / 'run'}")
    assert [row["step"] for row in read_rows(tmp_path / "run" / "metrics.jsonl")] == [0, 1]


def test_sigterm_ends_with_143_and_what_it_says_goes_on_alone(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """What is given by overrides the first time need not be given again; a run may become longer."""
    interrupting(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments_of(grpo_values, *LEARNING), "max_steps=2"])
    assert ended.value.code == 143
    said = f"interrupted; resume with: resume={tmp_path / 'run'}"
    assert capsys.readouterr().out.rstrip().endswith(said)
    monkeypatch.undo()
    assert main(["train", said.rpartition(" ")[2], "max_steps=3"]) == 0
    out = capsys.readouterr().out
    assert f"going on after step 1, from {tmp_path / 'run' / 'checkpoints' / 'checkpoint-1'}" in out
    assert [row["step"] for row in read_rows(tmp_path / "run" / "metrics.jsonl")] == [0, 1, 2, 3]
    assert main(["train", f"resume={tmp_path / 'run'}"]) == 0  # it is as long as it has become
    assert "nothing to do: all 3 steps are done" in capsys.readouterr().out


def test_a_run_does_not_become_shorter_than_it_is_nor_another(
    finished: tuple[Any, list[str]], capsys: pytest.CaptureFixture[str]
):
    run_folder = finished[0].folder
    metrics = (run_folder / "metrics.jsonl").read_text()
    assert main(["train", f"resume={run_folder}", "max_steps=2"]) == 2
    assert "max_steps: found 2, but" in (error := capsys.readouterr().err) and "give 3 or more" in error
    assert main(["train", f"resume={run_folder}", "seed=7", "kl_loss_coef=0.5"]) == 2
    assert "differs in kl_loss_coef (0.1 there, 0.5 here), seed (42 there, 7 here)" in capsys.readouterr().err
    assert (run_folder / "metrics.jsonl").read_text() == metrics


def test_damage_in_a_run_is_named_and_nothing_more_is_lost(
    grpo_values: Values, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    folder = tmp_path / "run"
    whole, _ = run(grpo_values(*LEARNING, "max_steps=3", f"output_dir={tmp_path / 'whole'}"))
    shutil.copytree(whole.folder, folder)
    rows = (folder / "metrics.jsonl").read_bytes().splitlines()
    (folder / "metrics.jsonl").write_bytes(b"\n".join([rows[0], b'{"step": 1, "\xff', *rows[2:]]) + b"\n")
    weights = folder / "checkpoints" / "checkpoint-3" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    capsys.readouterr()
    assert main(["train", f"resume={folder}"]) == 0
    out = capsys.readouterr().out
    assert "going on after step 2" in out
    assert "checkpoint-3 is not whole: model.safetensors has 1,000 bytes" in out
    assert "metrics.jsonl: line 2 is no UTF-8 text" in out
    found, expected = (without_time(read_rows(path / "metrics.jsonl")) for path in (folder, whole.folder))
    assert found == [expected[0], *expected[2:]]


def test_the_weights_of_the_best_validation_are_kept(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Whatever is saved; the row of a validation is changed here, since random weights earn no reward."""
    scores = iter((0.9, 0.25, 0.75, 0.5))
    monkeypatch.setattr(loop, "validation_row", lambda *_, **__: {"val/score/mean": next(scores)})
    outcome, _ = run(grpo_values(*LEARNING, "max_steps=3", "save_steps=1", "eval_steps=1", "max_ckpt_to_keep=0"))
    assert outcome.summary["best"] == {"step": 2, "score": 0.75}
    assert outcome.summary["files"]["best"] == "checkpoints/best"
    best, second, third = (
        AutoModelForCausalLM.from_pretrained(outcome.folder / "checkpoints" / name).state_dict()
        for name in ("best", "checkpoint-2", "checkpoint-3")
    )
    assert all(torch.equal(best[name], second[name]) for name in best)
    assert not all(torch.equal(best[name], third[name]) for name in best)


def test_a_full_disk_ends_the_run_with_one_line(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    assert main(["train", *arguments_of(grpo_values)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: The checkpoint ")
    assert "No space left on device" in error


def test_rows_that_find_no_room_end_the_run_with_how_to_go_on(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, a disk without room")
    metrics, kept = tmp_path / "run" / "metrics.jsonl", tmp_path / "kept.jsonl"
    play = Rollouts.play

    def filling(self: Rollouts, *positional: Any, label: str, **named: Any) -> Any:
        if label.startswith("step 2"):
            metrics.rename(kept)
            metrics.symlink_to("/dev/full")
        return play(self, *positional, label=label, **named)

    arguments = arguments_of(grpo_values)
    monkeypatch.setattr(Rollouts, "play", filling)
    assert main(["train", *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"error: {metrics} could not be written: No space left on device (")
    assert error.endswith(f"Fix that, then resume with: resume={tmp_path / 'run'}")
    monkeypatch.undo()
    kept.replace(metrics)
    assert main(["train", *arguments, "resume=true"]) == 0
    assert [row["step"] for row in read_rows(metrics)] == [0, 1, 2]


def test_episodes_that_cannot_be_written_end_the_run_with_how_to_go_on(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    folder = tmp_path / "run" / "trajectories"
    play = Rollouts.play

    def breaking(self: Rollouts, *positional: Any, label: str, **named: Any) -> Any:
        if label.startswith("step 1"):
            shutil.rmtree(folder)
            folder.touch()
        return play(self, *positional, label=label, **named)

    monkeypatch.setattr(Rollouts, "play", breaking)
    assert main(["train", *arguments_of(grpo_values)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"error: {folder / 'train-000001.jsonl'} could not be written: Not a directory")
    assert error.endswith(f"resume with: resume={tmp_path / 'run'}")


def test_two_runs_into_one_folder_are_one_run_and_one_error(grpo_values: Values, tmp_path: Path):
    """The one that came later neither writes nor removes anything."""
    command = [sys.executable, "-m", "tau_retail_env", "train", *arguments_of(grpo_values, "max_steps=1")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [run.communicate(timeout=240)[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 2], told
    refused = told[[run.returncode for run in runs].index(2)]
    assert "another process is writing to it" in refused or "already holds a run" in refused
    assert [row["step"] for row in read_rows(tmp_path / "run" / "metrics.jsonl")] == [0, 1]


def test_what_is_refused_leaves_no_folder(
    grpo_values: Values, foreign_checkpoint: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    (empty := tmp_path / "empty").mkdir()
    for override, words in (
        ("pretrain=nowhere/to/be/found", "pretrain: there is no folder nowhere/to/be/found"),
        (f"pretrain={empty}", "no tokenizer could be loaded"),
        ("task_subset=nothing", "nothing"),
        ("sequence_length=20", "sequence_length: 20 leaves no room"),
        ("prompt_style=full", "does not show the model its tools"),
        ("sequence_length=4097", "sequence_length: found 4097"),
        (f"pretrain={foreign_checkpoint}", "prompt_style: minimal tells a model no tool"),
    ):
        assert main(["train", *arguments_of(grpo_values, override)]) == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


def test_the_configuration_is_printed_and_nothing_is_started(
    grpo_values: Values, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    assert main(["train", *arguments_of(grpo_values), "max_steps=9", "--print-config"]) == 0
    assert "max_steps: 9" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
