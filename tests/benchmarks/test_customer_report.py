"""The report of what the customer does shows a whole conversation, and says how it ended."""

import subprocess
import sys
from pathlib import Path


def test_one_conversation_is_printed_without_upstreams_words(repository: Path) -> None:
    script = repository / "benchmarks" / "customer_report.py"
    printed = subprocess.run(
        [sys.executable, str(script), "--task", "tau2/36"],
        capture_output=True,
        text=True,
        check=True,
        cwd=repository,
        env={"PYTHONPATH": str(repository), "PATH": ""},
    ).stdout
    lines = printed.splitlines()
    assert lines[0] == "## tau2/36"
    assert lines[1].startswith("Reward 1, user_stop, ")
    assert any(line.startswith("- **Customer:**") for line in lines)
    assert any(line.startswith("- **Agent:**") for line in lines)
    assert "- *find_user_id_by_email (error)*" in lines
    assert "- ***modify_pending_order_items***" in lines
    assert "###STOP###" in lines[-1]
    assert "How can I help you today?" not in printed
