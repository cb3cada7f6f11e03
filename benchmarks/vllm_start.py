"""How long vLLM takes to look a model's class up on a machine that has not seen it: its own way, and in its process.

    python benchmarks/vllm_start.py FOLDER [--runs 3]

FOLDER is a model. Each side composes an engine's configuration in a Python of its own, with an empty cache, in turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

CHILD = """
import sys, time
from vllm.engine.arg_utils import EngineArgs
if sys.argv[2] == "ours":
    from tau_retail_env.models.vllm_start import look_up_models_here
    look_up_models_here()
begun = time.monotonic()
EngineArgs(model=sys.argv[1], max_model_len=2048).create_engine_config()
print(f"took {time.monotonic() - begun}")
"""
SIDES = ("vllm", "ours")


def seconds(folder: str, side: str) -> float:
    """Compose a configuration in a fresh Python with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "VLLM_CACHE_ROOT": cache, "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-c", CHILD, folder, side]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return float(next(line.removeprefix("took ") for line in said.splitlines() if line.startswith("took ")))


def main() -> None:
    """Measure both sides in turns, and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(options.runs):
        for side in SIDES:
            taken[side].append(seconds(options.folder, side))
    medians = {side: statistics.median(taken[side]) for side in SIDES}
    for side in SIDES:
        runs = ", ".join(f"{one:.1f}" for one in taken[side])
        print(f"{side:5s} {medians[side]:6.1f} s  ({runs})")
    print(f"ratio {medians['vllm'] / medians['ours']:.1f}")


if __name__ == "__main__":
    main()
