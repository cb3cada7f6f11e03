"""`tau-retail report` as it is typed."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tau_retail_env.cli import main
from tau_retail_env.runs.trajectories import write_trajectories
from tests.plain_trajectory import plain_trajectory


@pytest.fixture
def record(tmp_path):
    write_trajectories(tmp_path / "file.jsonl", [plain_trajectory()])
    return str(tmp_path / "file.jsonl")


def test_a_page_is_written_where_it_is_asked_for(record, tmp_path, capsys):
    assert main(["report", record, "--output", str(tmp_path / "page.html")]) == 0
    assert re.search(r"written: .*page\.html \(0\.1 MB, 1 episodes\)", capsys.readouterr().out)
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_without_a_name_the_page_is_report_html_here(record, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", record]) == 0
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["none"], "There is no file or folder none"),
        (["{record}", "--live", "--output", "page.html"], "--output: --live writes no file"),
        (["{record}", "--port", "80"], "--port is for --live alone"),
        (["{record}", "--tokenizer", "none"], "none holds no tokenizer.json"),
        (["{record}", "--output", "{record}"], "is there already and is no report"),
        (["{record}", "{record}"], "given twice"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_exit_2(record, words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = Path(record).read_bytes()
    assert main(["report", *(word.format(record=record) for word in words)]) == 2
    assert told in capsys.readouterr().err
    assert Path(record).read_bytes() == before


def test_a_run_in_progress_is_served_until_ctrl_c(record, repository):
    command = [sys.executable, "-m", "tau_retail_env", "report", record, "--live"]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        assert b"<!doctype html>" in urllib.request.urlopen(address, timeout=60).read()
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "ended\n"
        assert process.wait(60) == 0


def test_a_full_disk_is_told_in_one_line_and_leaves_no_page(tmp_path):
    trajectories = [plain_trajectory(task_id=f"tau2/{number}", seed=number) for number in range(200)]
    write_trajectories(tmp_path / "file.jsonl", trajectories)
    report = f"{sys.executable} -m tau_retail_env report {tmp_path / 'file.jsonl'} --output {tmp_path / 'page.html'}"
    ended = subprocess.run(["sh", "-c", f"ulimit -f 1; {report}"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert re.fullmatch(r"error: \S+ could not be written: File too large \(.*\)\n", ended.stderr)
    assert not (tmp_path / "page.html").exists()
