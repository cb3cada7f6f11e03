"""Where metrics go."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tau_retail_env.config import to_yaml
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config import check_local
from tau_retail_env.local.loop import trackers
from tau_retail_env.local.run_folder import ENGINE
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.metric_log import MetricLog

Values = Callable[..., dict[str, Any]]


def opened(values: dict[str, Any]) -> tuple[RunFolder, MetricLog]:
    folder = RunFolder(Path(values["output_dir"]), ENGINE)
    folder.open(to_yaml(values))
    return folder, MetricLog(folder.metrics, trackers(folder, check_local(values)))


def test_a_step_is_one_line_and_what_is_no_number_is_null(grpo_values: Values):
    folder, log = opened(grpo_values())
    log.write(1, {"b": 2.5, "a": float("nan")})
    log.write(2, {"a": 1})
    log.close()
    lines = folder.metrics.read_text().splitlines()
    assert lines == ['{"step": 1, "a": null, "b": 2.5}', '{"step": 2, "a": 1}']
    assert log.rows() == [json.loads(line) for line in lines]


def test_tensorboard_is_written_too(grpo_values: Values):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, log = opened(grpo_values())
    log.write(3, {"critic/kl": 0.25})
    log.close()
    events = EventAccumulator(str(folder.tensorboard))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("critic/kl")] == [(3, 0.25)]


def test_tensorboard_keeps_one_point_a_step_when_a_run_begins_anew(grpo_values: Values):
    """Also one that was killed before its first checkpoint."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for loss in (0.5, 0.25):
        folder, log = opened(grpo_values())
        for step in (1, 2):
            log.write(step, {"loss": loss})
        log.close()
    events = EventAccumulator(str(folder.tensorboard))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.25), (2, 0.25)]


class Library:
    """Stands in for wandb or trackio: it keeps what it is told, and as W&B takes no step before its last."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.rows: list[dict[str, float]] = []
        self.steps = [0]
        self.finished = 0

    def init(self, **settings: Any) -> SimpleNamespace:
        if settings.get("project") == "refused":
            raise RuntimeError("api_key not configured")
        self.started.append(settings)
        taken = [one["name"] for one in self.started[:-1]] if settings.get("resume") is None else []
        return SimpleNamespace(name=f"{settings['name']}-{len(taken)}" if taken else settings["name"])

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        assert (name, step_metric) in (("step", None), ("*", "step"))

    def log(self, values: dict[str, float], step: int | None = None) -> None:
        self.steps.append(self.steps[-1] + 1 if step is None else step)
        if step is not None or self.steps[-1] > self.steps[-2]:
            self.rows.append({"step": step, **values} if step is not None else values)

    def finish(self) -> None:
        self.finished += 1


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_run_that_goes_on_goes_on_in_its_tracker(grpo_values: Values, monkeypatch: pytest.MonkeyPatch, name: str):
    """Though its steps go back to the checkpoint."""
    library = Library()
    monkeypatch.setitem(sys.modules, name, library)
    for overrides in ([], ["resume=true"]):
        _, log = opened(grpo_values(f"track_with={name}", *overrides))
        log.write(2, {"critic/kl": 0.5, "lost": float("nan")})
        log.write(1, {"critic/kl": 0.25})
        log.close()
    first, second = library.started
    assert first["name"] == second["name"] and first["project"] == second["project"] == "tau-retail"
    assert first.get("id") == second.get("id") and second["resume"] == "allow"
    assert library.rows == [{"critic/kl": 0.5, "step": 2}, {"critic/kl": 0.25, "step": 1}] * 2
    assert library.finished == 2


@pytest.mark.parametrize(("name", "known_by"), [("wandb", "id"), ("trackio", "name")])
def test_runs_whose_folders_have_one_name_stay_apart(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, known_by: str
):
    library = Library()
    monkeypatch.setitem(sys.modules, name, library)
    for number, overrides in ((0, []), (1, []), (1, ["resume=true"])):
        opened(grpo_values(f"track_with={name}", f"output_dir={tmp_path / str(number) / 'run'}", *overrides))
    known = [settings[known_by] for settings in library.started]
    if name == "trackio":
        assert known == ["run", "run", "run-1"]  # the second was given another name
    else:
        assert known[0] != known[1] == known[2]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_that_cannot_be_started_is_a_clear_error(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setitem(sys.modules, name, Library())
    with pytest.raises(InvalidValueError, match=f"track_with: {name} cannot be started: api_key not configured"):
        opened(grpo_values(f"track_with={name}", "tracker_kwargs={project: refused}"))


def test_trackio_itself_keeps_one_series(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio", reason="trackio is not installed")
    for step, overrides in enumerate(([], ["resume=true"]), start=1):
        _, log = opened(grpo_values("track_with=trackio", *overrides))
        log.write(step, {"critic/kl": 0.5})
        log.close()
    assert "Resumed existing run" in capsys.readouterr().out
    assert len(trackio.Api().runs("tau-retail")) == 1


def test_wandb_itself_keeps_one_run(grpo_values: Values, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    pytest.importorskip("wandb", reason="wandb is not installed")
    for overrides in ([], ["resume=true"]):
        _, log = opened(grpo_values("track_with=wandb", *overrides))
        log.write(1, {"critic/kl": 0.5})
        log.close()
    folders = list((tmp_path / "wandb").glob("offline-run-*"))
    assert len({folder.name.rpartition("-")[2] for folder in folders}) == 1
