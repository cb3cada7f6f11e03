"""Several rollout engines on each GPU: where ROLL starts them, what memory they have, and that all get the weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.shapes import KNOWN, Shape
from tau_retail_env.roll.config.check import check_roll, roll_values
from tau_retail_env.roll.engines import OneAfterAnother, one_a_gpu, set_up_updates, several_engines
from tau_retail_env.roll.machines import Machine, check_cards

QWEN = Shape(*KNOWN["Qwen/Qwen2.5-0.5B-Instruct"])


def values(*overrides: str, name: str = "tau_retail_config") -> dict[str, Any]:
    return compose(name, overrides=["num_gpus_per_node=2", *overrides])


def test_one_engine_a_gpu_changes_nothing():
    plain = values()
    check_roll(plain)
    assert several_engines(plain, QWEN, 140.0) == plain


def test_engines_share_the_gpus_and_their_part_of_the_memory():
    wanted = values("engines_per_gpu=3", "infer_gpu_memory=0.6")
    check_roll(wanted)
    infer = several_engines(wanted, QWEN, 100.0)["actor_infer"]
    assert infer["device_mapping"] == [0, 1, 0, 1, 0, 1]
    config = infer["strategy_args"]["strategy_config"]
    assert config["gpu_memory_utilization"] == pytest.approx(0.2)
    cache = config["kv_cache_memory_bytes"]
    assert cache + 2 * QWEN.parameters + 3 * 2**30 == pytest.approx(20 * 2**30, abs=1)
    assert wanted["actor_infer"]["strategy_args"]["strategy_config"]["gpu_memory_utilization"] == 0.6


def test_a_cache_that_is_named_stays_and_an_unknown_card_leaves_it_to_vllm():
    named = values("engines_per_gpu=2", "+actor_infer.strategy_args.strategy_config.kv_cache_memory_bytes=1000000000")
    for card_gib in (100.0, None):
        config = several_engines(named, QWEN, card_gib)["actor_infer"]["strategy_args"]["strategy_config"]
        assert config["kv_cache_memory_bytes"] == 1_000_000_000
    unknown = several_engines(values("engines_per_gpu=2"), QWEN, None)
    assert "kv_cache_memory_bytes" not in unknown["actor_infer"]["strategy_args"]["strategy_config"]


@pytest.mark.parametrize(
    "override", ["actor_infer.strategy_args.strategy_config=null", "~actor_infer.strategy_args.strategy_config"]
)
def test_what_is_left_out_has_its_default(override: str):
    plain = values("engines_per_gpu=2", "infer_gpu_memory=0.5", override)
    del plain["infer_gpu_memory"]
    check_roll(plain)
    changed = several_engines(plain, QWEN, 80.0)
    config = changed["actor_infer"]["strategy_args"]["strategy_config"]
    assert config["gpu_memory_utilization"] == 0.25 and config["kv_cache_memory_bytes"] > 0
    check_cards(plain, [Machine("here", (), 80.0)])


def test_more_engines_than_the_memory_has_caches_for_are_refused():
    wanted = values("engines_per_gpu=16", "infer_gpu_memory=0.5")
    with pytest.raises(InvalidValueError, match=r"each of 16 engines has 2\.5 GiB .* use fewer"):
        several_engines(wanted, QWEN, 80.0)


@pytest.mark.parametrize(
    ("overrides", "name", "said"),
    [
        (["infer=sglang"], "tau_retail_config", "are for vLLM"),
        (["actor_infer.strategy_args.strategy_config.tensor_parallel_size=2"], "tau_retail_config", "are for vLLM"),
        ([], "tau_retail_grpo", "on the same GPU"),
        (["train=megatron"], "tau_retail_config", "a learner on FSDP2"),
        (["+router_args.router_name=EnvAffinityRouter"], "tau_retail_config", "router knows one engine"),
    ],
)
def test_what_several_engines_cannot_have_is_refused(overrides, name, said):
    with pytest.raises(InvalidValueError, match=said):
        check_roll(values("engines_per_gpu=2", *overrides, name=name))


def test_engines_beside_a_learner_on_megatron_are_told_of_the_learner_and_not_of_its_gpus():
    with pytest.raises(InvalidValueError, match=r"found megatron_train, expected fsdp2_train \(train=fsdp2\)") as told:
        check_roll(values("engines_per_gpu=2", "train=megatron"))
    assert "device_mapping" not in str(told.value)


def test_a_card_must_hold_the_weights_of_all_engines():
    from tau_retail_env.config.roll_schema import RollSchema
    from tau_retail_env.roll.config.memory import memory
    from tau_retail_env.roll.config.rules import RollValues

    one, four = (
        memory(RollValues(values(f"engines_per_gpu={number}"), RollSchema.load("main")), QWEN) for number in (1, 4)
    )
    assert four.playing == pytest.approx(4 * one.playing) and four.learning == one.learning


def test_roll_starts_a_worker_for_each_engine(roll):
    from dacite import from_dict
    from roll.pipeline.agentic.agentic_config import AgenticConfig

    made = several_engines(values("engines_per_gpu=2", "pretrain=small"), QWEN, 140.0)
    infer = from_dict(AgenticConfig, roll_values(made)).actor_infer
    assert infer.world_size == 4 and infer.device_mapping == [0, 1, 0, 1]


def test_the_workers_of_each_round_of_gpus_are_one_part():
    config = SimpleNamespace(device_mapping=[0, 1, 0, 1], num_gpus_per_worker=1)
    parts = one_a_gpu(SimpleNamespace(workers=["a", "b", "c", "d"], worker_config=config))
    assert [part.workers for part in parts] == [["a", "b"], ["c", "d"]]
    assert [part.worker_config.device_mapping for part in parts] == [[0, 1], [0, 1]]
    assert config.device_mapping == [0, 1, 0, 1]


class Engine:
    """A rollout worker that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def update_parameter_in_bucket(self, tensors: list[Any], is_lora: bool) -> None:
        self.sent.extend(tensors)

    def all(self) -> list[Any]:
        return self.sent


def test_every_engine_of_a_gpu_gets_all_weights_by_rolls_own_update(roll, monkeypatch):
    """Between processes of one machine; on a GPU the same goes by CUDA IPC."""
    import ray
    import torch
    import torch.distributed as dist
    from roll.distributed.strategy.fsdp2_strategy import FSDP2TrainStrategy
    from roll.utils import send_recv_utils
    from roll.utils.cuda_ipc_utils import MultiprocessingSerializer

    monkeypatch.setattr(send_recv_utils, "monkey_patch_torch_reductions", lambda: None)  # of CUDA's handles
    torch.multiprocessing.set_sharing_strategy("file_system")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(num_cpus=1, include_dashboard=False, namespace="roll", log_to_driver=False)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        strategy = FSDP2TrainStrategy.__new__(FSDP2TrainStrategy)
        strategy.model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
        strategy.model.config = SimpleNamespace(model_type="llama")
        strategy.worker = SimpleNamespace(pipeline_config=SimpleNamespace(model_update_buffer_size_mb=1))
        strategy.worker_config = SimpleNamespace(
            device_mapping=[0], model_args=SimpleNamespace(lora_target=None), name="actor_train"
        )
        strategy.weight_updaters = {}
        infer = SimpleNamespace(
            device_mapping=[0, 0], num_gpus_per_worker=1, strategy_args=SimpleNamespace(strategy_name="vllm")
        )
        remote = ray.remote(Engine)
        workers = [remote.options(num_cpus=0).remote() for _ in range(2)]
        set_up_updates(strategy, SimpleNamespace(workers=workers, worker_config=infer), "update")
        assert isinstance(strategy.weight_updaters["update"], OneAfterAnother)
        strategy.model_update("update")
        for sent in ray.get([one.all.remote() for one in workers]):
            got = dict(send_recv_utils.named_tensors_from_bucket(**MultiprocessingSerializer.deserialize(*sent)))
            assert got.keys() == dict(strategy.model.named_parameters()).keys()
            for name, weight in strategy.model.named_parameters():
                torch.testing.assert_close(got[name], weight.data)
    finally:
        dist.destroy_process_group()
        ray.shutdown()


@pytest.mark.usefixtures("roll")
def test_two_runs_of_one_seed_take_different_ports(monkeypatch):
    """They did not: two that started at once on a machine both ended with "address already in use"."""
    pytest.importorskip("vllm")
    import random

    from roll.distributed.strategy import vllm_strategy
    from vllm.model_executor.models import registry

    from tau_retail_env.roll.preload import import_engine

    def ports() -> list[int]:
        random.seed(1)  # as ROLL's set_seed does before it draws
        strategy = object.__new__(vllm_strategy.VllmStrategy)
        strategy.worker = SimpleNamespace(rank=0, is_port_available=lambda port: True)
        return [strategy.get_free_port_for_rank() for _ in range(8)]

    # Put back afterwards; another test of this process may have imported the engine before.
    monkeypatch.setattr(vllm_strategy, "random", random)
    monkeypatch.setattr(registry, "_run_in_subprocess", registry._run_in_subprocess)
    assert ports() == ports()
    import_engine("vllm")
    assert ports() != ports()
    assert all(20_000 <= port < 20_500 for port in ports())
