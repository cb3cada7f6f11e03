"""What a step's learning costs ROLL's own learners, ours, and plain PyTorch: python benchmarks/roll_learning.py

In the environment of the engine roll (or with torch, transformers, ROLL and its Python packages on PYTHONPATH), on GPUs
or a CPU. Weights and tokens are random; rows are of different lengths, padded as ROLL pads them. Each side runs in
processes of its own, one for each GPU, over the same rows:

  roll          ROLL's workers and FSDP2 strategy as they are, a row in a micro-batch
  trimmed       the same, rows cut to the longest of their micro-batch, log-probabilities of the actor's tokens alone
  ours          what a run does now (tau_retail_env/roll/learning.py)
  ours-hf-norms, ours-checkpointing, ours-compiled    the same without the fused norms; with gradient checkpointing;
                with torch.compile of each layer
  ours-rounded  rows padded to multiples of --round tokens, with cuDNN's attention: few shapes to plan it for
  ours-cudnn    with cuDNN's attention where PyTorch would take it: planned anew for each shape of a micro-batch
  ours-regathered    with FSDP2 gathering the weights in each micro-batch, as it does for a model that is not small
  best, best-compiled, best-flash    no ROLL, no FSDP2, no optimizer: bf16 weights, a forward and a backward pass over
                the same micro-batches; PyTorch's choice of attention, or the flash kernel

By default a part of a step is warmed up on rows of the same lengths as the measured ones, so that whatever is done once
for each shape is left out. With --steps N it is run N times on rows of other lengths each time, states offloaded and
PyTorch's memory given back in between as in a run, --taken of the GPU's memory held by something else; the median
without the first is told, and all of them in the JSON.

A rate is 6 x weights x tokens (2 x without a gradient; the head's only for the actor's own tokens) plus the products of
causal attention, recomputation not counted, as a share of what the device was measured to reach in one large bf16
matrix product.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

QWEN, LLAMA = "qwen2", "llama"
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen2.5-0.5B": (
        QWEN,
        {
            "vocab_size": 151_936,
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
        },
    ),
    "SmolLM2-135M": (
        LLAMA,
        {
            "vocab_size": 49_152,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
        },
    ),
    "small": (
        QWEN,
        {
            "vocab_size": 4096,
            "hidden_size": 256,
            "intermediate_size": 768,
            "num_hidden_layers": 8,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
        },
    ),
    "toy": (
        QWEN,
        {
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
        },
    ),
}
SIDES = (
    "roll",
    "trimmed",
    "ours",
    "ours-hf-norms",
    "ours-checkpointing",
    "ours-compiled",
    "ours-rounded",
    "ours-cudnn",
    "ours-regathered",
    "best",
    "best-compiled",
    "best-flash",
)
PLAIN = ("roll", "trimmed")
"""Sides that take minutes, and are measured on fewer rows."""
PARTS = ("log-probabilities", "values", "actor", "critic")
GIB = 2**30
TURNS = 10
"""Messages of the actor in a row, between those of others."""


def main() -> None:
    """Run the sides, one after another, and print them and their ratios."""
    options = _options()
    if options.side:
        print(json.dumps(measure(options)))
        return
    if options.profile:
        Path(options.profile).mkdir(parents=True, exist_ok=True)
    device = _device_rate(options)
    print(
        f"{options.shape}: {options.rows} rows of {options.tokens} tokens (+-{options.spread:.0%}), {options.own} of "
        f"them the actor's; {options.ranks} x {device['name']}, {device['flops'] / 1e12:.3g} TFLOP/s in bf16"
    )
    found: dict[str, Any] = {"options": vars(options), "device": device, "sides": {}}
    for side in options.sides.split(","):
        found["sides"][side] = told = _in_processes(side, options)
        if "error" in told:
            print(f"{side}: {told['error'].splitlines()[-1]}")
            continue
        for part in PARTS:
            told[part] |= _rates(part, told[part], options, device)
    _print(found)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and memory of one side, in this process, by part of a step."""
    import torch
    import torch.distributed as dist

    rank = int(os.environ.get("RANK", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    told: dict[str, Any] = {}
    try:
        for part in PARTS:
            told[part] = _measure_part(part, options, rank)
    except Exception as error:  # a variant that cannot run here is a result, too
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        dist.destroy_process_group()
    return told


def _measure_part(part: str, options: argparse.Namespace, rank: int) -> dict[str, Any]:
    import torch

    rows = min(options.rows, options.plain_rows) if options.side in PLAIN else options.rows
    rows = rows // options.ranks
    part_run, offload = (
        (_plain(part, options), lambda: None) if options.side.startswith("best") else _roll(part, options, rows)
    )
    measure = _several_steps if options.steps > 1 else _warmed_up
    told: dict[str, Any] = {"rows": rows * options.ranks}
    seconds = measure(part, options, rows, rank, part_run, offload)
    scale = options.rows / rows / options.ranks
    told["seconds"] = statistics.median(seconds[1:] or seconds) * scale
    told["each, s"] = [one * scale for one in seconds]
    if options.profile:
        told["kernels, s"] = _kinds(part, options, rows, rank, part_run)
        offload()
    if torch.cuda.is_available():
        told["peak, GiB"] = torch.cuda.max_memory_allocated() / GIB
        torch.cuda.empty_cache()
    return told


def _warmed_up(
    part: str, options: argparse.Namespace, rows: int, rank: int, run: Callable[[Any], Any], offload: Callable[[], None]
) -> list[float]:
    """Seconds of one step whose shapes were seen before."""
    import torch

    batch = make_batch(options, rows, seed=rank).to(_device())
    run(batch.slice(0, max(rows // options.updates, 1)))  # kernels chosen and, where asked for, compiled
    _wait()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    return [_timed(lambda: run(batch))]


def _several_steps(
    part: str, options: argparse.Namespace, rows: int, rank: int, run: Callable[[Any], Any], offload: Callable[[], None]
) -> list[float]:
    """Seconds of each step, with rows of other lengths and a process that gave its memory back before."""
    import torch

    taken = torch.empty(0)
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        taken = torch.empty(int(options.taken * total), dtype=torch.uint8, device="cuda")
    seconds = []
    for step in range(options.steps):
        # Each role has a process of its own in a run: here no part is to find what another has prepared.
        seed = rank + 1000 * (step + 1) + 100 * PARTS.index(part)
        batch = make_batch(options, rows, seed=seed, evenly=False).to(_device())
        seconds.append(_timed(lambda batch=batch: run(batch)))
        offload()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    del taken
    return seconds


def _kinds(part: str, options: argparse.Namespace, rows: int, rank: int, run: Callable[[Any], Any]) -> dict[str, float]:
    """Where the GPU's time goes in one update's rows, of lengths seen before; rank 0 leaves a trace."""
    from benchmarks.kernels import profile

    batch = make_batch(options, rows, seed=rank).to(_device()).slice(0, max(rows // options.updates, 1))
    run(batch)
    _wait()
    trace = Path(options.profile) / f"{options.side}-{part}.json.gz" if rank == 0 else None

    def work() -> None:
        run(batch)
        _wait()

    return profile(work, trace)


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - start


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _roll(part: str, options: argparse.Namespace, rows: int) -> tuple[Callable[[Any], Any], Callable[[], None]]:
    """A part of a step with ROLL's workers, on their own strategy or on ours, and what they do when it is over."""
    import torch

    values = part in ("values", "critic")
    worker = make_worker(options, values=values, update=max(rows // options.updates, 1))
    if options.side == "trimmed":
        _trim(worker.strategy, keep_length=values)
    elif options.side != "roll":
        _ours(worker.strategy, options, values=values)
    if options.side == "ours-compiled":
        _compile(worker.strategy.model)

    def load() -> None:
        if torch.cuda.is_available() and options.steps > 1:
            worker.strategy.load_states()

    def offload() -> None:
        if torch.cuda.is_available():
            worker.strategy.offload_states()

    if part in ("actor", "critic"):
        training = worker.worker_config.training_args
        size = training.per_device_train_batch_size * training.gradient_accumulation_steps

        def train(batch: Any) -> None:
            load()
            for update in batch.make_iterator(mini_batch_size=size, epochs=1):
                worker.strategy.train_step(batch=update, loss_func=worker.loss_func)

        return train, offload

    def infer(batch: Any) -> Any:
        load()
        batch.meta_info["micro_batch_size"] = 1
        function = worker.forward_func_values if values else worker.forward_func_log_probs
        return worker.strategy.forward_step(batch=batch, forward_func=function)

    return infer, offload


def _ours(strategy: Any, options: argparse.Namespace, *, values: bool) -> None:
    import torch

    from tau_retail_env.roll import learning

    if options.side == "ours-regathered":
        learning.Rows.keep_gathered = lambda rows: None
    if options.side == "ours-hf-norms":
        learning.fuse_norms = lambda model: None
    if options.side == "ours-checkpointing":
        strategy.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    learning.still(strategy.model)
    multiple = options.round if options.side == "ours-rounded" else 1
    train, infer = (learning.Sizes(tokens, multiple) for tokens in (options.train_tokens, options.infer_tokens))
    learning.trim_padding(strategy, train=train, infer=infer, values=values)
    if options.side == "ours-cudnn":
        torch.backends.cuda.enable_cudnn_sdp(True)


def _trim(strategy: Any, *, keep_length: bool) -> None:
    """What this package did before: rows trimmed, the vocabulary met by the actor's tokens alone."""
    import torch
    from roll.utils.functionals import entropy_from_logits, log_probs_from_logits

    run_model = strategy._fsdp2_forward

    def run_trimmed(input_ids: Any, attention_mask: Any, position_ids: Any, forward_args: dict[str, Any]) -> Any:
        length = min(int(attention_mask.sum(dim=1).max()) + 1, input_ids.shape[1])
        output = run_model(
            input_ids=input_ids[:, :length],
            attention_mask=attention_mask[:, :length],
            position_ids=position_ids[:, :length],
            forward_args=forward_args,
        )
        return torch.nn.functional.pad(output, (0, 0, 0, input_ids.shape[1] - length)) if keep_length else output

    def of_own(function: Callable[..., Any], logits: Any, own: Any, *labels: Any) -> Any:
        marked = own[:, 1:].bool()
        found = function(logits[:, :-1][marked[:, : logits.shape[1] - 1]], *(one[:, 1:][marked] for one in labels))
        return found.new_zeros(marked.shape).masked_scatter(marked, found)

    strategy.op_compute_log_probs = lambda logits, input_ids, attention_mask: of_own(
        log_probs_from_logits, logits, attention_mask, input_ids
    )
    strategy.op_compute_entropy = lambda logits, attention_mask: of_own(entropy_from_logits, logits, attention_mask)


def _plain(part: str, options: argparse.Namespace) -> Callable[[Any], None]:
    """The same products without ROLL and FSDP2: the model in bf16 over rows sorted by length, and a backward pass."""
    import torch

    from tau_retail_env.models.rows import attend_without_mask, by_length, fuse_norms

    values, learns = part in ("values", "critic"), part in ("actor", "critic")
    model = make_model(options.shape, values=values).to(_device(), torch.bfloat16).train(learns)
    fuse_norms(model)
    if options.side == "best-flash":
        attend_without_mask(model)
    if options.side == "best-compiled":
        _compile(model)
    tokens = options.train_tokens if learns else options.infer_tokens

    def run(batch: Any) -> None:
        lengths = batch.batch["attention_mask"].sum(1).tolist()
        for places in by_length(lengths, tokens):
            rows, length = batch.select_idxs(torch.tensor(places)).batch, lengths[places[0]]
            ids, own = rows["input_ids"][:, :length], rows["response_mask"][:, 1:length].bool()
            with torch.set_grad_enabled(learns):
                hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
                if values:
                    loss = (model.score(hidden).float().squeeze(-1)[:, :-1][own] - 0.5).square().mean()
                else:
                    loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[:, :-1][own]), ids[:, 1:][own])
            if learns:
                loss.backward()
        model.zero_grad(set_to_none=True)

    return run


def _compile(model: Any) -> None:
    """Compile each layer, with transformers' norms: ours would have each layer compiled anew, and after eight none."""
    for module in model.modules():
        if type(module.__dict__.get("forward")).__name__ == "_FusedNorm":
            del module.forward
    for layer in model.model.layers:
        layer.compile(dynamic=True)


def make_model(shape: str, *, values: bool) -> Any:
    """A model of a shape by name, with random weights in fp32, the same each time."""
    import torch
    import transformers

    family, sizes = SHAPES[shape]
    torch.manual_seed(0)
    name = {QWEN: "Qwen2", LLAMA: "Llama"}[family]
    config = getattr(transformers, f"{name}Config")(
        **sizes, tie_word_embeddings=not values, num_labels=1, attn_implementation="sdpa", pad_token_id=0
    )
    return getattr(transformers, f"{name}For{'TokenClassification' if values else 'CausalLM'}")(config)


def make_worker(options: Any, *, values: bool, update: int) -> Any:
    """ROLL's actor or critic with a model and FSDP2, without Ray, in the process group that there is.

    Args:
        options: `shape`, `dtype` (of what is computed) and `sequence_length`.
        values: whether it is a critic.
        update: rows of one update on this GPU.
    """
    import torch
    import torch.distributed as dist
    from roll.distributed.strategy.fsdp2_strategy import FSDP2TrainStrategy, create_device_mesh_with_ep
    from roll.pipeline.agentic.agentic_actor_worker import ActorWorker
    from roll.pipeline.base_worker import CriticWorker

    kind = CriticWorker if values else ActorWorker
    worker = kind.__new__(kind)
    settings = {"fsdp_size": 1, "param_dtype": options.dtype, "reduce_dtype": "float32", "reshard_after_forward": True}
    worker.worker_config = SimpleNamespace(
        name="critic" if values else "actor_train",
        strategy_args=SimpleNamespace(strategy_config=settings),
        training_args=SimpleNamespace(per_device_train_batch_size=1, gradient_accumulation_steps=update),
        apply_loss_scale=not values,
    )
    worker.pipeline_config = SimpleNamespace(
        max_grad_norm=1.0,
        sequence_length=options.sequence_length,
        enable_old_logprobs_recompute=True,
        use_pg_clip_range=False,
        pg_clip=0.2,
        dual_clip_loss=False,
        value_clip=0.5,
        loss_agg_mode="token-mean",
        use_kl_loss=False,
        entropy_loss_coef=0.0,
        ratio_type="token",
        train_infer_correction=SimpleNamespace(is_weight=SimpleNamespace(enabled=False)),
    )
    size = dist.get_world_size()
    worker.rank_info = SimpleNamespace(cp_size=1, cp_rank=0, dp_size=size, dp_rank=dist.get_rank())
    strategy = FSDP2TrainStrategy.__new__(FSDP2TrainStrategy)
    strategy.worker, strategy.worker_config = worker, worker.worker_config
    strategy.ep_enabled = strategy.is_lora = False
    strategy.scaler = None
    strategy.device_mesh, strategy.moe_device_mesh = create_device_mesh_with_ep(size, 1, 1, 1)
    strategy.setup_fsdp2_configuration()
    strategy.initialize_fsdp2_model(make_model(options.shape, values=values))
    strategy.optimizer = torch.optim.AdamW(strategy.model.parameters(), lr=1e-5)
    strategy.scheduler = torch.optim.lr_scheduler.ConstantLR(strategy.optimizer, 1.0)
    worker.strategy = strategy
    return worker


def make_batch(options: Any, rows: int, seed: int, *, evenly: bool = True) -> Any:
    """Rows of one GPU as ROLL hands them to its learners.

    Args:
        options: `shape`, `tokens` (of a row, on average), `spread` (share by which the lengths differ from it), `own`
            (the actor's tokens among them) and `sequence_length`.
        rows: how many.
        seed: of ids and numbers.
        evenly: whether the lengths are the same for each seed, evenly spread, or drawn.
    """
    import torch
    from roll.distributed.scheduler.protocol import DataProto

    draw = torch.Generator().manual_seed(seed)
    span = torch.linspace(-options.spread, options.spread, rows) if rows > 1 else torch.zeros(1)
    if not evenly:
        span = options.spread * (2 * torch.rand(rows, generator=draw) - 1)
    lengths = (options.tokens * (1 + span)).long().clamp(2 * TURNS, options.sequence_length)
    lengths = lengths[torch.randperm(rows, generator=draw)][:, None]
    places = torch.arange(options.sequence_length)[None]
    attention = (places < lengths).long()
    turn, said = lengths // TURNS, max(options.own // TURNS, 1)
    own = ((places % turn >= (turn - said).clamp(min=1)) & (places < turn * TURNS)).long() * attention
    noise = torch.randn(4, rows, options.sequence_length - 1, generator=draw)
    return DataProto.from_dict(
        {
            "input_ids": torch.randint(SHAPES[options.shape][1]["vocab_size"], own.shape, generator=draw) * attention,
            "attention_mask": attention,
            "position_ids": (attention.cumsum(dim=1) - 1).clamp(min=0),
            "response_mask": own,
            "old_log_probs": -4 + noise[0] / 10,
            "ref_log_probs": -4 + noise[0] / 10,
            "train_infer_is_weight": torch.ones_like(noise[0]),
            "advantages": noise[1] * own[:, 1:],
            "values": noise[2] / 10,
            "returns": noise[3].sign().clamp(min=0),
        },
        meta_info={"loss_mask_keys": ["response_mask"]},
    )


def _device_rate(options: argparse.Namespace) -> dict[str, Any]:
    """What one large product of bf16 matrices reaches, in a process of its own."""
    code = f"""
import json, time, torch
device, size = ("cuda", 8192) if torch.cuda.is_available() else ("cpu", {options.product})
a, b = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
best = 1e9
for _ in range(4):
    wait(); start = time.perf_counter()
    for _ in range(5): a @ b
    wait(); best = min(best, (time.perf_counter() - start) / 5)
name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
print(json.dumps({{"name": name, "torch": torch.__version__, "flops": 2 * size**3 / best}}))
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
    told: dict[str, Any] = json.loads(said.splitlines()[-1])
    return told


def products(part: str, options: Any) -> float:
    """Operations that a part of a step needs, over all rows; a multiplication and an addition are two."""
    _, sizes = SHAPES[options.shape]
    hidden, heads = sizes["hidden_size"], sizes["num_attention_heads"]
    attention = hidden * hidden * 2 * (1 + sizes["num_key_value_heads"] / heads)
    trunk = sizes["num_hidden_layers"] * (attention + 3 * hidden * sizes["intermediate_size"])
    # The mean square of evenly spread lengths; half of the products of attention are causal.
    square = options.tokens**2 * (1 + options.spread**2 / 3)
    row = 2 * trunk * options.tokens + 2 * square * hidden * sizes["num_hidden_layers"]
    if part in ("log-probabilities", "actor"):
        row += 2 * options.own * hidden * sizes["vocab_size"]
    return float(options.rows * row * (3 if part in ("actor", "critic") else 1))


def _rates(part: str, told: dict[str, Any], options: argparse.Namespace, device: dict[str, Any]) -> dict[str, float]:
    return {
        "tokens/s": options.rows * options.tokens / told["seconds"],
        "share": products(part, options) / told["seconds"] / (device["flops"] * options.ranks),
    }


def _print(found: dict[str, Any]) -> None:
    sides = {side: told for side, told in found["sides"].items() if "error" not in told}
    slow = sides.get("roll")
    for part in PARTS:
        print(f"\n{part:20}{'seconds':>10}{'tokens/s':>12}{'share':>8}{'GiB':>7}{'x ROLL':>9}{'rows':>6}")
        for side, told in sides.items():
            one = told[part]
            ratio = f"{slow[part]['seconds'] / one['seconds']:.1f}" if slow else ""
            print(
                f"{side:20}{one['seconds']:10.2f}{one['tokens/s']:12,.0f}{one['share']:8.1%}"
                f"{one.get('peak, GiB', float('nan')):7.1f}{ratio:>9}{one['rows']:6.0f}"
            )
            if kinds := one.get("kernels, s"):
                whole = sum(kinds.values())
                print(f"    {', '.join(f'{kind} {seconds / whole:.0%}' for kind, seconds in kinds.items())}")


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _in_processes(side: str, options: argparse.Namespace) -> dict[str, Any]:
    """One side, a process for each GPU; what the first of them tells."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
    with tempfile.TemporaryDirectory() as logs:
        # Without ROLL_LOG_DIR ROLL writes into the current folder.
        shared = {"ROLL_LOG_DIR": logs, **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        shared["WORLD_SIZE"] = str(options.ranks)
        processes = [
            subprocess.Popen(command, env={**shared, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
            for rank in range(options.ranks)
        ]
        said = [process.communicate()[0] for process in processes]
    lines = said[0].splitlines()
    if processes[0].returncode or not lines:
        return {"error": f"the process ended with status {processes[0].returncode}"}
    told: dict[str, Any] = json.loads(lines[-1])
    return told


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=tuple(SHAPES), default="small", help="of the model")
    parser.add_argument("--rows", type=int, default=128, help="of a step, all GPUs together")
    parser.add_argument("--tokens", type=int, default=4670, help="of a row, on average")
    parser.add_argument("--spread", type=float, default=0.3, help="share by which lengths differ from it at most")
    parser.add_argument("--own", type=int, default=400, help="tokens of a row that are the actor's")
    parser.add_argument("--sequence-length", type=int, default=8192, help="tokens of a padded row")
    parser.add_argument("--updates", type=int, default=2, help="of the weights, in a step")
    parser.add_argument("--train-tokens", type=int, default=32_768, help="of a micro-batch with a gradient")
    parser.add_argument("--infer-tokens", type=int, default=65_536, help="of one without")
    parser.add_argument("--round", type=int, default=256, help="tokens, of the side ours-rounded")
    parser.add_argument("--plain-rows", type=int, default=16, help="measured of ROLL's own, scaled to all rows")
    parser.add_argument("--steps", type=int, default=1, help="measured; from 2 on with other lengths each, as in a run")
    parser.add_argument("--taken", type=float, default=0.0, help="share of a GPU's memory that is taken, with --steps")
    parser.add_argument("--ranks", type=int, default=1, help="GPUs, or processes on a CPU")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16", help="computed in")
    parser.add_argument("--product", type=int, default=1024, help="size of the product measured on a CPU")
    parser.add_argument("--sides", default="roll,trimmed,ours,best", help=f"of {', '.join(SIDES)}")
    parser.add_argument("--json", help="file for the numbers")
    parser.add_argument("--profile", help="folder for a trace of each part, whose kernels are then told by kind, too")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
