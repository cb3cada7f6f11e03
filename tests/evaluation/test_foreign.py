"""Result files of other tools: every command that reads results says what it was given."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tau_retail_env.cli.main import main
from tau_retail_env.runs.trajectories import write_trajectories
from tests.evaluation.evaluations import evaluate
from tests.plain_trajectory import plain_trajectory

LOG = {"version": 2, "status": "success", "eval": {"task": "toy"}, "plan": {}, "results": {}, "samples": []}
TRACE = {
    "id": "7098",
    "env": {"id": "toy"},
    "task": {"type": "toy", "data": {}},
    "ok": True,
    "errors": [],
    "traces": [],
}


@pytest.fixture
def files(tmp_path):
    """The members that inspect_ai 0.3.285 and verifiers 0.4.0 write, in small."""
    (tmp_path / "log.json").write_text(json.dumps(LOG, indent=2))
    (tmp_path / "traces.jsonl").write_text(json.dumps(TRACE) + "\n")
    (tmp_path / "other.jsonl").write_text('{"prompt": "x", "completion": "y", "reward": 1.0}\n')
    for name, members in (("log.eval", ("header.json", "_journal/start.json")), ("some.zip", ("a.txt",))):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, "{}")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ("compare", "{0}", "{0}"),
        ("review", "{0}"),
        ("report", "{0}", "--output", "{1}"),
        ("convert", "{0}", "--to", "llama-factory", "--output", "{1}"),
        ("convert", "{0}", "--to", "trajectories", "--output", "{1}"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("log.json", "it looks like a log of inspect_ai, which this package does not read"),
        ("log.eval", "it looks like a log of inspect_ai (.eval), which this package does not read"),
        ("traces.jsonl", "it looks like a run of verifiers (traces.jsonl), which this package does not read"),
        ("some.zip", "it is a zip archive"),
        ("other.jsonl", "line 1: no episode of this package, for schema_version is missing"),
    ],
)
def test_a_result_file_of_another_tool_is_named(files, capsys, command, file, words):
    given = [word.format(files / file, files / "out") for word in command]
    assert main(given) == 2
    said = capsys.readouterr().err
    assert str(files / file) in said and words in said
    assert not (files / "out").is_file()


@pytest.mark.parametrize("closed", ["", "episodes.jsonl"], ids=["folder", "file"])
@pytest.mark.parametrize(
    "command", [("compare", "{0}", "{0}"), ("review", "{0}"), ("report", "{0}", "--output", "{1}")]
)
def test_what_may_not_be_read_is_named(tmp_path, command, closed):
    evaluate(tmp_path / "e", trials=1)
    (tmp_path / "e" / closed).chmod(0)
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if drop and shutil.which("setpriv") is None:
        pytest.skip("root reads everything: needs setpriv")
    words = [word.format(tmp_path / "e", tmp_path / "out") for word in command]
    ran = subprocess.run([*drop, sys.executable, "-m", "tau_retail_env", *words], capture_output=True, text=True)
    (tmp_path / "e" / closed).chmod(0o700)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"error: {tmp_path / 'e' / closed}") and "Permission denied" in ran.stderr


def test_only_a_folder_is_an_evaluation(files, capsys):
    assert main(["convert", str(files / "log.json"), "--to", "tau2", "--output", str(files / "out")]) == 2
    assert f"{files / 'log.json'} is a file; an evaluation is a folder with eval.json" in capsys.readouterr().err


def test_trajectories_are_not_converted_to_trajectories(tmp_path, capsys):
    write_trajectories(tmp_path / "t.jsonl", [plain_trajectory()])
    given = ["convert", str(tmp_path / "t.jsonl"), "--to", "trajectories", "--output", str(tmp_path / "out.jsonl")]
    assert main(given) == 2
    assert f"{tmp_path / 't.jsonl'} holds trajectories already" in capsys.readouterr().err


def test_a_folder_of_something_else_is_told_apart_from_one_that_is_not_there(tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    assert main(["convert", str(tmp_path / "logs"), "--to", "trajectories", "--output", str(tmp_path / "out")]) == 2
    assert f"{tmp_path / 'logs'} is no evaluation (eval.json), no run" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "gone"), "--to", "trajectories", "--output", str(tmp_path / "out")]) == 2
    assert f"There is no file or folder {tmp_path / 'gone'}" in capsys.readouterr().err
