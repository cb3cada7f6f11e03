"""The page of what agents earn counts tasks that change the shop, and lists the others."""

import subprocess
import sys
from pathlib import Path


def test_the_page_separates_tasks_that_change_the_shop_from_the_others(repository: Path) -> None:
    script = repository / "benchmarks" / "agents_report.py"
    lines = subprocess.run(
        [sys.executable, str(script), "tau2/base", "--limit", "13"],
        capture_output=True,
        text=True,
        check=True,
        cwd=repository,
        env={"PYTHONPATH": str(repository), "PATH": ""},
    ).stdout.splitlines()
    assert "| `oracle` | 11 of 11 |" in lines
    assert all(f"| `{name}` | 0 of 11 |" in lines for name in ("silent", "eager", "parrot", "quitter", "liar"))
    assert "| tau2/10 | the gold actions transfer to a human | 0 | 1 | 1 | 0 | 1 | 1 | 1 |" in lines
    assert "| tau2/12 | the shop refuses the gold `return_delivered_order_items` | 0 | 1 | 1 | 0 | 1 | 1 | 1 |" in lines
