"""What the benchmarks make of a recorded ROLL run."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.engine_replay import turns_of
from benchmarks.prefix_cache import BLOCK, looked_up
from tau_retail_env.runs.trajectories import write_trajectories
from tests.plain_trajectory import plain_trajectory


def episode(*parts):
    """An episode of runs of tokens: what was said to the actor, then what it said, and so on."""
    ids = [token for part in parts for token in part]
    mask = [number % 2 for number, part in enumerate(parts) for _ in part]
    return plain_trajectory(token_ids=tuple(ids), response_mask=tuple(mask))


def tokens(count, start=0):
    return list(range(start, start + count))


def test_a_turn_is_what_the_engine_got_and_how_much_it_said():
    first, second = turns_of(episode(tokens(20), tokens(3, 100), tokens(4, 200), tokens(2, 300)))
    assert (first.prompt, first.length) == (tokens(20), 3)
    assert (second.prompt, second.length) == (tokens(20) + tokens(3, 100) + tokens(4, 200), 2)


def test_an_empty_cache_finds_nothing():
    assert looked_up([episode(tokens(40), [1])]) == ((40, 0), (0, 0))


def test_whole_blocks_that_two_prompts_begin_with_are_found():
    shared = tokens(2 * BLOCK + 5)
    assert looked_up([episode([*shared, 7], [1]), episode([*shared, 8], [1])])[0] == (2 * len(shared) + 2, 2 * BLOCK)


def test_the_block_of_a_prompts_last_token_is_read_again():
    whole = tokens(2 * BLOCK)
    assert looked_up([episode(whole, [1]), episode(whole, [1])])[0] == (4 * BLOCK, BLOCK)


def test_what_the_actor_said_is_found_in_its_next_prompt_but_for_the_last_token():
    """The last token of a turn has been drawn, not read: the block that it ends is not kept."""
    kept = looked_up([episode(tokens(BLOCK), tokens(BLOCK + 1, 100), [7], [1])])
    lost = looked_up([episode(tokens(BLOCK), tokens(BLOCK, 100), [7], [1])])
    assert kept[1] == (2 * BLOCK + 2, 2 * BLOCK)
    assert lost[1] == (2 * BLOCK + 1, BLOCK)


def test_a_block_is_known_by_all_that_stands_before_it():
    block = tokens(BLOCK, 50)
    first, second = [*tokens(BLOCK), *block, 1], [*tokens(BLOCK, 500), *block, 1]
    assert looked_up([episode(first, [1]), episode(second, [1])])[0][1] == 0


def roll_time(repository, *arguments):
    command = [sys.executable, repository / "benchmarks" / "roll_time.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_recorded_runs_take_the_time_that_their_files_say(repository):
    """Also of which machine: the one that reads has other processors than the one that ran."""
    recorded = sorted((repository / "docs" / "runs").glob("*/roll_time.txt"))
    assert len(recorded) >= 8
    for path in recorded:
        first = re.search(r"without a validation, (\d+)", path.read_text())  # of the steps that are counted
        done = roll_time(repository, path.parent, "--skip", first[1])
        assert done.returncode == 0, done.stderr
        assert done.stdout == path.read_text(), path


def test_a_run_of_the_local_engine_is_told(repository):
    done = roll_time(repository, repository / "docs" / "runs" / "laptop" / "seed1")
    assert done.returncode == 2 and done.stderr.endswith("expected a run with ROLL\n")


def test_without_the_machines_cores_there_is_no_share(repository, tmp_path):
    recorded = repository / "docs" / "runs" / "roll_four_gpus"
    for name in ("metrics.jsonl", "config.yaml"):
        (tmp_path / name).write_text((recorded / name).read_text())
    said = roll_time(repository, tmp_path).stdout.splitlines()
    assert any("no share: give the machine's --cores" in line for line in said)
    assert said[-1].split()[-1] == "11.22"
    assert roll_time(repository, tmp_path, "--cores", "64").stdout.endswith("11.22   0.56%\n")


def test_a_step_has_as_many_episodes_as_somebody_says(repository, tmp_path):
    recorded = repository / "docs" / "runs" / "roll_four_gpus"
    (tmp_path / "metrics.jsonl").write_text((recorded / "metrics.jsonl").read_text())
    assert "--episodes: no config.yaml" in roll_time(repository, tmp_path).stderr


@pytest.mark.parametrize("script", ["roll_time.py", "prefix_cache.py"])
def test_a_run_without_a_fitting_step_is_told(repository, tmp_path, script):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n')
    (tmp_path / "trajectories").mkdir()
    done = subprocess.run(
        [sys.executable, repository / "benchmarks" / script, tmp_path], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "no step" in done.stderr


MISSING = {
    "agents_table": "results.json is not there",
    "arms": "expected OUT/ARM/metrics.jsonl",
    "draft_tokens": "has no train-*.jsonl",
    "draw_curves": "metrics.jsonl is not there",
    "engine_replay": "config.yaml is not there",
    "prefix_cache": "metrics.jsonl is not there",
    "roll_time": "is not there",
}
"""Scripts that read a run's folder, and what they say of one that is empty, or is none."""
FILES = {
    "config.yaml": "{train_env_manager: {}, actor_infer: {}, pretrain: small, seed: 0, rollout_batch_size: 1}\n",
    "metrics.jsonl": '{"step": 0}\n',
    "arm/metrics.jsonl": '{"step": 0}\n',
    "trajectories/train-00.jsonl": None,
    "summary.json": '{"steps": 1, "after": {}}\n',
    "results.json": '{"episodes": {"asked": 1, "scored": 1}, "source": "tau2", "split": "base", "pass^1": {}}\n',
}
"""What of a run's folder scripts read; None for an episode."""
READ = {
    "agents_table": ("results.json",),
    "arms": ("arm/metrics.jsonl",),
    "draft_tokens": ("trajectories/train-00.jsonl",),
    "draw_curves": ("metrics.jsonl", "summary.json"),
    "engine_replay": ("config.yaml", "metrics.jsonl", "trajectories/train-00.jsonl"),
    "prefix_cache": ("metrics.jsonl", "trajectories/train-00.jsonl"),
    "roll_time": ("config.yaml", "metrics.jsonl"),
}
"""Which of them each script reads."""


@pytest.mark.parametrize(("script", "said"), MISSING.items())
def test_a_folder_that_is_no_runs_is_told_in_one_line(repository, tmp_path, script, said):
    for folder in (tmp_path, tmp_path / "nowhere"):
        done = subprocess.run(
            [sys.executable, repository / "benchmarks" / f"{script}.py", folder], capture_output=True, text=True
        )
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def run_folder(folder):
    """A folder with all that scripts read of one."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if text is None:
            write_trajectories(path, [episode(tokens(20), tokens(3, 100))])
        else:
            path.write_text(text)
    return folder


def refused(monkeypatch, capsys, script, folder):
    """The one line with which a script refuses a run's folder."""
    monkeypatch.setattr(sys, "argv", [script, str(folder)])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{script}").main()
    printed = capsys.readouterr()
    assert ended.value.code == 2 and printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize("held", ["", '{"step": 0', "[1]\n", "{}\n", '{"step": null}\n', "\x00\n", "[" * 100_000])
@pytest.mark.parametrize(("script", "name"), [(script, name) for script, names in READ.items() for name in names])
def test_a_damaged_or_empty_file_of_a_run_is_told_in_one_line(monkeypatch, capsys, tmp_path, script, name, held):
    run_folder(tmp_path)
    (tmp_path / name).write_text(held)
    said = refused(monkeypatch, capsys, script, tmp_path)
    if held not in ("", "{}\n", '{"step": null}\n'):
        assert Path(name).name in said


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        ("engine_replay", "{run} --of 0", "--of: found 0, expected 1 or more"),
        ("engine_replay", "{run} --of 3", "a lower --of than 3"),
        ("engine_replay", "{run} --clients -1", "no client is left"),
        ("roll_ranks", "--ranks 0", "--ranks: found 0, expected 2 or more"),
        ("roll_ranks", "--ranks 3 --rows 32", "a multiple of the 3 ranks"),
        ("roll_ranks", "--rows 0", "--rows: found 0"),
        ("roll_ranks", "--ranks 4 --rows 4", "--ranks: found 4, but 2 GPUs are visible"),
    ],
)
def test_numbers_of_gpus_that_cannot_be_are_told_in_one_line(monkeypatch, capsys, tmp_path, script, words, said):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    manager = "train_env_manager: {num_env_groups: 2, group_size: 1}"
    file = run_folder(tmp_path) / "config.yaml"
    file.write_text(file.read_text().replace("train_env_manager: {}", manager))
    monkeypatch.setattr(sys, "argv", [script, *words.format(run=tmp_path).split()])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{script}").main()
    printed = capsys.readouterr()
    assert ended.value.code == 2 and said in printed.err and printed.err.count("\n") == 1 and printed.out == ""


METRICS = {
    "arms": "env/retail_train/success",
    "draw_curves": "val/env/retail_test/success",
    "engine_replay": "time/step_rollout",
    "prefix_cache": "vllm/prefix_cache_queries",
    "roll_time": "time/step_total",
}
"""Scripts that read a run's metrics, and one that each reads."""


@pytest.mark.parametrize("value", ['"0.5"', "[0.5]", "true"])
@pytest.mark.parametrize(("script", "metric"), METRICS.items())
def test_a_metric_that_is_no_number_is_told_by_file_row_and_name(monkeypatch, capsys, tmp_path, script, metric, value):
    file = run_folder(tmp_path) / next(name for name in READ[script] if name.endswith("metrics.jsonl"))
    file.write_text(f'{{"step": 0, "{metric}": 0.5}}\n{{"step": 1, "{metric}": {value}}}\n')
    said = refused(monkeypatch, capsys, script, tmp_path)
    assert said.startswith(f"error: {file}: row 2, {metric}: found ") and said.endswith("expected a number or null\n")


def test_a_metric_that_is_null_is_none(monkeypatch, capsys, tmp_path):
    for script in ("prefix_cache", "roll_time"):
        (run_folder(tmp_path) / "metrics.jsonl").write_text(f'{{"step": 0, "{METRICS[script]}": null}}\n')
        assert "has no step" in refused(monkeypatch, capsys, script, tmp_path)
    (tmp_path / "arm" / "metrics.jsonl").write_text('{"step": 0, "critic/kl": null}\n{"step": 1, "critic/kl": 0.25}\n')
    monkeypatch.setattr(sys, "argv", ["arms", str(tmp_path)])
    importlib.import_module("benchmarks.arms").main()
    assert "KL 0.250" in capsys.readouterr().out
