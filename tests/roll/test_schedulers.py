"""What ROLL's schedulers start is begun before them, and found by them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

LIMIT_S = 60


def config() -> Any:
    train, val = (
        SimpleNamespace(name=f"{mode}_env", world_size=2, max_env_num_per_worker=3, worker_cls="Worker")
        for mode in ("train", "val")
    )
    return SimpleNamespace(
        train_env_manager=train, val_env_manager=val, router_args="by episode", num_gpus_per_node=1, rollout_mock=None
    )


@pytest.fixture
def parts(roll: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ROLL's scheduler in a Ray of its own, whose queue and router tell what they were made of."""
    ray = pytest.importorskip("ray")
    from roll.distributed.scheduler import rollout_scheduler

    class Told:
        def __init__(self, *given: Any, **named: Any) -> None:
            self._given = (*given, *named.values())

        def told(self) -> tuple[int, str]:
            return os.getpid(), str(self._given[-1])

    variables = {"PYTHONPATH": os.pathsep.join((str(roll), str(repository)))}
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        namespace="roll",
        log_to_driver=False,
        runtime_env={"env_vars": variables},
    )
    monkeypatch.setattr(rollout_scheduler, "GroupQueueManager", ray.remote(Told))
    monkeypatch.setattr(rollout_scheduler, "RouterManager", Told)
    monkeypatch.setattr(rollout_scheduler, "Cluster", lambda **given: given["name"])
    try:
        yield
    finally:
        ray.shutdown()


def given(values: Any, mode: str) -> dict[str, Any]:
    """What ROLL's pipeline gives to a scheduler."""
    manager = getattr(values, f"{mode}_env_manager")
    return {
        "config": values,
        "env_manager_config": manager,
        "resource_manager": "places",
        "infer_cluster": "engines",
        "mode": mode,
    }


def test_a_scheduler_takes_what_was_begun_for_it_and_makes_what_was_not(parts: None) -> None:
    import ray

    from tau_retail_env.roll.schedulers import TauRetailRolloutScheduler, begin_what_schedulers_start

    values = config()
    train, val = begin_what_schedulers_start(values, "places", "engines")
    until = time.monotonic() + LIMIT_S
    while not (hasattr(train, "rollout_task") and hasattr(val, "rollout_task")):
        assert time.monotonic() < until
        time.sleep(0.05)
    again = TauRetailRolloutScheduler(**given(values, "train"))
    for part in ("env_output_queue", "router_manager"):
        told = [ray.get(getattr(one, part).told.remote()) for one in (train, again, val)]
        assert told[0] == told[1] and told[0][0] != told[2][0], part
    assert again.es_manager == train.es_manager == "train_env"
    del train, val, again
    values.train_env_manager.name = "another"
    alone = TauRetailRolloutScheduler(**given(values, "train"))
    assert ray.get(alone.router_manager.told.remote())[1] == "1"


def test_both_begin_at_once_and_a_failure_is_left_to_the_schedulers(roll: Path) -> None:
    from tau_retail_env.roll.schedulers import begin_what_schedulers_start

    both = threading.Barrier(3)  # breaks unless the two are being made at the same time

    class Scheduler:
        def __init__(self, **given: Any) -> None:
            self.engines = given["infer_cluster"]
            both.wait(LIMIT_S)
            raise RuntimeError("no room for it")

    engines = SimpleNamespace(initialize="ROLL's")
    begun = begin_what_schedulers_start(config(), "places", engines, Scheduler)
    engines.initialize = "with what no other process can be sent"
    both.wait(LIMIT_S)
    assert [one.engines.initialize for one in begun] == ["ROLL's"] * 2


def test_rolls_pipeline_makes_its_schedulers_of_ours_meanwhile(roll: Path) -> None:
    from roll.pipeline.agentic import agentic_pipeline

    from tau_retail_env.roll import schedulers

    plain, options = agentic_pipeline.RolloutScheduler, schedulers.ACTORS.options
    with schedulers.taken_by_rolls_pipeline():
        assert issubclass(agentic_pipeline.RolloutScheduler, plain) and agentic_pipeline.RolloutScheduler is not plain
    assert agentic_pipeline.RolloutScheduler is plain
    with schedulers.named_actors_found():
        assert schedulers.ACTORS.options is not options
    assert schedulers.ACTORS.options is options
