"""Seconds of processor time that checking a configuration takes: python benchmarks/print_config.py [--beside COMMIT]

Each shipped configuration is printed by a fresh process, `--repeat` times; the least time counts. With `--beside` the
same is done in a checkout of that commit, turn by turn with this one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NAMES = ("tau_retail_local", "tau_retail_1gpu", "tau_retail_grpo", "tau_retail_config")


def main() -> None:
    """Measure, and print a row for each configuration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", metavar="COMMIT", help="measure this commit, too")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="processes of each kind (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() if options.beside else nullcontext() as folder:
        other = _checkout(options.beside, Path(folder) / "tree") if folder else None
        print(f"{'configuration':20}{'here':>8}{options.beside or '':>12}{'ratio' if other else '':>8}")
        for name in NAMES:
            rounds = [
                (seconds(REPOSITORY, name), seconds(other, name) if other else 0.0) for _ in range(options.repeat)
            ]
            here, there = (min(times) for times in zip(*rounds, strict=True))
            print(f"{name:20}{here:8.2f}" + (f"{there:12.2f}{there / here:7.1f}x" if other else ""))


def seconds(tree: Path, name: str) -> float:
    """Processor time of one process that checks and prints a configuration, user and system together."""
    command = [sys.executable, "start_agentic_pipeline.py", "--config-name", name, "--print-config"]
    process = subprocess.Popen(
        command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} in {tree} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def _checkout(commit: str, folder: Path) -> Path:
    """A checkout of a commit, outside this one's worktrees."""
    folder.mkdir()
    archive = subprocess.run(["git", "-C", str(REPOSITORY), "archive", commit], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


if __name__ == "__main__":
    main()
