"""Runs that end when validations are no longer above the best one: what they leave, and how they go on."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tau_retail_env.cli.main import main
from tau_retail_env.local import loop
from tau_retail_env.local.rollouts import Rollouts
from tau_retail_env.runs.checkpoints import best_in, checkpoints_in, damage_of
from tau_retail_env.runs.files import read_rows

Values = Callable[..., dict[str, Any]]
KEYS = ("max_steps=8", "eval_steps=1", "save_steps=1000", "stop_after_worse=2")
SCORES = (0.25, 0.5, 0.5, 0.4)
"""Of steps 1 to 4: the second is the best, and two are not above it."""


@pytest.fixture(params=["sft", "grpo"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def words(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command of such a run."""
    learning = ("entropy_loss_coef=0.5",) if kind == "grpo" else ()
    (tmp_path / "tiny.yaml").write_text(json.dumps(request.getfixturevalue(f"{kind}_values")(*KEYS, *learning)))
    return ["train", "--config-path", str(tmp_path), "--config-name", "tiny"]


def scored(kind: str, monkeypatch: pytest.MonkeyPatch, scores: Sequence[float | None]) -> None:
    """Have validations come out so, as random weights earn no reward; GRPO has a further one before training."""
    left = iter((0.9, *scores) if kind == "grpo" else scores)
    monkeypatch.setattr(loop, "validation_row", lambda *_, **__: {"val/score/mean": next(left)})


def steps_of(folder: Path) -> list[int]:
    return [row["step"] for row in read_rows(folder / "metrics.jsonl") if row["step"]]


def test_a_run_ends_well_after_so_many_validations_that_were_not_above_the_best(
    kind: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """The validation before training was better than all: nothing that was learnt is compared with it."""
    scored(kind, monkeypatch, SCORES)
    assert main(words) == 0
    folder, told = tmp_path / "run", capsys.readouterr().out
    best = folder / "checkpoints" / "best"
    assert "; it ends early after 2 validations in a row that are not above the best\n" in told
    assert (
        "stopped after step 4 of 8: 2 validations in a row were not above the best, 0.500 after step 2, whose weights "
        f"are {best} (stop_after_worse: 2)\n"
    ) in told
    assert steps_of(folder) == [1, 2, 3, 4]
    [(step, checkpoint)] = checkpoints_in(folder / "checkpoints")
    assert step == 4
    assert damage_of(checkpoint) is None and damage_of(best) is None
    kept, last = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (best, checkpoint))
    assert not all(torch.equal(kept[name], last[name]) for name in kept)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["steps"] == 4 and summary["best"] == {"step": 2, "score": 0.5}
    assert summary["after"]["episodes"] == 3


def test_a_run_that_was_ended_by_a_signal_counts_on(
    kind: str, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    scored(kind, monkeypatch, SCORES)
    play = Rollouts.play

    def ending(self: Rollouts, *positional: Any, label: str, **named: Any) -> Any:
        if label.startswith("validation after step 4"):
            os.kill(os.getpid(), signal.SIGTERM)
        return play(self, *positional, label=label, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Rollouts, "play", ending)
        with pytest.raises(SystemExit):
            main(words)
    folder = tmp_path / "run"
    assert steps_of(folder) == [1, 2, 3, 4]
    assert main(["train", f"resume={folder}"]) == 0  # what makes up for the validation ends it
    assert steps_of(folder) == [1, 2, 3, 4]
    assert best_in(folder / "checkpoints") == {"step": 2, "score": 0.5}


def test_a_run_that_has_ended_early_goes_on_only_if_that_is_wanted(
    kind: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    scored(kind, monkeypatch, (*SCORES, 0.1, 0.6, 0.5, 0.5))
    folder = tmp_path / "run"
    assert main(words) == 0
    capsys.readouterr()
    assert main(["train", f"resume={folder}"]) == 0
    assert "stopped after step 4 of 8: 2 validations in a row" in capsys.readouterr().out
    assert steps_of(folder) == [1, 2, 3, 4]
    assert main(["train", f"resume={folder}", "stop_after_worse=null"]) == 0
    assert steps_of(folder) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert best_in(folder / "checkpoints") == {"step": 6, "score": 0.6}


@pytest.mark.parametrize("kind", ["sft"], indirect=True)
def test_fine_tuning_that_follows_its_epochs_is_refused_where_it_ends_before(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    assert main([*words, "max_steps=null", "eval_steps=16"]) == 2
    assert (
        "stop_after_worse: 2 with eval_steps 16 could end the run after step 48 at the earliest"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "run" / "config.yaml").exists()
