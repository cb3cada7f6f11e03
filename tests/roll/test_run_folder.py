"""Which folder a ROLL run writes to, who else may, and which model it may begin with."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tau_retail_env.config import compose, to_yaml
from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.models.shipped import small_checkpoint
from tau_retail_env.roll import preflight, train
from tau_retail_env.roll.config.check import RollConfig, check_roll
from tau_retail_env.roll.run_folder import claim
from tau_retail_env.runs.checkpoints import write_manifest
from tau_retail_env.runs.files import WriteError
from tau_retail_env.runs.folder import RunFolder

NAME = "tau_retail_1gpu"
KEYS = ("save_steps", "eval_steps")


def claimed(*overrides: str) -> RunFolder:
    values = compose(NAME, overrides=overrides)
    return claim(check_roll(values), values)


def begun(run: Path, *overrides: str) -> None:
    """A run with a checkpoint, ended."""
    values = compose(NAME, overrides=[f"output_dir={run}", *overrides])
    with claim(check_roll(values), values) as folder:
        folder.open(to_yaml(values))
        state = folder.checkpoints / "checkpoint-4" / "pipeline" / "worker_state_pipeline.json"
        state.parent.mkdir(parents=True)
        state.write_text("{}")


def test_a_claim_that_comes_to_nothing_leaves_nothing(tmp_path):
    with claimed(f"output_dir={tmp_path / 'outputs' / 'run'}"):
        assert (tmp_path / "outputs" / "run").is_dir()
    assert not (tmp_path / "outputs").exists()


def test_a_folder_belongs_to_one_run_at_a_time(tmp_path):
    run = tmp_path / "run"
    begun(run)
    with claimed(f"resume={run}"):
        for how in (f"resume={run}", f"resume={run / 'checkpoints' / 'checkpoint-4'}", f"output_dir={run}"):
            with pytest.raises(InvalidValueError, match=r"another process is writing to it\. Wait"):
                claimed(how)
    with claimed(f"resume={run}") as folder:
        assert folder.step == 4
    with pytest.raises(InvalidValueError, match=r"already holds a run. Resume it with resume=true"):
        claimed(f"output_dir={run}")


def test_resume_takes_no_run_of_another_experiment(tmp_path):
    begun(tmp_path / "foo_1", "exp_name=foo")
    begun(tmp_path / "foo_bar_2", "exp_name=foo_bar")
    os.utime(tmp_path / "foo_1" / "config.yaml", (1, 1))
    with claimed("exp_name=foo", "resume=true", f"output_dir={tmp_path / 'foo_9'}") as folder:
        assert folder.path.name == "foo_1"
    with pytest.raises(InvalidValueError, match="exp_name: found '', expected the name of a folder"):
        claimed("exp_name=''", "resume=true")


def test_a_full_disk_ends_the_run_with_how_to_go_on(tmp_path, monkeypatch):
    values = compose(NAME, overrides=[f"output_dir={tmp_path / 'run'}"])

    def full(folder: RunFolder, *_: Any) -> None:
        folder.open(to_yaml(values))
        raise WriteError("metrics.jsonl could not be written: No space left on device")

    monkeypatch.setattr(train, "_train_in", full)
    with pytest.raises(TauRetailError, match=rf"No space left on device\. Fix .*: resume={tmp_path / 'run'}"):
        train.train(check_roll(values), values)
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.parametrize(("taught", "told"), [(4096, True), (16, False)])
def test_messages_that_a_run_cuts_shorter_than_they_were_taught_are_told_before_it_begins(
    tmp_path, monkeypatch, taught, told
):
    model = shutil.copytree(small_checkpoint(), tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    about = {"tau_retail": {"prompt_style": "full", "max_new_tokens": taught}, "max_position_embeddings": 1 << 17}
    (model / "config.json").write_text(json.dumps(config | about))
    values = compose(NAME, overrides=[f"output_dir={tmp_path / 'run'}", f"pretrain={model}"])
    checked = check_roll(values)
    tasks = dict.fromkeys(checked.train_tags + checked.val_tags, SimpleNamespace(number=1))
    nothing = dict.fromkeys(("check_memory", "import_what_workers_import"), lambda *_: None)
    same = dict.fromkeys(
        ("onto_visible_gpus", "with_engines", "agentic_config", "fit_groups"), lambda values, *_: values
    )
    empty = dict.fromkeys(("planned", "unjudged"), lambda *_: ())

    def begin(*_: Any) -> None:
        raise InvalidValueError("begun")

    replaced = {
        **nothing,
        **same,
        **empty,
        "python_path": lambda: os.environ.get("PYTHONPATH", ""),
        "preflight": lambda *_, **__: tasks,
        "ended_early": begin,
    }
    for name, instead in replaced.items():
        monkeypatch.setattr(train, name, instead)
    for name in ("PYTHONPATH", "ROLL_LOG_DIR", *train.QUIET):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    said: list[str] = []
    with pytest.raises(InvalidValueError, match="begun"):
        train.train(checked, values, say=said.append)
    assert any(f"gave a message {taught} tokens" in line for line in said) == told


def gone_on(*overrides: str) -> list[str]:
    """What is said of a run that goes on."""
    values = compose(NAME, overrides=overrides)
    with claim(check_roll(values), values) as folder:
        return folder.open(to_yaml(values))


def test_a_run_goes_on_from_its_newest_whole_checkpoint_and_says_which_is_not(tmp_path):
    run = tmp_path / "run"
    begun(run)
    old, damaged = run / "checkpoints" / "checkpoint-4", run / "checkpoints" / "checkpoint-9"
    shutil.copytree(old, damaged)
    (damaged / "model.safetensors").write_text("weights")
    write_manifest(damaged)
    (damaged / "model.safetensors").write_text("weighTs")
    first, second = gone_on(f"resume={run}")
    assert first == f"going on after step 4, from {old} (it has no manifest.json: taken as whole by its files)"
    assert second.startswith("checkpoint-9 is not whole: model.safetensors is not what was written")
    write_manifest(old)
    assert gone_on(f"resume={run}") == [f"going on after step 4, from {old}"]


def test_a_run_without_a_checkpoint_begins_anew_and_says_what_goes(tmp_path):
    run = tmp_path / "run"
    begun(run)
    shutil.rmtree(run / "checkpoints" / "checkpoint-4")
    (run / "metrics.jsonl").write_text('{"step": 0}\n{"step": 1}\n')
    assert gone_on(f"resume={run}") == [
        f"resuming {run}: it has no checkpoint yet, training begins anew",
        "removed, they will be written again: the rows of steps 0 to 1 in metrics.jsonl",
    ]
    assert (run / "metrics.jsonl").read_text() == ""


def test_intervals_that_leave_checkpoints_unjudged_are_told():
    intervals = {"tau_retail_1gpu": (), "meets": ("save_steps=40",), "own": ("save_steps=50",)}
    told = {
        name: train.unjudged(SimpleNamespace(**{key: compose(NAME, overrides=keys)[key] for key in KEYS}))
        for name, keys in intervals.items()
    }
    assert told["tau_retail_1gpu"] == told["meets"] == []
    assert "every checkpoint of 100 updates and its multiples" in told["own"][0]


SHORT = [f"{manager}.generating_args.max_new_tokens=512" for manager in ("train_env_manager", "val_env_manager")]


def model_of(tmp_path: Path, **changes: Any) -> Path:
    pytest.importorskip("transformers")
    folder = shutil.copytree(small_checkpoint(), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def checked(pretrain: Path | str, *overrides: str) -> RollConfig:
    return check_roll(compose(NAME, overrides=[f"pretrain={pretrain}", "prompt_style=minimal", *overrides]))


def test_the_small_model_plays_with_the_prompt_that_it_was_trained_on():
    pytest.importorskip("transformers")
    preflight.check_model(checked("small", "sequence_length=2048"))


def test_another_model_is_not_left_blind(tmp_path):
    model = model_of(tmp_path, tau_retail=None)
    with pytest.raises(
        InvalidValueError,
        match=r"prompt_style: minimal tells a model no tool.*tau-retail train .*tau_retail_sft",
    ):
        preflight.check_model(checked(model, "sequence_length=2048"))
    preflight.check_model(checked(model, "sequence_length=2048", "prompt_style=compressed", *SHORT))


def test_episodes_longer_than_the_model_reads_are_refused():
    pytest.importorskip("transformers")
    with pytest.raises(InvalidValueError, match=r"sequence_length: found 4096, but .* reads 2048 tokens"):
        preflight.check_model(checked("small", "sequence_length=4096"))


def test_half_a_download_is_refused_before_a_worker_loads_it(tmp_path):
    model = model_of(tmp_path)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:9999])
    with pytest.raises(InvalidValueError, match="only half downloaded"):
        preflight.check_model(checked(model, "sequence_length=2048"))


def test_a_run_goes_on_with_another_number_of_gpus_but_not_with_updates_of_another_size(tmp_path):
    run = tmp_path / "run"
    begun(run)
    with claimed(f"resume={run}", "num_gpus_per_node=2") as folder:
        assert folder.checkpoint is not None
    larger = "actor_train.training_args.gradient_accumulation_steps=64"
    with pytest.raises(InvalidValueError, match=r"gradient_accumulation_steps \(64 there, 128 here\)"):
        claimed(f"resume={run}", "num_gpus_per_node=2", larger)
