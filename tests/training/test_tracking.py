"""Where metrics go."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env.config import check_local
from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.training import tracking
from tau_retail_env.training.run_folder import RunFolder
from tau_retail_env.training.tracking import MetricLog, check_tracker

Values = Callable[..., dict[str, Any]]


def opened(values: dict[str, Any]) -> tuple[RunFolder, MetricLog]:
    folder = RunFolder(Path(values["output_dir"]))
    folder.open(values)
    return folder, MetricLog(folder, check_local(values))


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


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_a_clear_error(
    grpo_values: Values, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda found: None)
    with pytest.raises(MissingDependencyError, match=f"pip install {name}"):
        check_tracker(check_local(grpo_values(f"track_with={name}")))
