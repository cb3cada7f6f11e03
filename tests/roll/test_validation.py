"""A validation through ROLL's own scheduler and pipeline code, up to the metrics that the tracker gets."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.roll.test_env_manager import actor_that, with_failures


def in_loop(call):
    """A coroutine function as one of Ray's remote methods."""

    class Method:
        @staticmethod
        def remote(*arguments, **named):
            return call(*arguments, **named)

    return Method()


async def nothing(*arguments, **named):
    return None


def scheduler_of(played):
    """ROLL's RolloutScheduler around the rollout_loop's queue and env managers."""
    from roll.distributed.scheduler.rollout_scheduler import RolloutScheduler

    def bridged(call):
        async def bridge(*arguments):
            return await asyncio.wrap_future(played.queue._submit(call(*arguments)))

        return in_loop(bridge)

    later, manager = played.queue._later, played.queue.manager
    scheduler = RolloutScheduler.__new__(RolloutScheduler)
    scheduler.config, scheduler.mode = played.config, "val"
    scheduler.es_manager = SimpleNamespace(update_step=lambda *_, **__: [])
    scheduler.router_manager = SimpleNamespace(resume=in_loop(nothing))
    scheduler.env_output_queue = SimpleNamespace(
        advance_step=bridged(lambda step: later(manager.advance_step, step)),
        get_batch=bridged(manager.get_batch),
        collect_metrics=bridged(lambda: later(manager.collect_metrics)),
    )
    if hasattr(scheduler, "_init_rollout_mock"):
        scheduler._init_rollout_mock()
    return scheduler


@pytest.fixture
def validate(roll, monkeypatch):
    """Runs `AgenticPipeline.val` on a rollout_loop's environments."""
    import ray
    from roll.distributed.scheduler.protocol import DataProto
    from roll.pipeline.agentic.agentic_pipeline import AgenticPipeline

    if not hasattr(AgenticPipeline, "val") or "trace_meta" not in AgenticPipeline.val.__code__.co_varnames:
        pytest.skip("needs ROLL v0.3.0 or later: an earlier pipeline's val has another form")

    def run(played, step=0):
        played.start(step)
        scheduler = scheduler_of(played)

        async def get_batch(data, batch_size):
            scheduler.rollout_task = asyncio.create_task(asyncio.sleep(3600))
            return await scheduler.get_batch(data, batch_size)

        monkeypatch.setattr(DataProto, "to_remote", staticmethod(lambda batch: batch))
        monkeypatch.setattr(DataProto, "drop", staticmethod(lambda batch: None))
        waiting = ray.get
        monkeypatch.setattr(ray, "get", lambda ref: asyncio.run(ref) if asyncio.iscoroutine(ref) else waiting(ref))
        pipeline = SimpleNamespace(
            pipeline_config=played.config,
            val_dataset_manager=SimpleNamespace(reset=in_loop(nothing)),
            val_rollout_scheduler=SimpleNamespace(get_batch=in_loop(get_batch)),
        )
        played.config.exp_name = "test"
        return AgenticPipeline.val(pipeline, step, {})

    return run


def test_rolls_validation_logs_pass_hat_k_of_each_tag(rollout_loop, validate):
    silent_in_every_second = actor_that(
        lambda actor, oracle: actor.write("One moment.") if actor.number % 2 else oracle()
    )
    played = rollout_loop(
        mode="val",
        groups=6,
        group_size=2,
        settings={"source": "tau2", "split": "train", "task_subset": "profile", "max_turns": 30},
        manager={"group_filter_cls": "tau_retail_env.roll.group_filter.PassHatKFilter"},
        make_actor=silent_in_every_second,
        env={"trajectory_share": 0},
    )
    with_failures(played, [999] + [0] * 11, at_reset=True)
    metrics = validate(played)
    assert metrics["val/env/retail/pass^1"] == pytest.approx((5 * 0.5 + 0.0) / 6)
    assert metrics["val/env/retail/pass^2"] == 0.0
    assert metrics["val/env/retail/pass^1_tasks_sum"] == 6 and metrics["val/env/retail/pass^2_tasks_sum"] == 5
    assert metrics["val/env/retail/success"] == pytest.approx(5 / 11)
    assert metrics["val/env/retail/unscorable"] == pytest.approx(1 / 12)
    assert metrics["val/score/mean"] == pytest.approx(5 / 12)
