"""Draw a recorded run's curves.png anew, from its metrics.jsonl and, where there is one, summary.json.

python benchmarks/draw_curves.py docs/runs/laptop/seed1

Where the rows are of several seeds, as docs/runs/roll_gain's, there is a picture of each: curves.seed1.png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.run_files import keys_of, metrics
from tau_retail_env.runs import curves


def main() -> None:
    """Read the folder, and write the pictures into it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run")
    folder = parser.parse_args().run
    rows, name = metrics(folder / "metrics.jsonl"), folder.resolve().name
    if not (folder / "summary.json").exists():
        for seed in sorted({row.get("seed") for row in rows}, key=str):
            one = [row for row in rows if row.get("seed") == seed]
            path = folder / ("curves.png" if seed is None else f"curves.seed{seed}.png")
            curves.draw(one, path, title=name if seed is None else f"{name}, seed {seed}")
        return
    summary = keys_of(folder / "summary.json", "steps", "after")
    first, last = summary.get("validated", (0, summary["steps"]))
    found = {first: summary.get("before", {}), last: summary["after"]}
    curves.draw(
        rows,
        folder / "curves.png",
        title=curves.headline(name, summary),
        intervals={step: success["interval"] for step, success in found.items() if "interval" in success},
    )


if __name__ == "__main__":
    main()
