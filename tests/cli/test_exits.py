"""How the process of a run ends."""

import subprocess
import sys
import textwrap

import pytest

PROGRAM = textwrap.dedent(
    """
    import sys, threading
    from tau_retail_env.cli.exits import leave

    def run():
        if sys.argv[1] == "waits":
            threading.Thread(target=threading.Event().wait).start()
        print("said")
        exec(sys.argv[2])

    leave(run)
    """
)


@pytest.mark.parametrize("thread", ["waits", "none"])
@pytest.mark.parametrize(
    ("ending", "status"),
    [("sys.exit(130)", 130), ("raise SystemExit(143)", 143), ("raise RuntimeError('a GPU fell over')", 1)],
)
def test_a_run_that_fails_ends_with_its_status_though_a_thread_waits(thread, ending, status):
    command = [sys.executable, "-c", PROGRAM, thread, ending]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (status, "said\n")
    assert ("a GPU fell over" in ended.stderr) == (status == 1)


def test_a_run_that_succeeds_waits_for_its_threads():
    program = PROGRAM.replace("threading.Event().wait", "lambda: (time.sleep(1), print('written'))")
    command = [sys.executable, "-c", f"import time\n{program}", "waits", "pass"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "said\nwritten\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_output_ends_nothing(closed, tmp_path):
    report = tmp_path / "report.json"
    words = f"import pathlib; sys.stderr.write('.'); sys.stdout.flush(); pathlib.Path({str(report)!r}).touch()"
    command = ["sh", "-c", f'"$0" "$@" {closed}', sys.executable, "-c", PROGRAM, "none", words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, report.exists()) == (0, True)
