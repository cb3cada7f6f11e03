"""Processor time of an episode in the env manager, without Ray and an engine: python benchmarks/roll_env_manager.py

In the environment of the engine roll, or one with ROLL's source (ROLL_PATH). The env managers run in ROLL's own loop
and queue, on threads as in an environment worker; in the engine's place an oracle answers, whose time is taken off, as
is that of ROLL's proxy and Ray in a run. What remains is environment, chat and env manager.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [path for path in (str(ROOT), os.environ.get("ROLL_PATH")) if path]
PARTS = {"environment, customer included": "environment_cpu_s", "chat": "chat_cpu_s"}


def main() -> None:
    """Play some steps after one to warm up, and print the mean of an episode."""
    options = _options()
    os.environ.setdefault("ROLL_LOG_DIR", tempfile.mkdtemp(prefix="roll_logs."))
    import ray
    from transformers import AutoTokenizer

    from tests.roll.rollout_loop import TAG, RolloutLoop

    ray.get = lambda future: future.result(600)  # of the rollout_loop's queue
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"source": options.source, "prompt_style": options.prompt_style, "task_subset": "all"}
        rollout_loop = RolloutLoop(
            tokenizer,
            folder,
            groups=options.environments,
            settings=settings,
            env={"trajectory_share": 0.0},
            pipeline={"sequence_length": options.sequence_length},
        )
        try:
            rollout_loop.play(0)
            played = [one for step in range(1, options.steps + 1) for one in rollout_loop.play(step)]
        finally:
            rollout_loop.close()
    rows = [
        {name.removeprefix(f"env/{TAG}/"): value for name, value in one.meta_info["metrics"].items()} for one in played
    ]
    print(f"{len(rows)} episodes, {options.environments} threads, {fmean(row['turns'] for row in rows):.1f} turns each")
    ours = fmean(row["episode_cpu_s"] - row["proxy_cpu_s"] for row in rows)
    parts = {label: fmean(row[name] for row in rows) for label, name in PARTS.items()}
    for label, seconds in [*parts.items(), ("env manager", ours - sum(parts.values())), ("all", ours)]:
        print(f"  {label:34s}{1000 * seconds:8.2f} ms of processor time an episode")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", default=str(ROOT / "checkpoints" / "small"), help="folder or Hugging Face name")
    parser.add_argument("--source", default="generated", help="tau2, generated or tau_bench")
    parser.add_argument("--prompt-style", default="minimal", help="minimal, compressed or full")
    parser.add_argument("--sequence-length", type=int, default=4096, help="tokens of an episode")
    parser.add_argument("--environments", type=int, default=16, help="threads (default 16, as in a worker)")
    parser.add_argument("--steps", type=int, default=8, help="episodes of each")
    return parser.parse_args()


if __name__ == "__main__":
    main()
