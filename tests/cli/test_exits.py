"""How the process of a run ends."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

PROGRAM = textwrap.dedent(
    """
    import sys, threading
    from concurrent.futures import ThreadPoolExecutor, thread
    from tau_retail_env.cli.exits import leave

    def run():
        if sys.argv[1] == "waits":
            threading.Thread(target=threading.Event().wait).start()
        if sys.argv[1] == "waits in a daemon's pool":
            start = lambda: ThreadPoolExecutor(1).submit(threading.Event().wait)
            threading.Thread(target=start, daemon=True).start()
            while not thread._threads_queues:
                pass
        print("said")
        exec(sys.argv[2])

    leave(run)
    """
)


@pytest.mark.parametrize("thread", ["waits", "waits in a daemon's pool", "none"])
@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("raise KeyboardInterrupt", 130),
        ("sys.exit(130)", 130),
        ("raise SystemExit(143)", 143),
        ("raise RuntimeError('a GPU fell over')", 1),
    ],
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


@pytest.mark.parametrize(
    ("redirected", "told"),
    [
        (">/dev/full", "error: standard output could not be written: No space left on device\n"),
        ("2>/dev/full", ""),
        (">/dev/full 2>/dev/full", ""),
        ("1</dev/null", "error: standard output could not be written: Bad file descriptor\n"),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_on_a_full_disk_ends_nothing_and_is_told_at_the_end(redirected, told, unbuffered, tmp_path):
    report = tmp_path / "report.json"
    words = f"import pathlib; print(1, file=sys.stderr); print(2, flush=True); pathlib.Path({str(report)!r}).touch()"
    command = ["sh", "-c", f'"$0" "$@" {redirected}', sys.executable, "-c", PROGRAM, "none", words]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    assert (ended.returncode, report.exists()) == (2, True)
    assert ended.stderr == ("" if "2>" in redirected else f"1\n{told}")


def test_help_on_a_full_disk_is_an_error():
    ended = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m tau_retail_env tasks --help >/dev/full"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (
        2,
        "error: standard output could not be written: No space left on device\n",
    )


@pytest.mark.parametrize("output", [">", "2>"])
def test_an_evaluation_writes_its_results_though_its_outputs_disk_is_full(output, tmp_path):
    evaluation = f"-m tau_retail_env eval --agent silent --source generated --limit 2 --output {tmp_path / 'A'}"
    ended = subprocess.run(
        ["sh", "-c", f"{sys.executable} {evaluation} {output}/dev/full"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert json.loads((tmp_path / "A" / "results.json").read_text())["episodes"]["scored"] == 2
