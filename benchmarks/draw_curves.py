"""Draw a recorded run's curves.png anew, from its metrics.jsonl and summary.json, such as docs/runs/laptop/seed1's.

python benchmarks/draw_curves.py docs/runs/laptop/seed1
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tau_retail_env.runs import curves
from tau_retail_env.runs.files import read_rows


def main() -> None:
    """Read the folder, and write the picture into it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run")
    folder = parser.parse_args().run
    summary = json.loads((folder / "summary.json").read_text())
    first, last = summary.get("validated", (0, summary["steps"]))
    found = {first: summary.get("before", {}), last: summary["after"]}
    curves.draw(
        read_rows(folder / "metrics.jsonl"),
        folder / "curves.png",
        title=curves.headline(folder.resolve().name, summary),
        intervals={step: success["interval"] for step, success in found.items() if "interval" in success},
    )


if __name__ == "__main__":
    main()
