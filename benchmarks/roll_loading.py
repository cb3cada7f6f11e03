"""What a run with ROLL loads beforehand or once, and what that leaves to wait for: both ways in turns.

    python benchmarks/roll_loading.py [--runs 5] [--tag series6_train]

In the environment of the engine roll, with ROLL on PYTHONPATH. Each time in a Python of its own:
- ROLL's modules as the run's process imports them when the tasks are counted: by themselves, and after the packages
  that are imported beside the count;
- the tasks of an environment worker: loaded there, and as the run's process has loaded them, without their way by Ray.
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

CONFIGURATION = "tau_retail_smol_ppo"
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
TASKS = """
import sys, time
from pathlib import Path
from tau_retail_env.config import compose
from tau_retail_env.roll import environment_worker, run_tasks
from tau_retail_env.sources.load import shared_tasks
from tau_retail_env.roll.config.check import check_roll
side, tag, configuration, file = sys.argv[1:]
config = check_roll(compose(configuration))
pickled = Path(file).read_bytes()
began, used = time.perf_counter(), time.process_time()
if side == "ours":
    run_tasks.bring(pickled)
env = config.custom_envs[tag].env_config
shared_tasks(env.source, env.split, env.task_subset)
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
    """Measure each in turns, and print medians and their ratios."""
    from tau_retail_env.config import compose
    from tau_retail_env.roll import run_tasks
    from tau_retail_env.roll.config.check import check_roll

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tag", default="series6_train", help=f"of {CONFIGURATION}")
    options = parser.parse_args()
    loaded = run_tasks.load(check_roll(compose(CONFIGURATION)), options.tag)
    with tempfile.NamedTemporaryFile() as file:
        file.write(loaded.pickled)
        file.flush()
        tasks = f"{loaded.number} tasks, {len(loaded.pickled) / 1e6:.0f} MB"
        parts = {
            "ROLL's modules": (IMPORT, ()),
            f"a worker's tasks ({tasks})": (TASKS, (options.tag, CONFIGURATION, file.name)),
        }
        for name, (code, more) in parts.items():
            taken = {side: [] for side in ("alone", "ours")}
            for _ in range(options.runs):
                for side, seconds in taken.items():
                    seconds.append(measure(code, side, *more))
            for kind, what in enumerate(("seconds", "processor seconds")):
                alone, ours = (statistics.median(one[kind] for one in taken[side]) for side in ("alone", "ours"))
                print(f"{name}, {what}: {alone:.2f}, ours {ours:.2f}, {alone / ours:.1f}x", flush=True)


if __name__ == "__main__":
    main()
