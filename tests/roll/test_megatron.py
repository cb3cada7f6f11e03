"""ROLL's actor on Megatron, by its own worker and strategy, on CPUs with gloo: one process, and two that share layers.

Needs megatron-core and mcore_adapter (requirements-roll-megatron.txt); `on_cpu/` stands in for the GPUs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tau_retail_env.roll.backends import is_importable

PORT = 29731
ROWS, TOKENS = 4, 256
"""Rows of an update, and the length to which ROLL pads them."""
LENGTHS = (200, 64, 131, 17)
LEARNING_RATE = 1e-3
WARM_UP = 2
"""Updates of the warm-up."""
SHAPE = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
}
CASES = {"llama": ("fp32", 1), "qwen2": ("bf16", 2)}
"""By kind of model: the type that it is computed in, and the processes that share each of its layers."""
FARTHEST = {"fp32": 1e-4, "bf16": 0.2}
"""How far log-probabilities may lie from transformers', which are -6 on average."""

pytestmark = pytest.mark.skipif(
    not is_importable("megatron.core"), reason="needs megatron-core: requirements-roll-megatron.txt"
)


def make_model(folder: Path, kind: str, dtype: str) -> None:
    """Save a small random model of transformers', its norms and biases other than 1 and 0, with a tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SHAPE))
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            torch.nn.init.normal_(weight, mean=float("norm" in name), std=0.1)
    model.to(torch.bfloat16 if dtype == "bf16" else torch.float32).save_pretrained(folder)
    small = Path(__file__).resolve().parents[2] / "checkpoints" / "small"
    AutoTokenizer.from_pretrained(small).save_pretrained(folder)


def make_actor(folder: Path, kind: str, dtype: str, size: int, resume: str | bool, theirs: bool):
    """ROLL's worker of the actor, ours or its own, initialized in this process without Ray."""
    from roll.configs.model_args import ModelArguments
    from roll.configs.training_args import TrainingArguments
    from roll.configs.worker_config import StrategyArguments, WorkerConfig
    from roll.distributed.executor.worker import Worker
    from roll.distributed.strategy import megatron_strategy
    from roll.models import model_providers
    from roll.pipeline import base_worker
    from roll.pipeline.agentic.agentic_actor_worker import ActorWorker

    from tau_retail_env.config.compose import compose
    from tau_retail_env.roll.megatron import with_warm_up
    from tau_retail_env.roll.workers import LearningActor

    if theirs:  # which a newer transformers would stop before anything else
        arguments = megatron_strategy.TrainingArguments
        megatron_strategy.TrainingArguments = lambda **given: arguments(**with_warm_up(given))
    shipped = compose("tau_retail_1gpu", overrides=["train=megatron"])["actor_train"]["strategy_args"]
    config = WorkerConfig(
        name="actor_train",
        model_args=ModelArguments(model_name_or_path=str(folder / kind), dtype=dtype),
        training_args=TrainingArguments(
            output_dir=str(folder / "out"),
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=WARM_UP,
            weight_decay=0.0,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=ROWS // 2,
            max_steps=20,
        ),
        strategy_args=StrategyArguments(
            strategy_name="megatron_train",
            strategy_config=dict(shipped["strategy_config"]) | {"tensor_model_parallel_size": size},
        ),
        infer_batch_size=2,
    )
    config.checkpoint_config = {"type": "file_system", "output_dir": str(folder), "async_upload": False}
    Worker.initialize = lambda self, pipeline_config: setattr(self, "pipeline_config", pipeline_config)
    model_providers.download_model = base_worker.download_model = str  # it would ask one of Ray's actors
    worker = (ActorWorker if theirs else LearningActor).__new__(ActorWorker if theirs else LearningActor)
    rank = int(os.environ["RANK"])
    worker.worker_config, worker._logprobs_cache = config, {}
    worker.worker_name, worker.cluster_name = f"actor_train-{rank}", "actor_train"
    worker.rank_info = SimpleNamespace(is_pipeline_last_stage=True)
    worker.pipeline_config = SimpleNamespace(
        resume_from_checkpoint=resume,
        max_grad_norm=1.0,
        sequence_length=TOKENS,
        enable_old_logprobs_recompute=True,
        use_pg_clip_range=False,
        pg_clip=0.2,
        dual_clip_loss=False,
        loss_agg_mode="token-mean",
        use_kl_loss=False,
        entropy_loss_coef=0.0,
        ratio_type="token",
        train_infer_correction=SimpleNamespace(is_weight=SimpleNamespace(enabled=False)),
    )
    worker.initialize(worker.pipeline_config)
    return worker


def make_rows(seed: int):
    """Rows of one update as ROLL hands them to its learner; every third token is the actor's."""
    import torch
    from roll.distributed.scheduler.protocol import DataProto
    from roll.platforms import current_platform

    draw = torch.Generator().manual_seed(seed)
    places = torch.arange(TOKENS)[None]
    attention = (places < torch.tensor(LENGTHS)[:, None]).long()
    own = (places % 3 == 2).long() * attention
    noise = torch.randn(2, ROWS, TOKENS - 1, generator=draw)
    return DataProto.from_dict(
        {
            "input_ids": torch.randint(3, SHAPE["vocab_size"], own.shape, generator=draw) * attention,
            "attention_mask": attention,
            "response_mask": own,
            "old_log_probs": -6 + noise[0] / 10,
            "ref_log_probs": -6 + noise[0] / 10,
            "train_infer_is_weight": torch.ones_like(noise[0]),
            "advantages": noise[1] * own[:, 1:],
        },
        meta_info={"loss_mask_keys": ["response_mask"], "micro_batch_size": 2},
    ).to(current_platform.device_type)


def weights_for_vllm(worker) -> dict:
    """What ROLL sends to vLLM, by name."""
    from roll.third_party.megatron.model_update import gather_all_hf_weights, gather_weights_meta_cross_pp

    models = worker.strategy.models_unwrapped
    buckets = gather_all_hf_weights(models, buffer_size=2**14, weights_meta=gather_weights_meta_cross_pp(models))
    return {name: weight.detach().clone() for bucket in buckets for name, weight in bucket}


def learn(worker, seed: int) -> dict:
    """One update as in ROLL's train_step."""
    from roll.utils.offload_states import OffloadStateType

    worker.strategy.load_states(include=[OffloadStateType.model_params, OffloadStateType.other_params])
    metrics = worker.strategy.train_step(batch=make_rows(seed), loss_func=worker.loss_func)
    worker.strategy.offload_states()
    return metrics


def main(folder: Path, kind: str, dtype: str, size: int, part: str) -> None:
    """`begin`: log-probabilities, two updates, a checkpoint, one update more. `go_on`: that one, from the checkpoint.
    `theirs`: what ROLL's own worker does."""
    import torch

    checkpoint = folder / "checkpoint-1"
    worker = make_actor(folder, kind, dtype, size, str(checkpoint) if part == "go_on" else False, part == "theirs")
    strategy, found = worker.strategy, {}
    if part == "theirs":
        found = what_theirs_does(worker)
    elif part == "begin":
        strategy.load_states()
        found = strategy.forward_step(batch=make_rows(1), forward_func=worker.forward_func_log_probs) or {}
        found["before"] = weights_for_vllm(worker)
        strategy.offload_states()
        found["norms"], found["rates"] = [], []
        for seed in (1, 2):
            found["rates"].append(strategy.optimizer.param_groups[0]["lr"])
            found["norms"].append(learn(worker, seed)["actor_train/grad_norm"])
            found.setdefault("after_one", weights_for_vllm(worker))
        strategy.save_checkpoint(str(folder / worker.worker_name), 1, checkpoint.name, is_last_step=True)
        strategy.offload_states()
    if part != "theirs":
        learn(worker, 3)
        found["rate"] = strategy.optimizer.param_groups[0]["lr"]
        found["after"] = weights_for_vllm(worker)
        found["counts"] = [float(kept["step"]) for kept in strategy.optimizer.optimizer.state.values()]
    if os.environ["RANK"] == "0":
        torch.save(found, folder / f"{part}.pt")


def what_theirs_does(worker) -> dict:
    """Where ROLL's own stops, the types of its weights, and how its frequencies differ from transformers'."""
    from transformers import AutoConfig, AutoModelForCausalLM

    model = worker.strategy.models_unwrapped[0]
    config = AutoConfig.from_pretrained(worker.worker_config.model_args.model_name_or_path)
    frequencies = AutoModelForCausalLM.from_config(config).model.rotary_emb.inv_freq
    found = {
        "types": sorted({str(weight.dtype) for weight in model.parameters()}),
        "stretched": (frequencies / model.rotary_pos_emb.inv_freq).tolist(),
    }
    worker.strategy.load_states()
    try:
        worker.strategy.forward_step(batch=make_rows(1), forward_func=worker.forward_func_log_probs)
    except RuntimeError as error:
        found["stops"] = str(error)
    return found


def run(roll: Path, folder: Path, kind: str, dtype: str, size: int, part: str) -> dict:
    """A part in as many processes as share the model, and what the first has found."""
    import torch

    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join(str(one) for one in (Path(__file__).parent / "on_cpu", root, roll, *sys.path))
    shared = {**os.environ, "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(PORT + size)}
    shared |= {"WORLD_SIZE": str(size), "ROLL_LOG_DIR": str(folder), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    shared |= {"RAY_OVERRIDE_RESOURCES": json.dumps({"GPU": size}), "TORCHDYNAMO_DISABLE": "1"}
    shared |= {"TAU_RETAIL_ON_CPU": "megatron"}
    command = [sys.executable, __file__, str(folder), kind, dtype, str(size), part]
    ranks = [
        subprocess.Popen(command, env=shared | {"RANK": str(rank), "LOCAL_RANK": "0"}, cwd=root) for rank in range(size)
    ]
    assert [rank.wait(600) for rank in ranks] == [0] * size
    return torch.load(folder / f"{part}.pt", weights_only=False, map_location="cpu")


@pytest.fixture(scope="module", params=CASES)
def case(request, roll, tmp_path_factory):
    """A kind of model: its folder, its type, and what both parts have found."""
    kind, (dtype, size) = request.param, CASES[request.param]
    folder = tmp_path_factory.mktemp(kind)
    make_model(folder / kind, kind, dtype)
    parts = {part: run(roll, folder, kind, dtype, size, part) for part in ("begin", "go_on")}
    return SimpleNamespace(kind=kind, dtype=dtype, folder=folder, **parts)


def load(folder: Path):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto")


def log_probs(model, rows):
    """Of every token but the first, by transformers."""
    import torch

    logits = model(input_ids=rows.batch["input_ids"], attention_mask=rows.batch["attention_mask"]).logits[:, :-1]
    chosen = rows.batch["input_ids"][:, 1:, None]
    return torch.log_softmax(logits.float(), dim=-1).gather(2, chosen)[..., 0]


def test_log_probabilities_are_those_of_transformers(case):
    """At the actor's tokens, in ROLL's length; of rows that were padded and computed two at a time."""
    import torch

    rows = make_rows(1)
    own = rows.batch["response_mask"][:, 1:].bool()
    with torch.no_grad():
        expected = log_probs(load(case.folder / case.kind), rows)
    found = case.begin["log_probs"]
    assert found.shape == (ROWS, TOKENS - 1) == case.begin["entropy"].shape
    assert (found - expected)[own].abs().max() < FARTHEST[case.dtype]
    assert not found[~own].any()


def test_vllm_gets_every_weight_under_its_name(case):
    import torch

    expected = {
        name: weight for name, weight in load(case.folder / case.kind).state_dict().items() if name != "lm_head.weight"
    }
    assert case.begin["before"].keys() == expected.keys()
    for name, weight in expected.items():
        assert weight.dtype == case.begin["before"][name].dtype
        assert torch.equal(weight, case.begin["before"][name]), name


def test_an_update_is_that_of_plain_pytorch(case):
    """The gradient's norm, and, where weights are kept in fp32, every weight after a step of AdamW."""
    import torch

    model, rows = load(case.folder / case.kind).float(), make_rows(1)
    own = rows.batch["response_mask"][:, 1:].bool()
    ratio = (log_probs(model, rows) - rows.batch["old_log_probs"]).exp()[own]
    advantages = rows.batch["advantages"][own]
    loss = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    assert case.begin["norms"][0] == pytest.approx(float(norm), rel=0.1 if case.dtype == "bf16" else 1e-3)
    if case.dtype == "fp32":
        torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE / WARM_UP, weight_decay=0.0).step()
        expected = model.state_dict()
        for name, weight in case.begin["after_one"].items():
            torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=LEARNING_RATE / 20)


def test_the_first_update_of_a_warm_up_has_a_learning_rate(case):
    assert case.begin["rates"] == pytest.approx([LEARNING_RATE / WARM_UP, LEARNING_RATE])
    assert case.begin["rate"] == case.go_on["rate"] == pytest.approx(LEARNING_RATE)


def test_a_resumed_run_makes_the_update_that_would_have_followed(case):
    """Weights, moments and the count of steps, of each weight, are those of a run that was never stopped."""
    import torch

    assert case.begin["after"].keys() == case.go_on["after"].keys()
    for name, weight in case.begin["after"].items():
        assert torch.equal(weight, case.go_on["after"][name]), name
    assert set(case.begin["counts"]) == set(case.go_on["counts"]) == {3.0}


def test_a_checkpoint_is_a_model_that_transformers_loads(case):
    import torch

    saved = load(case.folder / "checkpoint-1").state_dict()
    first = case.begin["before"]
    assert saved.keys() - {"lm_head.weight"} == first.keys()
    assert not any(torch.equal(saved[name], first[name]) for name in first if "proj.weight" in name)


def test_rolls_own_stops_at_the_mask_and_stretches_frequencies(roll, tmp_path):
    """What `roll/megatron.py` mends: without it Megatron's own layers stop, and a Llama is taken for a Llama 3.1."""
    make_model(tmp_path / "llama", "llama", "bf16")
    found = run(roll, tmp_path, "llama", "bf16", 1, "theirs")
    assert "masked_fill_ only supports boolean masks" in found["stops"]
    assert found["stretched"][-1] == pytest.approx(8.0) and found["stretched"][0] == 1.0
    assert found["types"] == ["torch.bfloat16", "torch.float32"]


@pytest.mark.parametrize(("steps", "ratio", "kept"), [(10, 0.0, 10), (0, 0.1, 0.1), (0, 0.0, 0.0)])
def test_a_warm_up_reaches_transformers_training_arguments(roll, tmp_path, steps, ratio, kept):
    """With ROLL's own a `warmup_ratio` of 0 takes its place (transformers 5.14), or is refused (5.15 and newer)."""
    from mcore_adapter import TrainingArguments

    from tau_retail_env.roll.megatron import with_warm_up

    given = {"output_dir": str(tmp_path), "use_cpu": True, "warmup_steps": steps, "warmup_ratio": ratio}
    assert TrainingArguments(**with_warm_up(given)).warmup_steps == kept
    try:
        lost = TrainingArguments(**given).warmup_steps != steps
    except TypeError:
        lost = True
    assert lost or not steps


def test_a_rotary_embedding_that_scales_attention_is_refused(roll):
    from transformers import LlamaConfig

    from tau_retail_env.roll.megatron import rotate_as

    scaled = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
    with pytest.raises(NotImplementedError, match=r"rope_type yarn, which scales attention by 1\.13"):
        rotate_as(SimpleNamespace(), LlamaConfig(**SHAPE | {"rope_parameters": scaled}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4]), sys.argv[5])
