"""Workers of a role that start at once: none waits for the first, all have its address, and no two roles share one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

LIMIT_S = 120


@pytest.fixture
def place(roll: Path, repository: Path) -> Iterator[Any]:
    """ROLL's Cluster in a Ray of its own: makes a role of a class of workers."""
    ray = pytest.importorskip("ray")
    from ray.util.placement_group import placement_group
    from roll.distributed.executor.cluster import Cluster

    variables = {"PYTHONPATH": os.pathsep.join((str(roll), str(repository)))}
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        namespace="roll",
        log_to_driver=False,
        runtime_env={"env_vars": variables},
    )
    try:
        group = placement_group([{"CPU": 1}])
        where = {"placement_group": group, "node_rank": 0, "gpu_rank": None}
        places = SimpleNamespace(allocate_placement_group=lambda world_size, **_: [[where]] * world_size)

        def make(name: str, worker_cls: Any, workers: int = 3) -> Any:
            config = SimpleNamespace(
                world_size=workers, device_mapping=None, system_envs={}, max_concurrency=1, offload_nccl=False
            )
            return Cluster(name=name, worker_cls=worker_cls, resource_manager=places, worker_config=config)

        yield make
    finally:
        ray.shutdown()


def worker_class(first_waits_for: Path | None = None) -> Any:
    from roll.distributed.scheduler.decorator import Dispatch, register

    from tau_retail_env.roll.ranks import TakesItsPort

    class Worker(TakesItsPort):
        def __init__(self, worker_config: Any) -> None:
            super().__init__(worker_config)
            end = time.monotonic() + LIMIT_S
            if first_waits_for is not None and self.rank == 1:
                first_waits_for.touch()
            while first_waits_for is not None and self.rank == 0 and not first_waits_for.exists():
                assert time.monotonic() < end, "the second worker waits for the first"
                time.sleep(0.05)

        @register(dispatch_mode=Dispatch.ONE_TO_ALL)
        def told(self) -> tuple[str, int]:
            return self.master_addr, self.master_port

        @register(dispatch_mode=Dispatch.ONE_TO_ALL)
        def another_port(self) -> int:
            return self.get_free_port()

    return Worker


def test_no_worker_waits_for_the_first(place: Any, tmp_path: Path) -> None:
    from tau_retail_env.roll.ranks import started_at_once

    cluster = place("engines", started_at_once(worker_class(tmp_path / "second")))
    assert cluster.told() == [(cluster.master_addr, cluster.master_port)] * 3


def test_all_workers_have_the_address_of_the_first_and_roles_have_ports_of_their_own(place: Any) -> None:
    from tau_retail_env.roll.ranks import begin_storage, started_at_once

    storage = begin_storage()
    kind = worker_class()
    roles = [place("one", started_at_once(kind)), place("two", started_at_once(kind), 2), place("rolls", kind)]
    roles.append(place("alone", started_at_once(kind), 1))
    for role in roles:
        assert role.told() == [(role.master_addr, role.master_port)] * role.world_size
    ports = [role.master_port for role in roles] + [port for role in roles for port in role.another_port()]
    assert len(set(ports)) == len(ports) == 4 + 9
    assert len({role.master_addr for role in roles}) == 1
    del storage


def test_on_several_machines_the_first_worker_is_asked(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from tau_retail_env.roll import ranks

    drawn: list[Any] = []
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True}] * 2)
    monkeypatch.setattr(ranks, "_Known", lambda answer: drawn.append(answer))
    cluster = place("engines", ranks.started_at_once(worker_class()), 2)
    assert cluster.told() == [(cluster.master_addr, cluster.master_port)] * 2 and not drawn


def test_a_role_that_is_made_again_elsewhere_has_the_workers_that_are_there(place: Any) -> None:
    """ROLL's scheduler makes the environment workers' role in a process of its own."""
    import ray

    from tau_retail_env.roll.ranks import started_at_once

    kind = worker_class()
    first = place("environments", started_at_once(kind, begun_ahead=True), 2)
    again = place("environments", started_at_once(kind, begun_ahead=True), 2)
    assert again.workers == first.workers
    assert again.told() == [(first.master_addr, first.master_port)] * 2
    assert (again.master_addr, again.master_port) == (first.master_addr, first.master_port)
    for worker in first.workers:
        ray.kill(worker)
    more = place("others", started_at_once(kind, begun_ahead=True), 2)  # none is there: as before
    assert more.told() == [(more.master_addr, more.master_port)] * 2
    with pytest.raises(ValueError, match="already taken"):
        place("others", started_at_once(kind), 2)


def test_rolls_roles_of_engines_and_environments_start_at_once(roll: Path) -> None:
    from roll.utils.import_utils import safe_import_class

    from tau_retail_env.roll.settings import WORKERS

    made: Any = {role: safe_import_class(f"tau_retail_env.roll.{name}") for role, name in WORKERS.items()}
    assert {role for role, kind in made.items() if hasattr(kind, "__ray_actor_class__")} == {
        "actor_infer",
        "train_env_manager",
        "val_env_manager",
    }
