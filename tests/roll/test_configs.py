"""Every configuration passes the real AgenticConfig of the versions of ROLL that it is for, each in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import pytest

CONFIGS = ("tau_retail_config", "tau_retail_1gpu", "tau_retail_grpo")
VARIANTS = (
    "",
    "infer=sglang",
    "train=megatron",
    "task_source=tau2",
    "user_strategy=llm user_model=m",
    "pretrain=small",
    "++advantage_clip=null ++reward_clip=null",
)
CHECKOUTS = {
    "ROLL_PATH": VARIANTS,
    "ROLL_PATH_V030": VARIANTS,
    "ROLL_PATH_V021": ("train=deepspeed", "train=deepspeed infer=sglang"),
}
PROGRAM = textwrap.dedent(
    """
    import json, sys
    from pathlib import Path
    from tau_retail_env.config import compose
    from tau_retail_env.roll.config.check import check_roll, fit_groups
    from tau_retail_env.roll.run_folder import ENGINE
    from tau_retail_env.roll.settings import agentic_config
    from tau_retail_env.runs.folder import RunFolder

    found = []
    for name, overrides in json.loads(sys.argv[1]):
        values = compose(name, overrides=overrides)
        check_roll(values)
        folder = RunFolder(Path(sys.argv[2]) / name, ENGINE)
        config = agentic_config(fit_groups(values, {"retail_test": 9}), folder)
        found.append({
            "name": name,
            "overrides": overrides,
            "reference": config.enable_reference,
            "recompute": config.enable_old_logprobs_recompute,
            "checkpoints": config.checkpoint_config["output_dir"],
            "worker_checkpoints": config.actor_train.checkpoint_config["output_dir"],
            "manager": config.train_env_manager.env_configs[0][0]["env_manager_cls"],
            "val_groups": config.val_env_manager.num_env_groups,
            "val_episodes": config.val_env_manager.max_traj_per_env,
            "val_temperature": config.val_env_manager.generating_args.temperature,
            "train_temperature": config.actor_infer.generating_args.temperature,
            "tracker": config.track_with,
            "tracker_kwargs": config.tracker_kwargs,
            "logging_dir": config.logging_dir,
        })
    print(json.dumps(found))
    """
)


def accepted(variable: str, cases: list[tuple[str, list[str]]], folder: Path, repository: Path) -> list[dict[str, Any]]:
    """What the ROLL that an environment variable names makes of configurations; skips where it is not there."""
    checkout = os.environ.get(variable)
    if not checkout:
        pytest.skip(f"needs ROLL: export {variable}=<a checkout of that version> in an environment with its packages")
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(cases), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((checkout, str(repository))),
            "CUDA_VISIBLE_DEVICES": "",
            "ROLL_LOG_DIR": str(folder / "logs"),
        },
    )
    if "ModuleNotFoundError" in result.stderr:
        pytest.skip(f"needs ROLL's packages: {result.stderr.splitlines()[-1]}; see requirements-roll.txt")
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize(("variable", "variants"), list(CHECKOUTS.items()))
def test_every_configuration_passes_rolls_own_check(variable, variants, tmp_path, repository):
    cases = [(name, variant.split()) for name in CONFIGS for variant in variants]
    found = accepted(variable, cases, tmp_path, repository)
    assert len(found) == len(cases)
    for one in found:
        run = tmp_path / one["name"]
        assert one["reference"] and one["recompute"], one
        assert one["manager"] == "tau_retail_env.roll.env_manager.TauRetailEnvManager"
        assert one["checkpoints"] == one["worker_checkpoints"] == str(run / "checkpoints")
        assert one["tracker"] == "tau_retail"
        assert one["tracker_kwargs"]["tracker_kwargs"] == {"log_dir": str(run / "tensorboard")}
        assert (one["val_groups"], one["val_episodes"]) == (9, sys.maxsize)
        assert (one["train_temperature"], one["val_temperature"]) == (1.0, 0.7)
        assert one["logging_dir"].startswith(str(run))


def test_the_chains_last_stage_passes_rolls_own_check(tmp_path, repository):
    (one,) = accepted("ROLL_PATH", [("tau_retail_smol_ppo", [])], tmp_path, repository)
    assert one["reference"] and one["recompute"]
    assert one["manager"] == "tau_retail_env.roll.env_manager.TauRetailEnvManager"


def test_a_hosted_tracker_knows_the_run_by_its_folder(tmp_path, repository):
    (one,) = accepted("ROLL_PATH", [("tau_retail_1gpu", ["track_with=wandb"])], tmp_path, repository)
    assert one["tracker_kwargs"]["tracker_kwargs"] == {"project": "tau-retail", "name": "tau_retail_1gpu"}


def test_rolls_own_trackio_wants_what_trackio_does_not_take(roll, monkeypatch):
    """`trackio.init` has no argument `tags` (0.43.0), so ROLL's tracker ends the run; ours is refused before it."""
    from roll.utils.tracking import create_tracker

    def init(**given: Any) -> None:
        raise TypeError("tags") if "tags" in given else AssertionError(given)

    monkeypatch.setitem(sys.modules, "trackio", types.SimpleNamespace(init=init))
    with pytest.raises(TypeError, match="tags"):
        create_tracker("trackio", {}, project="p", name="n")


def test_rolls_own_configuration_ignores_what_ours_refuses(roll, tmp_path, monkeypatch):
    """The trap: a misspelt key, and a KL coefficient that is used nowhere, are both fine with ROLL."""
    from dacite import from_dict
    from roll.pipeline.agentic.agentic_config import AgenticConfig

    from tau_retail_env.config import compose
    from tau_retail_env.errors import InvalidValueError
    from tau_retail_env.roll.config.check import check_roll, roll_values

    monkeypatch.chdir(tmp_path)
    values = compose("tau_retail_1gpu", overrides=["init_kl_coeff=0.1", "add_token_level_kl=false"])
    config = from_dict(AgenticConfig, roll_values(values))
    assert config.init_kl_coef == 0.005 and not config.add_token_level_kl
    with pytest.raises(InvalidValueError, match="init_kl_coeff"):
        check_roll(values)


def rolls_own_configuration(*overrides: str) -> Any:
    """What ROLL makes of a configuration that ours has not checked."""
    from dacite import from_dict
    from roll.pipeline.agentic.agentic_config import AgenticConfig

    from tau_retail_env.config import compose
    from tau_retail_env.roll.config.check import roll_values

    return from_dict(AgenticConfig, roll_values(compose("tau_retail_1gpu", overrides=list(overrides))))


def test_rolls_validation_is_sampled_like_its_training_once_the_engine_has_settings(roll, tmp_path, monkeypatch):
    """The trap: `actor_infer.generating_args`, as in ROLL's examples, override those of both env managers."""
    monkeypatch.chdir(tmp_path)
    ours = rolls_own_configuration()
    theirs = rolls_own_configuration("++actor_infer.generating_args={max_new_tokens: 9, temperature: 1.0}")
    assert (ours.train_env_manager.generating_args.temperature, ours.val_env_manager.generating_args.temperature) == (
        1.0,
        0.7,
    )
    assert theirs.val_env_manager.generating_args is theirs.train_env_manager.generating_args
    assert theirs.val_env_manager.generating_args.temperature == 1.0


def test_rolls_resume_true_looks_into_a_new_folder(roll, tmp_path, monkeypatch):
    """The trap: the time is added to the folder of checkpoints, so it is empty; ours names a checkpoint."""
    from roll.utils.checkpoint_manager import get_latest_ckpt

    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    config = rolls_own_configuration(f"output_dir={tmp_path / 'out'}", "resume_from_checkpoint=true")
    assert config.checkpoint_config["output_dir"].startswith(str(tmp_path / "out" / "checkpoints" / "2"))
    with pytest.raises(FileNotFoundError):
        get_latest_ckpt(config.checkpoint_config)
