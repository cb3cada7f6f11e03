"""Our workers beside ROLL's own: what a resumed run gets back, and the engine's counters."""

from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def module(roll):
    from tau_retail_env.roll import workers

    return workers


@pytest.fixture
def process_group():
    """Of this process alone."""
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def fsdp2_strategy(seed):
    """ROLL's FSDP2 strategy around a small model, with an optimizer that has not stepped yet."""
    import torch
    from roll.distributed.strategy.fsdp2_strategy import FSDP2TrainStrategy

    class Strategy(FSDP2TrainStrategy):
        @staticmethod
        def get_rng_state():  # ROLL's own asks CUDA for it
            return {}

        def load_states(self, *_):
            self.moves = [*getattr(self, "moves", []), "load"]

        def offload_states(self, *_):
            self.moves.append("offload")

    torch.manual_seed(seed)
    strategy = Strategy.__new__(Strategy)
    strategy.model = torch.nn.Linear(4, 4)
    strategy.optimizer = torch.optim.AdamW(strategy.model.parameters(), lr=1e-3)
    strategy.scheduler = torch.optim.lr_scheduler.LambdaLR(strategy.optimizer, lambda step: min(1, (step + 1) / 9))
    strategy.async_save_strategy, strategy.checkpoint_future, strategy._dcp_process_group = False, None, None
    return strategy


def warm_up(steps=4):
    """A schedule as ROLL makes it, around an optimizer of one weight."""
    import torch
    from transformers import get_scheduler

    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=2.0)
    return get_scheduler("constant_with_warmup", optimizer, num_warmup_steps=steps)


def learner_config():
    return SimpleNamespace(
        strategy_args=SimpleNamespace(strategy_name="fsdp2_train"),
        training_args=SimpleNamespace(max_steps=20, get_warmup_steps=lambda num_training_steps: 4),
        max_tokens_per_microbatch_in_train=0,
        max_tokens_per_microbatch_in_infer=None,
        sequence_length_round_in_train=4,
        sequence_length_round_in_infer=4,
    )


def learn(strategy, steps):
    import torch

    for step in range(steps):
        strategy.model(torch.full((2, 4), 1.0 + step)).sum().backward()
        strategy.optimizer.step()
        strategy.scheduler.step()
        strategy.optimizer.zero_grad()


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_optimizer_has_its_moments_back(module, process_group, tmp_path):
    """ROLL's own loading leaves them out; with ours the next step is the one of a run that was never stopped."""
    import torch

    first = fsdp2_strategy(0)
    learn(first, 5)
    first._save_checkpoint_with_dcp(str(tmp_path / "dcp"), is_last_step=True)
    theirs, ours = fsdp2_strategy(1), fsdp2_strategy(2)
    theirs.load_checkpoint(str(tmp_path))
    module.load_checkpoint(ours, tmp_path)
    assert not theirs.optimizer.state_dict()["state"]
    assert torch.equal(theirs.model.weight, first.model.weight) and torch.equal(ours.model.weight, first.model.weight)
    assert ours.moves == ["load", "offload"]
    for one in (first, theirs, ours):
        learn(one, 1)
    assert torch.equal(ours.model.weight, first.model.weight)
    assert not torch.allclose(theirs.model.weight, first.model.weight, atol=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs", "role", "loads"),
    [
        ("Reference", "roll.pipeline.base_worker.ActorWorker", "reference", []),
        (
            "LearningActor",
            "roll.pipeline.agentic.agentic_actor_worker.ActorWorker",
            "actor_train",
            ["run/checkpoint-3"],
        ),
        ("LearningCritic", "roll.pipeline.base_worker.CriticWorker", "critic", ["run/checkpoint-3/critic"]),
    ],
)
def test_what_a_resumed_worker_loads(module, monkeypatch, ours, theirs, role, loads):
    """ROLL loads the actor's checkpoint into the reference, too; the learners are to load theirs once, and whole."""
    from roll.pipeline import base_worker
    from roll.utils.import_utils import safe_import_class

    def loaded_by(kind):
        loaded = []
        strategy = SimpleNamespace(
            model=None,
            scheduler=warm_up(),
            initialize=lambda **_: None,
            offload_states=lambda: None,
            tokenizer=None,
            load_checkpoint=lambda load_dir, tag: loaded.append(load_dir),
        )
        monkeypatch.setattr(base_worker, "create_strategy", lambda worker: strategy)
        monkeypatch.setattr(base_worker, "download_model", lambda path: path)
        monkeypatch.setattr(module, "load_checkpoint", lambda strategy, folder: loaded.append(str(folder)))
        monkeypatch.setattr(module, "trim_padding", lambda strategy, **_: None)
        worker = kind.__new__(kind)
        monkeypatch.setattr(kind, "prepare", lambda self, model: None, raising=False)
        worker.worker_config = learner_config()
        worker.cluster_name = worker.worker_name = role
        monkeypatch.setattr(
            base_worker.Worker, "initialize", lambda self, config: setattr(self, "pipeline_config", config)
        )
        worker.initialize(SimpleNamespace(resume_from_checkpoint="run/checkpoint-3"))
        return loaded

    assert loaded_by(getattr(module, ours)) == loads
    assert loaded_by(safe_import_class(theirs)) == (loads or ["run/checkpoint-3"])


@pytest.mark.parametrize("name", ["LearningActor", "LearningCritic"])
def test_the_first_update_of_a_learner_has_a_learning_rate(module, monkeypatch, name):
    """ROLL's own first rate of a warm-up is 0: the first step of a run would change nothing."""
    from roll.pipeline import base_worker

    scheduler = warm_up()
    strategy = SimpleNamespace(
        model=None, scheduler=scheduler, tokenizer=None, initialize=lambda **_: None, offload_states=lambda: None
    )
    assert scheduler.optimizer.param_groups[0]["lr"] == 0
    kind = getattr(module, name)
    monkeypatch.setattr(base_worker, "create_strategy", lambda worker: strategy)
    monkeypatch.setattr(module, "trim_padding", lambda strategy, **_: None)
    monkeypatch.setattr(kind, "prepare", lambda self, model: None)
    monkeypatch.setattr(base_worker.Worker, "initialize", lambda self, config: setattr(self, "pipeline_config", config))
    worker = kind.__new__(kind)
    worker.worker_config, worker.cluster_name, worker.worker_name = learner_config(), "role", "role"
    worker.initialize(SimpleNamespace(resume_from_checkpoint=False))
    assert scheduler.optimizer.param_groups[0]["lr"] == 0.5


def test_megatron_loads_its_checkpoint_as_roll_does_once_it_is_mended(module, monkeypatch):
    from roll.pipeline.agentic.agentic_actor_worker import ActorWorker

    given = []

    @contextmanager
    def mended(worker):
        given.append(worker)
        yield
        given.append("ready")

    monkeypatch.setattr(module, "megatron", mended)
    monkeypatch.setattr(ActorWorker, "initialize", lambda self, config: given.append(config.resume_from_checkpoint))
    worker = module.LearningActor.__new__(module.LearningActor)
    worker.worker_config = SimpleNamespace(strategy_args=SimpleNamespace(strategy_name="megatron_train"))
    worker.initialize(SimpleNamespace(resume_from_checkpoint="run/checkpoint-3"))
    assert given == [worker, "run/checkpoint-3", "ready"]


def counter(name, value):
    return SimpleNamespace(name=name, value=value)


def test_the_growth_of_the_counters_is_told_beside_rolls_own_metrics(module, monkeypatch):
    told = iter([{"queries": 100.0, "hits": 0.0}, {"queries": 300.0, "hits": 150.0}, {"queries": 300.0, "hits": 150.0}])

    def counters():
        return {f"vllm/prefix_cache_{name}": value for name, value in next(told).items()}

    monkeypatch.setattr(module, "engine_counters", counters)
    worker = module.RolloutWorker.__new__(module.RolloutWorker)
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

    ours, theirs = (getattr(kind.get_metrics, BIND_WORKER_METHOD_FLAG) for kind in (module.RolloutWorker, InferWorker))
    assert ours == theirs


def test_an_engine_of_real_vllm_names_its_counters_so(module):
    reader = pytest.importorskip("vllm.v1.metrics.reader", reason="vLLM is not installed")
    loggers = pytest.importorskip("vllm.v1.metrics.loggers")
    assert callable(reader.get_metrics_snapshot)
    source = Path(loggers.__file__).read_text(encoding="utf-8")
    assert all(f'name="{name}"' in source for name in module.COUNTERS)


def test_the_garbage_collector_leaves_alone_what_stood_when_a_worker_was_ready(module):
    """ROLL collects after each call: only what came since is looked at, and still collected."""
    import gc
    import weakref

    class Node:
        pass

    stood = Node()
    try:
        module.freeze_heap()
        assert not any(one is stood for one in gc.get_objects())
        came = Node()
        came.itself = came
        gone = weakref.ref(came)
        del came
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()


@pytest.mark.parametrize(
    ("name", "base", "strategy"),
    [
        ("Reference", "roll.pipeline.base_worker.ActorWorker", "fsdp2_infer"),
        ("LearningActor", "roll.pipeline.agentic.agentic_actor_worker.ActorWorker", "fsdp2_train"),
        ("LearningActor", "roll.pipeline.agentic.agentic_actor_worker.ActorWorker", "megatron_train"),
        ("LearningCritic", "roll.pipeline.base_worker.CriticWorker", "fsdp2_train"),
        ("RolloutWorker", "roll.pipeline.base_worker.InferWorker", "vllm"),
    ],
)
def test_a_workers_heap_is_frozen_once_it_is_ready(module, monkeypatch, name, base, strategy):
    import asyncio
    import threading

    from roll.utils.import_utils import safe_import_class

    done = []

    async def start(self, config):
        done.append("ready")

    monkeypatch.setattr(
        safe_import_class(base), "initialize", start if name == "RolloutWorker" else lambda *_: done.append("ready")
    )
    monkeypatch.setattr(module, "trim_padding", lambda *_, **__: done.append("trimmed"))
    monkeypatch.setattr(module, "freeze_heap", lambda: done.append("frozen"))
    monkeypatch.setattr(module, "megatron", lambda worker: nullcontext())  # it is not installed everywhere
    kind = getattr(module, name)
    monkeypatch.setattr(kind, "prepare", lambda self, model: None, raising=False)
    worker = kind.__new__(kind)
    worker.worker_config = learner_config()
    worker.worker_config.strategy_args.strategy_name = strategy
    worker.strategy = SimpleNamespace(model=None, scheduler=warm_up())
    worker.importing = threading.Thread()
    worker.importing.start()
    begun = worker.initialize(SimpleNamespace(resume_from_checkpoint=False))
    if begun is not None:
        asyncio.run(begun)
    assert done[0] == "ready" and done[-1] == "frozen" and done.count("frozen") == 1
