"""What log-probabilities and a gradient cost ROLL's own learner and ours: python benchmarks/roll_learning.py

In the environment of the engine roll, on a GPU or a CPU; weights are random, in the shape of Qwen2.5-0.5B with fewer
layers and its whole vocabulary. Each side runs in a process of its own on the same padded row: first without a
gradient, as old and reference log-probabilities are taken, then with one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

VOCABULARY = 151_936
SHAPE = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
GIB = 2**30


def main() -> None:
    """Run both sides, one after another, and print them and their ratios."""
    options = _options()
    if options.side:
        print(json.dumps(measure(options)))
        return
    print(
        f"sequence_length {options.sequence_length}, episode {options.episode} tokens, {options.own} of them the "
        f"actor's, {options.layers} layers of Qwen2.5-0.5B, vocabulary {VOCABULARY}"
    )
    found = {side: _in_a_process(side) for side in ("roll", "ours")}
    print(f"{'':24}{'ROLL':>12}{'ours':>12}{'ratio':>10}")
    for name in found["roll"]:
        their, our = found["roll"][name], found["ours"][name]
        if name != "log-probabilities":
            print(f"{name:24}{their:12.2f}{our:12.2f}{their / our:9.1f}x")
    pairs = zip(found["roll"]["log-probabilities"], found["ours"]["log-probabilities"], strict=True)
    print(f"log-probabilities differ by {max(abs(their - our) for their, our in pairs):.1e} at most")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and memory of one side, in this process."""
    import torch

    from tau_retail_env.roll.learning import spare

    device = "cuda" if torch.cuda.is_available() else "cpu"
    strategy = _strategy(options.layers, device)
    if options.side == "ours":
        spare(strategy)
    row = {name: value.to(device) for name, value in _row(options).items()}
    before = _bytes_now(device)
    start = time.perf_counter()
    with torch.no_grad(), torch.autocast(device, torch.bfloat16):
        log_probs, entropy = _numbers(strategy, row)
        log_probs, entropy = log_probs.cpu(), entropy.cpu()
    forward_s, forward = time.perf_counter() - start, _peak_bytes(device) - before
    start = time.perf_counter()
    with torch.autocast(device, torch.bfloat16):
        _numbers(strategy, row, with_entropy=False)[0].sum().backward()
    _wait(device)
    return {
        "forward, s": forward_s,
        "forward, peak GiB": forward / GIB,
        "with gradient, s": time.perf_counter() - start,
        "both, peak GiB": (_peak_bytes(device) - before) / GIB,
        "log-probabilities": log_probs[log_probs != 0].tolist(),
    }


def _strategy(layers: int, device: str) -> Any:
    """ROLL's FSDP2 strategy around a model, without its process group: what it computes is the same."""
    import torch
    from roll.distributed.strategy.fsdp2_strategy import FSDP2TrainStrategy
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    strategy = FSDP2TrainStrategy.__new__(FSDP2TrainStrategy)
    config = Qwen2Config(vocab_size=VOCABULARY, num_hidden_layers=layers, **SHAPE)
    strategy.model = Qwen2ForCausalLM(config).to(device)
    strategy.model.gradient_checkpointing_enable()
    strategy.worker = SimpleNamespace(rank_info=SimpleNamespace(cp_size=1, cp_rank=0))
    return strategy


def _row(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    length, end = options.sequence_length, options.episode
    attention = (torch.arange(length) < end).long()[None]
    own = ((torch.arange(length) >= end - options.own) & (torch.arange(length) < end)).long()[None]
    ids = torch.randint(VOCABULARY, (1, length), generator=torch.Generator().manual_seed(0)) * attention
    return {"ids": ids, "attention": attention, "positions": attention.cumsum(dim=1) - 1, "own": own}


def _numbers(strategy: Any, row: dict[str, Any], *, with_entropy: bool = True) -> tuple[Any, Any]:
    logits = strategy._fsdp2_forward(
        input_ids=row["ids"],
        attention_mask=row["attention"],
        position_ids=row["positions"].clamp(min=0),
        forward_args={"use_cache": False},
    )
    log_probs = strategy.op_compute_log_probs(logits=logits, input_ids=row["ids"], attention_mask=row["own"])
    return log_probs, strategy.op_compute_entropy(logits=logits, attention_mask=row["own"]) if with_entropy else None


def _bytes_now(device: str) -> int:
    """Memory in use, of the GPU, or resident; from here on the peak is counted anew."""
    import torch

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak is now what is resident
    return _status_bytes("VmRSS")


def _peak_bytes(device: str) -> int:
    """The most memory in use since `_bytes_now`."""
    import torch

    return int(torch.cuda.max_memory_allocated()) if device == "cuda" else _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _wait(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def _in_a_process(side: str) -> dict[str, Any]:
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
    with tempfile.TemporaryDirectory() as logs:
        variables = {"ROLL_LOG_DIR": logs, **os.environ}  # otherwise ROLL writes into the current folder
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=variables).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequence-length", type=int, default=4096, help="tokens of the padded row")
    parser.add_argument("--episode", type=int, default=2000, help="tokens of the episode")
    parser.add_argument("--own", type=int, default=200, help="of these, the actor's")
    parser.add_argument("--layers", type=int, default=2, help="layers of the model (Qwen2.5-0.5B has 24)")
    parser.add_argument("--side", choices=("roll", "ours"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
