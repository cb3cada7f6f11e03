"""The rollout worker's own counters, beside ROLL's metrics."""

from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def module(roll):
    from tau_retail_env.roll import infer_worker

    return infer_worker


def counter(name, value):
    return SimpleNamespace(name=name, value=value)


def test_the_growth_of_the_counters_is_told_beside_rolls_own_metrics(module, monkeypatch):
    told = iter([{"queries": 100.0, "hits": 0.0}, {"queries": 300.0, "hits": 150.0}, {"queries": 300.0, "hits": 150.0}])

    def counters():
        return {f"vllm/prefix_cache_{name}": value for name, value in next(told).items()}

    monkeypatch.setattr(module, "engine_counters", counters)
    worker = module.TauRetailInferWorker.__new__(module.TauRetailInferWorker)
    worker.strategy = SimpleNamespace(get_metrics=lambda metric_names: {"vllm/num_preemptions_max": 3.0})
    rows = [worker.get_metrics().meta_info["metrics"] for _ in range(3)]
    assert [row.get(module.HIT_RATE) for row in rows] == [0.0, 0.75, None]
    assert rows[1]["vllm/prefix_cache_queries"] == 200.0
    assert all(row["vllm/num_preemptions_max"] == 3.0 for row in rows)


def test_counters_add_up_over_their_labels_and_others_are_left_out(module):
    snapshot = [
        counter("vllm:prefix_cache_hits", 3),
        counter("vllm:prefix_cache_hits", 4),
        SimpleNamespace(name="vllm:time_to_first_token_seconds", sum=1.0),
    ]
    assert module.add_up(snapshot) == {"vllm/prefix_cache_hits": 7.0}


def test_roll_binds_the_method_to_its_cluster_as_its_own(module):
    from roll.distributed.scheduler.decorator import BIND_WORKER_METHOD_FLAG
    from roll.pipeline.base_worker import InferWorker

    ours, theirs = (
        getattr(kind.get_metrics, BIND_WORKER_METHOD_FLAG) for kind in (module.TauRetailInferWorker, InferWorker)
    )
    assert ours == theirs


def test_the_configurations_name_it(repository):
    for name in ("tau_retail_config", "tau_retail_1gpu", "tau_retail_grpo"):
        text = (repository / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
        assert "worker_cls: tau_retail_env.roll.infer_worker.TauRetailInferWorker" in text


def test_an_engine_of_real_vllm_names_its_counters_so(module):
    reader = pytest.importorskip("vllm.v1.metrics.reader", reason="vLLM is not installed")
    loggers = pytest.importorskip("vllm.v1.metrics.loggers")
    assert callable(reader.get_metrics_snapshot)
    source = Path(loggers.__file__).read_text(encoding="utf-8")
    assert all(f'name="{name}"' in source for name in module.COUNTERS)
