"""Which checkpoints of ROLL's are saved, that a validation judges them, and that the best is kept: ROLL's own loop."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.checkpoints import best_in, checkpoints_in, damage_of, keep_best
from tau_retail_env.runs.early_stop import EarlyStop
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.interruption import Interruption


@pytest.fixture
def said() -> list[str]:
    """What a run says, and the rows that it has written."""
    return []


@pytest.fixture
def trained(roll: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Any:
    """Lets ROLL's pipeline go through its steps: its own state, saving and removal, with one worker that is no actor.

    Returns a function that takes the score of the validation of each step and returns the folder of checkpoints; in one
    step SIGTERM may come, and it may go on from a checkpoint.
    """
    from roll.pipeline.base_pipeline import WorkerState
    from roll.utils.checkpoint_manager import CheckpointManager

    from tau_retail_env.roll.pipeline import TauRetailPipeline

    folder = tmp_path / "checkpoints"
    upload = {"type": "file_system", "output_dir": str(folder), "async_upload": False}
    manager = CheckpointManager(upload)
    monkeypatch.setattr(WorkerState, "save_rng_state", staticmethod(lambda **_: None))  # asks a GPU

    def train(
        scores: dict[int, float],
        *,
        signal_in: int | None = None,
        stop_after_worse: int | None = None,
        resume: Path | None = None,
        **settings: int,
    ) -> Path:
        pipeline: Any = object.__new__(TauRetailPipeline)
        config = {"save_steps": 2, "max_steps": 7, "max_ckpt_to_keep": 0, "critic_warmup": 0, **settings}
        pipeline.pipeline_config = SimpleNamespace(output_dir=str(tmp_path), checkpoint_config=upload, **config)
        state = WorkerState.load_from_json(str(resume / "pipeline"), "pipeline") if resume else WorkerState()
        pipeline.state, pipeline.checkpoint_manager, pipeline.resume_futures = state, manager, []
        pipeline.stop_after_worse = stop_after_worse
        pipeline.interruption, pipeline.say = Interruption(said.append), said.append
        pipeline.tracker = SimpleNamespace(log=lambda values, step: said.append(f"row {step}"))
        for step in range(state.step + 1, config["max_steps"]):
            pipeline.state.step = step
            pipeline.state.log_history.append({"val/score/mean": scores[step]} if step in scores else {})
            pipeline.checkpoint_clusters = [Actor(manager, tmp_path, updates=step + 1)]
            if step == signal_in:
                pipeline.interruption.handle(signal.SIGTERM, None)
            pipeline.do_checkpoint(global_step=step)
        return folder

    return train


class Actor:
    """Stands in for a cluster of workers: saves what the actor's does, a file of weights and the optimizer's."""

    def __init__(self, manager: Any, folder: Path, *, updates: int) -> None:
        self._manager, self._folder, self._updates = manager, folder, updates

    def do_checkpoint(self, global_step: int, **_: Any) -> list[Any]:
        checkpoint = f"checkpoint-{global_step}"
        path = self._folder / "actor_train-0" / checkpoint
        (path / "dcp").mkdir(parents=True)
        (path / "model.safetensors").write_text(f"{self._updates} updates")
        (path / "dcp" / "optimizer").write_text("moments")
        self._manager.upload(ckpt_id=checkpoint, local_state_path=str(path))
        return []


@pytest.fixture(autouse=True)
def without_metrics_of_workers(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("roll")
    from roll.distributed.scheduler.protocol import DataProto

    told = SimpleNamespace(meta_info={})
    monkeypatch.setattr(DataProto, "materialize_concat", staticmethod(lambda data_refs: told))


def test_a_checkpoint_holds_as_many_updates_as_the_next_validation_judges(trained):
    folder = trained({0: 0.1, 2: 0.2, 4: 0.3, 6: 0.4})
    weights = {step: (path / "model.safetensors").read_text() for step, path in checkpoints_in(folder)}
    assert weights == {1: "2 updates", 3: "4 updates", 5: "6 updates", 6: "7 updates"}  # the last step always
    assert all(damage_of(path) is None for _, path in checkpoints_in(folder))


def test_the_best_validation_keeps_the_weights_that_it_has_judged(trained):
    folder = trained({0: 0.9, 2: 0.2, 4: 0.5, 6: 0.4}, max_ckpt_to_keep=1)
    assert best_in(folder) == {"step": 3, "score": 0.5}
    assert (folder / "best" / "model.safetensors").read_text() == "4 updates"
    names = sorted(path.name for path in (folder / "best").iterdir())
    assert names == ["best.json", "manifest.json", "model.safetensors"]
    assert [step for step, _ in checkpoints_in(folder)] == [6]  # ROLL has removed the others


def test_a_signal_ends_a_run_after_the_row_of_the_step_which_is_saved(trained, said, tmp_path):
    with pytest.raises(SystemExit):
        trained({2: 0.5}, signal_in=2, save_steps=100)
    assert said == [
        "interrupted: this step is finished and saved first; once more ends the run at once",
        "row 2",
        "[tau-retail] saved after step 2",
    ]
    [(step, path)] = checkpoints_in(tmp_path / "checkpoints")
    assert (step, (path / "model.safetensors").read_text()) == (2, "3 updates")
    assert damage_of(path) is None


def test_a_signal_in_the_first_step_ends_a_run_at_once_for_roll_saves_nothing_then(trained, said, tmp_path):
    with pytest.raises(SystemExit):
        trained({}, signal_in=0)
    assert said == []
    assert not checkpoints_in(tmp_path / "checkpoints")


EQUAL_THEN_WORSE = {0: 0.9, 2: 0.2, 4: 0.5, 6: 0.5, 8: 0.4}


def test_a_run_ends_after_some_validations_that_were_not_above_the_best(trained, said, tmp_path):
    """That of step 0 judges no checkpoint: nothing learnt is compared with it."""
    with pytest.raises(EarlyStop) as stopped:
        trained(EQUAL_THEN_WORSE, stop_after_worse=2, max_steps=20)
    folder = tmp_path / "checkpoints"
    assert str(stopped.value) == (
        f"2 validations in a row were not above the best, 0.500 after step 3, whose weights are {folder / 'best'} "
        "(stop_after_worse: 2)"
    )
    assert said == ["row 8", "[tau-retail] saved after step 8"]
    assert (folder / "best" / "model.safetensors").read_text() == "4 updates"
    assert [step for step, _ in checkpoints_in(folder)] == [1, 3, 5, 7, 8]
    assert damage_of(folder / "checkpoint-8") is None


def test_a_resumed_run_counts_on(trained, tmp_path):
    folder = tmp_path / "checkpoints"
    with pytest.raises(SystemExit):
        trained(EQUAL_THEN_WORSE, signal_in=7, stop_after_worse=2, max_steps=20)
    with pytest.raises(EarlyStop):
        trained(EQUAL_THEN_WORSE, resume=folder / "checkpoint-7", stop_after_worse=2, max_steps=20)
    assert checkpoints_in(folder)[-1][0] == 8


def test_a_better_validation_begins_the_count_anew_and_the_last_step_ends_a_run_anyway(trained):
    folder = trained({2: 0.2, 4: 0.1, 6: 0.3, 8: 0.2, 10: 0.1}, stop_after_worse=2, max_steps=11)
    assert checkpoints_in(folder)[-1][0] == 10
    assert best_in(folder) == {"step": 5, "score": 0.3}


def test_validations_while_only_the_critic_learns_are_no_worse_ones(trained, tmp_path):
    with pytest.raises(EarlyStop):
        trained({2: 0.5, 4: 0.4, 6: 0.3, 8: 0.2}, stop_after_worse=2, critic_warmup=4, max_steps=20)
    assert checkpoints_in(tmp_path / "checkpoints")[-1][0] == 8


def test_a_run_that_had_ended_early_is_resumed_only_to_say_so(roll: Path, tmp_path: Path):
    from tau_retail_env.roll.run_folder import ENGINE
    from tau_retail_env.roll.train import ended_early

    folder = RunFolder(tmp_path, ENGINE)
    keep_best(folder.checkpoints, 3, 0.5, lambda path: None)
    rows = [{"step": step} | ({} if step % 2 else {"val/score/mean": 0.4}) for step in range(9)]
    folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def reason(limit: int | None) -> str | None:
        config: Any = SimpleNamespace(stop_after_worse=limit)
        return ended_early(folder, config, SimpleNamespace(critic_warmup=0))

    assert "2 validations in a row" in str(reason(2))
    assert reason(3) is None and reason(None) is None


def test_an_early_stop_is_no_error(roll: Path, said: list[str], monkeypatch: pytest.MonkeyPatch):
    from tau_retail_env.roll import pipeline
    from tau_retail_env.roll.train import run_pipeline

    class Stopping(SimpleNamespace):
        def run(self) -> None:
            raise EarlyStop(f"{self.stop_after_worse} validations were worse")

    closed = SimpleNamespace(shutdown=lambda **_: None, finish=lambda: said.append("closed"))
    made = Stopping(state=SimpleNamespace(step=4), executor=closed, tracker=closed)
    monkeypatch.setattr(pipeline, "TauRetailPipeline", lambda **_: made)
    config: Any = SimpleNamespace(least_success=0.0, filter_groups=False, stop_after_worse=3)
    run_pipeline(None, config, said.append, Interruption(said.append), {})
    assert said[1:] == ["[tau-retail] stopped early: 3 validations were worse", "closed"]


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_step_that_a_signal_to_all_processes_has_torn_ends_the_run_as_interrupted(
    roll: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, is_asked: bool
):
    """Ray's processes end by SIGTERM, too."""
    from tau_retail_env.roll import pipeline
    from tau_retail_env.roll.train import run_pipeline

    interruption = Interruption(said.append)

    class Torn(SimpleNamespace):
        def run(self) -> None:
            if is_asked:
                interruption.handle(signal.SIGTERM, None)
            raise RuntimeError("an actor died")

    closed = SimpleNamespace(shutdown=lambda **_: None, finish=lambda: said.append("closed"))
    state = SimpleNamespace(step=4)
    monkeypatch.setattr(pipeline, "TauRetailPipeline", lambda **_: Torn(state=state, executor=closed, tracker=closed))
    config: Any = SimpleNamespace(least_success=0.0, filter_groups=False, stop_after_worse=None)
    with pytest.raises(SystemExit if is_asked else RuntimeError) as ended:
        run_pipeline(None, config, said.append, interruption, {})
    assert not is_asked or ended.value.code == 143
    assert any("an actor died" in line for line in said) == is_asked
    assert said[-1] == "closed"
    assert not interruption.finishes


def test_rolls_own_judges_no_checkpoint(trained, monkeypatch):
    """What ours is there for: ROLL's checkpoint of the validated step 2 has 3 updates, not 2."""
    from roll.pipeline.agentic.agentic_pipeline import AgenticPipeline

    from tau_retail_env.roll.pipeline import TauRetailPipeline

    monkeypatch.setattr(TauRetailPipeline, "do_checkpoint", AgenticPipeline.do_checkpoint)
    folder = trained({})
    weights = {step: (path / "model.safetensors").read_text() for step, path in checkpoints_in(folder)}
    assert weights == {2: "3 updates", 4: "5 updates", 6: "7 updates"}


def test_the_first_step_says_what_there_is_to_learn_from_and_ends_a_run_with_next_to_nothing(roll: Path) -> None:
    from tau_retail_env.roll.pipeline import check_signal

    lines: list[str] = []
    metrics = {"rollout/earned_success": 0.025, "rollout/groups_without_signal": 0.75}
    check_signal(metrics, 0.025, lines.append)
    check_signal({}, 0.03, lines.append)
    assert lines == [
        "[tau-retail] step 0: 25% of the groups hold a signal; success 2.5% on tasks that doing nothing does not win"
    ]
    with pytest.raises(InvalidValueError, match=r"min_success: step 0 has a success of 2\.5%.*warm_start=sft\+rft"):
        check_signal(metrics, 0.03, lines.append)


def test_only_the_first_step_is_asked(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tau_retail_env.roll import pipeline

    asked: list[float] = []
    monkeypatch.setattr(pipeline, "check_signal", lambda metrics, least, say: asked.append(least))
    trained({})
    assert asked == [0.0]
