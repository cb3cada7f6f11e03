"""Roles that start beside one another: all are made at ROLL's first wish for one, references load beside learners."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

LIMIT_S = 10


def config(**more: Any) -> Any:
    role = {
        name: SimpleNamespace(name=name, worker_cls=f"{name}.Worker") for name in ("actor", "infer", "ref", "critic")
    }
    return SimpleNamespace(
        actor_train=role["actor"],
        actor_infer=role["infer"],
        reference_configs={"default": role["ref"]},
        enable_reference=True,
        critic=role["critic"],
        adv_estimator="gae",
        **more,
    )


def ask(name: str) -> Any:
    """What ROLL's pipeline says where it makes a role."""
    from roll.pipeline.agentic import agentic_pipeline

    return agentic_pipeline.Cluster(
        name=name, worker_cls=f"{name}.Worker", resource_manager="GPUs", worker_config=SimpleNamespace(name=name)
    )


def test_all_roles_are_begun_before_the_first_is_there(roll: Path) -> None:
    from roll.distributed.executor.cluster import Cluster
    from roll.pipeline.agentic import agentic_pipeline

    from tau_retail_env.roll.roles import made_at_once

    begun = threading.Barrier(4)

    def make(name: str, worker_cls: str, resource_manager: str, worker_config: Any) -> tuple[str, ...]:
        if name != "reward":
            begun.wait(LIMIT_S)  # breaks unless four roles are being made at the same time
        return name, worker_cls, resource_manager, worker_config.name

    with made_at_once(config(), make):
        for name in ("actor", "infer", "ref", "critic", "reward"):
            assert ask(name) == (name, f"{name}.Worker", "GPUs", name)
    assert agentic_pipeline.Cluster is Cluster


def test_the_store_of_batches_starts_beside_the_roles(roll: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from roll.pipeline import base_pipeline

    from tau_retail_env.roll.roles import made_at_once

    both = threading.Barrier(2)  # breaks unless a role is made while the store starts

    def store(config: str) -> None:
        assert config == "by memory"
        both.wait(LIMIT_S)

    def make(name: str, *_: Any) -> str:
        if name == "actor":
            both.wait(LIMIT_S)
        return name

    monkeypatch.setattr(base_pipeline, "init_transfer_backend", store)
    with made_at_once(config(), make):
        base_pipeline.init_transfer_backend("by memory")
        assert ask("actor") == "actor"
    assert base_pipeline.init_transfer_backend is store


def test_a_store_that_does_not_start_ends_the_run(roll: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from roll.pipeline import base_pipeline

    from tau_retail_env.roll.roles import made_at_once

    def store(config: str) -> None:
        raise RuntimeError(f"{config} is not there")

    monkeypatch.setattr(base_pipeline, "init_transfer_backend", store)
    with pytest.raises(RuntimeError, match="the queue is not there"), made_at_once(config(), lambda name, *_: name):
        base_pipeline.init_transfer_backend("the queue")
        ask("actor")
    monkeypatch.delattr(base_pipeline, "init_transfer_backend")  # ROLL v0.2.1
    with made_at_once(config(), lambda name, *_: name):
        assert ask("actor") == "actor"


def test_without_critic_and_reference_none_is_made(roll: Path) -> None:
    from tau_retail_env.roll.roles import roles_of

    plain = config()
    assert [one.name for one in roles_of(plain)] == ["actor", "infer", "ref", "critic"]
    plain.enable_reference, plain.adv_estimator = False, "grpo"
    assert [one.name for one in roles_of(plain)] == ["actor", "infer"]


def test_the_one_reference_of_roll_v0_2_1_is_a_role_too(roll: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from roll.pipeline.base_pipeline import BasePipeline

    import tau_retail_env.roll.pipeline
    from tau_retail_env.roll.pipeline import TauRetailPipeline
    from tau_retail_env.roll.roles import roles_of

    old = config()
    old.reference = old.reference_configs["default"]
    del old.reference_configs
    assert [one.name for one in roles_of(old)] == ["actor", "infer", "ref", "critic"]

    pipeline: Any = object.__new__(TauRetailPipeline)
    actor, reference = (SimpleNamespace(initialize=lambda name=name, **_: [name]) for name in ("actor", "ref"))
    pipeline.use_ref_model, pipeline.actor_train, pipeline.reference = True, actor, reference
    pipeline.actor_infer, pipeline._reached = SimpleNamespace(initialize=None), lambda what: None
    pipeline.pipeline_config = pipeline.resource_manager = None
    monkeypatch.setattr(BasePipeline, "download_models", lambda *_: None)
    monkeypatch.setattr(tau_retail_env.roll.pipeline, "begin_what_schedulers_start", lambda *_: [])
    pipeline.download_models(actor, reference)
    assert actor.initialize(pipeline_config="config", blocking=False) == ["actor", "ref"]
    assert reference.initialize(pipeline_config="config", blocking=True) == []


def test_what_fails_in_a_role_fails_where_it_is_asked_for(roll: Path) -> None:
    from roll.distributed.executor.cluster import Cluster
    from roll.pipeline.agentic import agentic_pipeline

    from tau_retail_env.roll.roles import made_at_once

    def make(name: str, *_: Any) -> str:
        if name == "critic":
            raise RuntimeError("no room for the critic")
        return name

    with pytest.raises(RuntimeError, match="no room for the critic"), made_at_once(config(), make):
        assert ask("actor") == "actor"
        ask("critic")
    assert agentic_pipeline.Cluster is Cluster


def test_references_load_while_the_actor_does(roll: Path) -> None:
    from tau_retail_env.roll.roles import load_together

    asked = []

    def cluster(name: str) -> Any:
        def initialize(*, pipeline_config: str, blocking: bool) -> list[str]:
            asked.append((name, pipeline_config, blocking))
            return [f"{name}0", f"{name}1"]

        return SimpleNamespace(initialize=initialize)

    actor, teachers = cluster("actor"), [cluster("one"), cluster("two")]
    initialize = actor.initialize
    load_together(actor, teachers)
    waited_for = actor.initialize(pipeline_config="config", blocking=False)
    assert waited_for == ["actor0", "actor1", "one0", "one1", "two0", "two1"]
    assert [one.initialize(pipeline_config="config", blocking=True) for one in teachers] == [[], []]
    assert asked == [(name, "config", False) for name in ("actor", "one", "two")]
    assert actor.initialize is initialize


def test_it_is_told_when_engines_are_wanted_and_when_they_are_up(roll: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROLL sends the engines' cluster to other processes before it begins to load models, and afterwards."""
    from tau_retail_env.roll import roles

    answered, told, is_told = threading.Event(), list[str](), threading.Event()

    def wait(answers: list[str], num_returns: int) -> bool:
        assert answers == ["up"] * num_returns
        return answered.wait(LIMIT_S)

    def reached(what: str) -> None:
        told.append(what)
        if "are up" in what:
            is_told.set()

    monkeypatch.setattr(roles.ray, "wait", wait)
    learners = SimpleNamespace(initialize=lambda **given: ["loaded"])
    engines = SimpleNamespace(initialize=lambda **given: ["up", "up"])
    load, start = learners.initialize, engines.initialize
    roles.tell_of_engines(learners, engines, reached)
    assert engines.initialize is start
    assert learners.initialize(pipeline_config=None, blocking=False) == ["loaded"] and not told
    assert engines.initialize(pipeline_config=None, blocking=False) == ["up", "up"]
    assert told == ["learners are loaded and engines wanted"]
    answered.set()
    assert is_told.wait(LIMIT_S) and len(told) == 2
    assert (learners.initialize, engines.initialize) == (load, start)
