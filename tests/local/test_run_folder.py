"""Who may write to a run's folder, and what stays when it goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env.config import check_local, to_yaml
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.run_folder import claim
from tau_retail_env.runs.files import read_rows
from tau_retail_env.runs.folder import RunFolder

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
            (folder.checkpoints / f"checkpoint-{step}").mkdir(parents=True)
        return folder


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
    begun(grpo_values())
    with pytest.raises(
        InvalidValueError, match=r"another run: .*differs in actor_train.training_args.learning_rate \("
    ):
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
    with pytest.raises(InvalidValueError, match="exp_name: empty"):
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
