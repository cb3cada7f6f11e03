"""How long ROLL's modules take when the tasks of a run are counted: by themselves, and after the packages that are
imported beside the count; in turns, each time in a Python of its own.

    python benchmarks/roll_loading.py [--runs 5]

In the environment of the engine roll, with ROLL on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

IMPORT = """
import sys, time
import transformers
transformers.AutoTokenizer  # what the looks before the start have imported
from tau_retail_env.roll.preload import import_rolls_packages
if sys.argv[1] == "ours":
    import_rolls_packages()
began, used = time.perf_counter(), time.process_time()
import roll.pipeline.agentic.agentic_config
from tau_retail_env.roll import environment_worker, env_manager, group_filter, pipeline, workers
print("took", time.perf_counter() - began, time.process_time() - used)
"""


def measure(code: str, *arguments: str) -> tuple[float, float]:
    """Seconds and processor seconds of what a Python of its own times."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join(one for one in sys.path if one)
        environment = os.environ | {"ROLL_LOG_DIR": folder, "PYTHONPATH": path}
        command = [sys.executable, "-c", code, *arguments]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    took = next(line.split()[1:] for line in said.splitlines() if line.startswith("took "))
    return float(took[0]), float(took[1])


def main() -> None:
    """Measure both in turns, and print medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    taken: dict[str, list[tuple[float, float]]] = {side: [] for side in ("alone", "ours")}
    for _ in range(options.runs):
        for side, seconds in taken.items():
            seconds.append(measure(IMPORT, side))
    for kind, what in enumerate(("seconds", "processor seconds")):
        alone, ours = (statistics.median(one[kind] for one in taken[side]) for side in ("alone", "ours"))
        print(f"ROLL's modules, {what}: {alone:.2f}, ours {ours:.2f}, {alone / ours:.1f}x", flush=True)


if __name__ == "__main__":
    main()
