"""Which checkpoints of ROLL's are saved, that a validation judges them, and that the best is kept: ROLL's own loop."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.checkpoints import best_in, checkpoints_in, damage_of
from tau_retail_env.runs.interruption import Interruption


@pytest.fixture
def said() -> list[str]:
    """What a run says, and the rows that it has written."""
    return []


@pytest.fixture
def trained(roll: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Any:
    """Lets ROLL's pipeline go through its steps: its own state, saving and removal, with one worker that is no actor.

    Returns a function that takes the score of the validation of each step and returns the folder of checkpoints; in one
    step SIGTERM may come.
    """
    from roll.pipeline.base_pipeline import WorkerState
    from roll.utils.checkpoint_manager import CheckpointManager

    from tau_retail_env.roll.pipeline import TauRetailPipeline

    folder = tmp_path / "checkpoints"
    upload = {"type": "file_system", "output_dir": str(folder), "async_upload": False}
    manager = CheckpointManager(upload)
    monkeypatch.setattr(WorkerState, "save_rng_state", staticmethod(lambda **_: None))  # asks a GPU

    def train(scores: dict[int, float], *, signal_in: int | None = None, **settings: int) -> Path:
        pipeline: Any = object.__new__(TauRetailPipeline)
        config = {"save_steps": 2, "max_steps": 7, "max_ckpt_to_keep": 0, **settings}
        pipeline.pipeline_config = SimpleNamespace(output_dir=str(tmp_path), checkpoint_config=upload, **config)
        pipeline.state, pipeline.checkpoint_manager, pipeline.resume_futures = WorkerState(), manager, []
        pipeline.interruption, pipeline.say = Interruption(said.append), said.append
        pipeline.tracker = SimpleNamespace(log=lambda values, step: said.append(f"row {step}"))
        for step in range(config["max_steps"]):
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
    config: Any = SimpleNamespace(least_success=0.0, filter_groups=False)
    with pytest.raises(SystemExit if is_asked else RuntimeError) as ended:
        run_pipeline(None, config, said.append, interruption)
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
