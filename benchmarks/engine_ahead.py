"""How long a rollout worker waits until its engine's process has imported what it needs: started then, and ahead.

    python benchmarks/engine_ahead.py [--runs 3] [--ahead 20]

In the environment of the engine roll. --ahead: seconds between a rollout worker's start and its wish for an engine, in
which learners load and it imports vLLM itself, as here.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tau_retail_env.roll.engine_ahead import IMPORTED, EngineProcess, WithOneReady, set_by_roll

ALONE = SimpleNamespace(parallel_config=SimpleNamespace(data_parallel_size=1))
"""A vLLM configuration, of which the place of an engine is read."""


def import_and_tell(vllm_config: Any, name: str) -> None:
    """Stands in for an engine: says when all is imported."""
    for module in IMPORTED:
        importlib.import_module(module)
    Path(name).write_text(str(time.time()), encoding="utf-8")


def seconds(context: Any, mark: Path) -> float:
    """From the wish for an engine until its process has imported all."""
    mark.unlink(missing_ok=True)
    begun = time.time()
    process = context.Process(
        target=import_and_tell, name="EngineCore", kwargs={"vllm_config": ALONE, "name": str(mark)}
    )
    process.start()
    process.join()
    if not mark.exists():
        raise SystemExit("the process ended early: vLLM or ROLL cannot be imported")
    return float(mark.read_text(encoding="utf-8")) - begun


def main() -> None:
    """Measure both sides in turns, and print medians and what is saved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ahead", type=float, default=20.0, metavar="SECONDS")
    options = parser.parse_args()
    os.environ.update(set_by_roll())
    taken: dict[str, list[float]] = {"then": [], "ahead": []}
    with tempfile.TemporaryDirectory() as folder:
        mark = Path(folder) / "imported"
        for _ in range(options.runs):
            taken["then"].append(seconds(multiprocessing.get_context("spawn"), mark))
            ready = WithOneReady(EngineProcess())
            time.sleep(options.ahead)
            taken["ahead"].append(seconds(ready, mark))
    medians = {side: statistics.median(runs) for side, runs in taken.items()}
    for side, runs in taken.items():
        print(f"{side:5s} {medians[side]:6.2f} s  ({', '.join(f'{one:.2f}' for one in runs)})")
    print(f"saved {medians['then'] - medians['ahead']:.1f} s")


if __name__ == "__main__":
    main()
