"""Who may write to a run's folder, and what stays when it goes on."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tau_retail_env.config import to_yaml
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config import check_local
from tau_retail_env.local.run_folder import claim
from tau_retail_env.runs.checkpoints import write_manifest
from tau_retail_env.runs.files import read_rows
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.resume import read_config

Values = Callable[..., dict[str, Any]]


def claimed(values: dict[str, Any]) -> RunFolder:
    """A claim that is given back at once."""
    with claim(check_local(values), values) as folder:
        return folder


def begun(values: dict[str, Any], *, steps: int = 0) -> RunFolder:
    """A run that has ended, or was killed."""
    with claim(check_local(values), values) as folder:
        folder.open(to_yaml(values))
        for step in range(steps + 1):
            checkpoint = folder.checkpoints / f"checkpoint-{step}"
            checkpoint.mkdir(parents=True)
            (checkpoint / "weights").write_text(str(step))
            write_manifest(checkpoint)
        return folder


def gone_on(values: dict[str, Any]) -> list[str]:
    """What is said of a run that goes on."""
    with claim(check_local(values), values) as folder:
        return folder.open(to_yaml(values))


def test_a_claim_that_comes_to_nothing_leaves_nothing(grpo_values: Values, tmp_path: Path):
    assert not claimed(grpo_values(f"output_dir={tmp_path}/outputs/run")).path.parent.exists()


def test_two_runs_never_write_to_one_folder(grpo_values: Values):
    values = grpo_values()
    with claim(check_local(values), values) as folder:
        for moment in ("claimed", "opened"):
            with pytest.raises(InvalidValueError, match=r"another process is writing to it. Wait .*output_dir=FOLDER"):
                claimed(grpo_values("seed=2"))
            assert folder.path.is_dir(), moment
            folder.open(to_yaml(values))
        with pytest.raises(InvalidValueError, match="another process is writing to it"):
            claimed(grpo_values("resume=true"))
    assert claimed(grpo_values("resume=true")).path == folder.path
    assert not (folder.path / ".lock").exists()


def test_a_folder_of_another_run_is_refused_with_what_to_do(grpo_values: Values):
    begun(grpo_values())
    with pytest.raises(InvalidValueError, match=r"already holds a run.*resume=true.*output_dir=FOLDER"):
        claimed(grpo_values())


def test_a_folder_of_something_else_is_refused(grpo_values: Values):
    folder = Path(grpo_values()["output_dir"])
    folder.mkdir()
    (folder / "thesis.tex").touch()
    with pytest.raises(InvalidValueError, match=r"already holds files of something else\. Give another: output_dir="):
        claimed(grpo_values())
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_taken(grpo_values: Values):
    Path(grpo_values()["output_dir"]).mkdir()
    assert begun(grpo_values()).step == 0


def test_a_run_goes_on_after_its_newest_checkpoint(grpo_values: Values):
    begun(grpo_values(), steps=2)
    assert claimed(grpo_values("resume=true")).step == 2


def test_another_configuration_does_not_go_on_with_a_run(grpo_values: Values):
    run = begun(grpo_values())
    told = r"another run: .*differs in actor_train.training_args.learning_rate \("
    with pytest.raises(InvalidValueError, match=rf"{told}.*resume={re.escape(str(run.path))} without --config-name"):
        claimed(grpo_values("resume=true", "actor_train.training_args.learning_rate=0.5"))


def test_resume_finds_the_newest_run_of_the_experiment(grpo_values: Values, tmp_path: Path):
    begun(grpo_values(f"output_dir={tmp_path}/tau_retail_local_1"))
    newest = begun(grpo_values(f"output_dir={tmp_path}/tau_retail_local_2"))
    found = claimed(grpo_values(f"output_dir={tmp_path}/tau_retail_local_3", "resume=true"))
    assert found.path == newest.path


def test_resume_takes_no_run_of_another_experiment(grpo_values: Values, tmp_path: Path):
    keys = [f"output_dir={tmp_path}/foo_9", "resume=true"]
    wanted = begun(grpo_values("exp_name=foo", f"output_dir={tmp_path}/foo_1"))
    begun(grpo_values("exp_name=foobar", f"output_dir={tmp_path}/foobar_2"))
    assert claimed(grpo_values("exp_name=foo", *keys)).path == wanted.path
    with pytest.raises(InvalidValueError, match="no run of 'fo'"):
        claimed(grpo_values("exp_name=fo", *keys))
    with pytest.raises(InvalidValueError, match="exp_name: found '', expected the name of a folder"):
        claimed(grpo_values("exp_name=''", *keys))


def test_the_name_of_an_experiment_is_no_pattern(grpo_values: Values, tmp_path: Path):
    wanted = begun(grpo_values("exp_name='lr[1]'", f"output_dir='{tmp_path}/lr[1]_1'"))
    found = claimed(grpo_values("exp_name='lr[1]'", f"output_dir='{tmp_path}/lr[1]_9'", "resume=true"))
    assert found.path == wanted.path


def test_resume_may_name_the_folder(grpo_values: Values, tmp_path: Path):
    first = begun(grpo_values(f"output_dir={tmp_path}/tau_retail_local_1"))
    begun(grpo_values(f"output_dir={tmp_path}/tau_retail_local_2"))
    assert claimed(grpo_values(f"resume={first.path}")).path == first.path
    with pytest.raises(InvalidValueError, match="holds no run"):
        claimed(grpo_values(f"resume={tmp_path}/nothing"))


def test_nothing_to_go_on_with_is_a_clear_error(grpo_values: Values):
    with pytest.raises(InvalidValueError, match="no run of 'tau_retail_local'"):
        claimed(grpo_values("resume=true"))


def test_what_came_after_the_last_checkpoint_is_forgotten(grpo_values: Values):
    folder = begun(grpo_values(), steps=1)
    folder.metrics.write_text("".join(json.dumps({"step": step}) + "\n" for step in range(4)) + '{"step": 4, "torn')
    for name in ("val-000000", "train-000001", "train-000002"):
        (folder.path / "trajectories" / f"{name}.jsonl").touch()
    (folder.path / "trajectories" / ".train-000002.jsonl.77.part").touch()
    for name in ("best.jsonl", "notes.md", "train-000009.jsonl.gz"):
        (folder.path / "trajectories" / name).touch()
    claimed(grpo_values("resume=true")).open(to_yaml(grpo_values()))
    assert [row["step"] for row in read_rows(folder.metrics)] == [0, 1]
    kept = sorted(path.name for path in (folder.path / "trajectories").iterdir())
    own = ["best.jsonl", "notes.md", "train-000009.jsonl.gz"]
    assert kept == sorted(["train-000001.jsonl", "val-000000.jsonl", *own])


def test_the_newest_whole_checkpoint_is_taken_and_the_damaged_one_is_named(grpo_values: Values):
    folder = begun(grpo_values(), steps=3)
    (folder.checkpoints / "checkpoint-3" / "weights").write_text("X")
    (folder.checkpoints / "checkpoint-99").mkdir()
    said = gone_on(grpo_values("resume=true"))
    assert said[0] == f"going on after step 2, from {folder.checkpoints / 'checkpoint-2'}"
    assert said[1].startswith("checkpoint-3 is not whole: weights is not what was written")
    assert said[2].startswith("checkpoint-99 is not whole: config.json is missing")
    assert claimed(grpo_values("resume=true")).step == 2
    assert folder.last_checkpoint() == folder.checkpoints / "checkpoint-2"


def test_a_run_whose_checkpoints_are_all_damaged_is_not_begun_anew(grpo_values: Values):
    folder = begun(grpo_values())
    (folder.checkpoints / "checkpoint-0" / "weights").unlink()
    folder.metrics.write_text('{"step": 0}\n{"step": 1}\n')
    with pytest.raises(InvalidValueError, match=r"no whole checkpoint \(checkpoint-0: weights is missing\)"):
        claimed(grpo_values("resume=true"))
    assert len(read_rows(folder.metrics)) == 2
    assert claimed(grpo_values(f"output_dir={folder.path}_2")).step == 0


def test_a_checkpoint_of_an_earlier_version_is_taken_by_its_files(grpo_values: Values, tiny_checkpoint: Path):
    folder = begun(grpo_values(), steps=0)
    old = folder.checkpoints / "checkpoint-4"
    shutil.copytree(tiny_checkpoint, old)
    for name in ("optimizer.pt", "scheduler.pt"):
        torch.save({}, old / name)
    (old / "trainer_state.json").write_text("{}")
    assert claimed(grpo_values("resume=true")).step == 4
    assert "has no manifest.json: taken as whole by its files" in gone_on(grpo_values("resume=true"))[0]
    weights = old / "model.safetensors"
    for path, content in ((weights, weights.read_bytes()[:999]), (old / "optimizer.pt", b"PK"), (weights, None)):
        kept = path.read_bytes()
        path.write_bytes(content) if content is not None else path.unlink()
        assert claimed(grpo_values("resume=true")).step == 0
        path.write_bytes(kept)


def test_before_the_first_checkpoint_it_says_what_it_removes(grpo_values: Values):
    folder = begun(grpo_values(), steps=-1)
    folder.metrics.write_text('{"step": 0}\n{"step": 1}\n')
    (folder.path / "trajectories" / "train-000001.jsonl").touch()
    assert gone_on(grpo_values("resume=true")) == [
        f"resuming {folder.path}: it has no checkpoint yet, training begins anew",
        "removed, they will be written again: the rows of step 1 in metrics.jsonl",
        "removed, they will be played again: train-000001.jsonl",
    ]
    assert [row["step"] for row in read_rows(folder.metrics)] == [0]


def test_a_new_run_has_nothing_to_say(grpo_values: Values):
    values = grpo_values()
    with claim(check_local(values), values) as folder:
        assert folder.open(to_yaml(values)) == []


def test_an_older_checkpoint_may_be_named_and_later_ones_are_set_aside(grpo_values: Values):
    folder = begun(grpo_values(), steps=3)
    said = gone_on(grpo_values(f"resume={folder.checkpoints / 'checkpoint-1'}"))
    assert [line.split(" is later")[0] for line in said[1:]] == ["checkpoint-2", "checkpoint-3"]
    assert claimed(grpo_values("resume=true")).step == 1
    assert len(list(folder.checkpoints.glob("checkpoint-*.aside-*"))) == 2


def test_lengths_and_intervals_may_change_and_stay_changed(grpo_values: Values):
    folder = begun(grpo_values("max_steps=2"), steps=1)
    gone_on(grpo_values("resume=true", "max_steps=9", "save_steps=3"))
    stored = read_config(folder.path)
    assert (stored["max_steps"], stored["save_steps"], stored["resume"]) == (9, 3, False)
    assert check_local(stored).max_steps == 9
