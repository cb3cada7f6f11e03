"""What an update of fine-tuning costs, ours and TRL's plain way side by side: python benchmarks/sft_speed.py

In the environment of the engine local, on the first GPU or a CPU. Weights and tokens are random; every row begins with
the same prompt and has its own length. Each side trains the same model on the same rows, through its own trainer with
its own optimizer:

  trl            TRL's SFTTrainer as it is: rows in any order, padded to the longest of a pass, with an attention mask,
                 a loss on every token after the prompt
  ours           what `tau-retail train` does (tau_retail_env/local/learner.py)
  ours-cudnn     the same with passes padded to multiples of 256 tokens and cuDNN's attention; only with --sides
  ours-compiled  the same with torch.compile of each layer; only with --sides
  ours-both      with both; only with --sides

Told for each side: tokens a second, prompt included and padding not, in the median of the updates after the first
three, and the last loss; beside it the ratio to the first side. The loss of `trl` is not weighted, the others' is.

`--gpus N` gives our sides N GPUs (without one: N processes); memory is the first's. `--profile FOLDER` tells in which
kinds of kernels the first GPU spends an update of our sides, the optimizer's part included, and leaves a trace.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from datasets import Dataset
from transformers.trainer_callback import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from benchmarks.kernels import profile
from benchmarks.roll_learning import SHAPES, make_model
from tau_retail_env.config import compose
from tau_retail_env.local import models, sft
from tau_retail_env.local.batches import Update, updates_of
from tau_retail_env.local.config import check_sft
from tau_retail_env.local.conversations import EncodedConversations
from tau_retail_env.local.gradient_workers import GradientWorkers
from tau_retail_env.local.run_folder import ENGINE
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.runs.folder import RunFolder

WARM_UP = 3
"""Updates of a side that are not counted: kernels are chosen and memory is taken in them."""


class Clock(TrainerCallback):
    """Notes when each update ended, with everything that it asked of the GPU."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.loss = float("nan")

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called by the trainer after each update."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def on_log(self, *_: Any, logs: Any = None, **__: Any) -> None:
        """Called by the trainer with the numbers of an update."""
        self.loss = (logs or {}).get("loss", self.loss)


def main() -> None:
    """Run the sides, one after another, and print them."""
    options = _options()
    models.quiet()
    torch.manual_seed(0)
    data = make_conversations(options)
    updates = updates_of(data, rows=options.rows, passes=options.passes, num_updates=options.updates, seed=0)
    mean = float(data.lengths.mean())
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    print(f"{options.shape} on {device}: updates of {options.rows} x {options.passes} rows of {mean:.0f} tokens")
    found: dict[str, Any] = {"options": vars(options), "device": device, "sides": {}}
    for side in options.sides.split(","):
        with tempfile.TemporaryDirectory() as folder:
            told = run_side(side, options, data, updates, Path(folder))
        found["sides"][side] = told
        first = next(iter(found["sides"].values()))["tokens_per_s"]
        print(
            f"{side:<14} {told['tokens_per_s']:>10,.0f} tokens/s  {told['tokens_per_s'] / first:5.2f} x  "
            f"{told['update_s']:.2f} s an update  peak {told['peak_gib']:.1f} GiB  loss {told['loss']:.3f}",
            flush=True,
        )
        if kinds := told.get("kernels_s"):
            whole = sum(kinds.values())
            print(f"    {', '.join(f'{kind} {seconds / whole:.0%}' for kind, seconds in kinds.items())}")
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def make_conversations(options: argparse.Namespace) -> EncodedConversations:
    """Random rows that begin alike, of lengths around `--tokens`."""
    draws = np.random.default_rng(0)
    words = SHAPES[options.shape][1]["vocab_size"]
    number = options.rows * options.passes * options.updates
    spread = options.tokens * options.spread
    lengths = draws.normal(options.tokens, spread, number).clip(options.prompt + 50, 2 * options.tokens).astype(int)
    prompt = draws.integers(0, words, options.prompt)
    texts = [np.concatenate([prompt, draws.integers(0, words, length - options.prompt)]) for length in lengths]
    masks = [(draws.random(length) < options.own).astype(np.uint8) for length in lengths]
    for mask in masks:
        mask[: options.prompt] = 0
    return EncodedConversations(
        token_ids=np.concatenate(texts).astype(np.int32),
        response_mask=np.concatenate(masks),
        starts=np.cumsum([0, *lengths]),
        prompts=np.full(number, options.prompt),
        num_failed=0,
        num_unscorable=0,
        num_long=0,
    )


def run_side(
    side: str, options: argparse.Namespace, data: EncodedConversations, updates: Sequence[Update], folder: Path
) -> dict[str, Any]:
    """Train through one side's trainer and tell how long an update took."""
    model = make_model(options.shape, values=False).to(models.device())
    clock = Clock()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    kernels_s = None
    if side == "trl":
        trainer, rows = _theirs(model, options, data, updates, folder)
        trainer.add_callback(clock)
        trainer.train()
    else:
        with GradientWorkers(options.gpus) as workers:
            trainer, rows = _ours(side, model, options, data, updates, folder, workers)
            trainer.add_callback(clock)
            trainer.train()
            if options.profile:
                kernels_s = _kernels(trainer, updates[-1], Path(options.profile) / f"{side}.json.gz")
    tokens = [int(data.lengths[of_update].sum()) for of_update in rows]
    seconds = [end - start for start, end in zip(clock.ends, clock.ends[1:], strict=False)][WARM_UP - 1 :]
    rates = [number / taken for number, taken in zip(tokens[WARM_UP:], seconds, strict=True)]
    return {
        "tokens_per_s": statistics.median(rates),
        "update_s": statistics.median(seconds),
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0,
        "loss": clock.loss,
        "kernels_s": kernels_s,
    }


def _kernels(trainer: sft.ConversationTrainer, update: Update, trace: Path) -> dict[str, float]:
    """Seconds by kind of kernel of one more update, of lengths seen before."""
    trace.parent.mkdir(parents=True, exist_ok=True)
    batch = trainer.data_collator([{"rows": update}])

    def work() -> None:
        trainer.training_step(trainer.model, batch)
        torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1.0)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return profile(work, trace)


def _ours(
    side: str,
    model: Any,
    options: argparse.Namespace,
    data: EncodedConversations,
    updates: Sequence[Update],
    folder: Path,
    workers: GradientWorkers,
) -> tuple[Any, list[list[int]]]:
    """The trainer of a run, and the rows of its updates."""
    values = compose(
        "tau_retail_smol_sft",
        overrides=[
            f"output_dir={folder}",
            "save_steps=100000",
            f"sft_train.model_args.dtype={_dtype()}",
            f"sft_train.training_args.per_device_train_batch_size={options.rows}",
            f"sft_train.training_args.gradient_accumulation_steps={options.passes}",
            "sft_train.training_args.dataloader_num_workers=0",
            f"sft_train.sequence_length_round_in_train={256 if side in ('ours-cudnn', 'ours-both') else 64}",
            f"sft_train.torch_compile={str(side in ('ours-compiled', 'ours-both')).lower()}",
        ],
    )
    tokenizer = models.load_tokenizer(checkpoint("small"))  # lends its padding alone
    config = check_sft(values)
    workers.start(model, **sft.arithmetic(config.sft_train))
    trainer = sft.make_trainer(
        model, tokenizer, config, RunFolder(folder, ENGINE), data, updates, lambda step, numbers: None, workers
    )
    trainer.save_now = trainer._save_checkpoint = lambda *_: None
    return trainer, [[row for rows in update for row in rows] for update in updates]


def _theirs(
    model: Any,
    options: argparse.Namespace,
    data: EncodedConversations,
    updates: Sequence[Update],
    folder: Path,
) -> tuple[Any, list[list[int]]]:
    """TRL's own trainer, and the rows of its updates: the same ones in another order."""
    order = np.random.default_rng(1).permutation(len(data))
    rows = [
        {
            "input_ids": data.token_ids[data.starts[row] : data.starts[row + 1]].tolist(),
            "labels": [-100] * options.prompt
            + data.token_ids[data.starts[row] + options.prompt : data.starts[row + 1]].tolist(),
        }
        for row in order
    ]
    arguments = SFTConfig(
        output_dir=str(folder),
        max_steps=len(updates),
        bf16=_dtype() == "bf16",
        use_cpu=models.device().type == "cpu",
        per_device_train_batch_size=options.rows,
        gradient_accumulation_steps=options.passes,
        gradient_checkpointing=False,
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        remove_unused_columns=False,
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        report_to=[],
    )
    tokenizer = models.load_tokenizer(checkpoint("small"))
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    size = options.rows * options.passes
    return trainer, [order[start : start + size].tolist() for start in range(0, len(order), size)]


def _dtype() -> str:
    return "bf16" if torch.cuda.is_available() else "fp32"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="SmolLM2-135M", choices=SHAPES, help="of the model (default: %(default)s)")
    parser.add_argument("--sides", default="trl,ours", help="which, in order (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=8, help="of a pass (default: %(default)s)")
    parser.add_argument("--passes", type=int, default=4, help="of an update (default: %(default)s)")
    parser.add_argument("--updates", type=int, default=10, help="of a side (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=4800, help="of a row (default: %(default)s)")
    parser.add_argument("--spread", type=float, default=0.3, help="of the lengths (default: %(default)s)")
    parser.add_argument("--prompt", type=int, default=1423, help="tokens that rows begin with (default: %(default)s)")
    parser.add_argument("--own", type=float, default=0.1, help="share of the agent's tokens (default: %(default)s)")
    parser.add_argument("--gpus", type=int, default=1, help="of our sides (default: %(default)s)")
    parser.add_argument("--profile", help="folder for a trace of an update of our sides")
    parser.add_argument("--json", help="file for all numbers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
