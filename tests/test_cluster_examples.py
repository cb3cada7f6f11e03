"""The examples for clusters: their words compose and pass every check, and their GPUs are those that the run counts."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tau_retail_env.config import compose
from tau_retail_env.roll.config.check import RollConfig, check_roll


def checked(words: list[str]) -> tuple[dict[str, Any], RollConfig]:
    """What a run's command composes to."""
    start = words.index("start_agentic_pipeline.py")
    name = words[words.index("--config-name") + 1]
    overrides = [word for word in words[start + 1 :] if "=" in word]
    values = compose(name, overrides=overrides)
    return values, check_roll(values)


def options_of(script: str) -> dict[str, str]:
    return dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)", script, re.MULTILINE))


@pytest.fixture
def sbatch(repository: Path) -> Path:
    return repository / "examples" / "cluster" / "slurm.sbatch"


def test_the_script_for_slurm_is_bash(sbatch):
    subprocess.run(["bash", "-n", sbatch], check=True)


def test_slurm_gives_the_machines_and_gpus_that_the_run_counts(sbatch):
    script = sbatch.read_text(encoding="utf-8")
    options = options_of(script)
    command = re.search(r"-- \\\n(.*)", script, re.DOTALL)[1].replace("\\\n", " ").replace('"$@"', "")
    words = shlex.split(command.replace("$SLURM_JOB_NUM_NODES", options["nodes"]))
    values, config = checked(words)
    assert values["num_gpus_per_node"] == int(options["gpus-per-node"])
    assert config.num_gpus == int(options["nodes"]) * int(options["gpus-per-node"]) == 16
    assert options["ntasks-per-node"] == "1"


def test_slurm_starts_ray_and_the_run_as_bare_as_they_are(sbatch, tmp_path):
    """With stand-ins for Slurm's commands and Ray's, the words that `ray symmetric-run` is started with."""
    for name, says in {
        "scontrol": "printf 'first\\nsecond\\n'",
        "srun": 'shift; exec "$@"',
        "ray": "printf '%s\\n' \"$@\"",
    }.items():
        stand_in = tmp_path / name
        stand_in.write_text(f"#!/usr/bin/env bash\n{says}\n", encoding="utf-8")
        stand_in.chmod(0o755)
    given = {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_NODELIST": "first,second", "SLURM_JOB_NUM_NODES": "2"}
    done = subprocess.run(
        ["bash", sbatch, "pretrain=a folder", "max_steps=3"],
        env=given | {"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.splitlines()
    assert words[:6] == ["symmetric-run", "--address", "first:6379", "--min-nodes", "2", "--"]
    assert words[6:8] == ["env", "RAY_ADDRESS=first:6379"] and words[-2:] == ["pretrain=a folder", "max_steps=3"]


def test_kubernetes_gives_the_machines_and_gpus_that_the_run_counts(repository):
    job = yaml.safe_load((repository / "examples" / "cluster" / "kuberay.yaml").read_text(encoding="utf-8"))
    spec = job["spec"]
    values, config = checked(shlex.split(shlex.split(spec["entrypoint"])[-1]))
    cluster = spec["rayClusterSpec"]
    groups = cluster["workerGroupSpecs"]
    assert values["num_nodes"] == 1 + sum(group["replicas"] for group in groups)
    for template in (cluster["headGroupSpec"]["template"], *(group["template"] for group in groups)):
        (container,) = template["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == str(values["num_gpus_per_node"])
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert config.num_gpus == 16
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    pinned = re.search(r"^ray\[default\]==(\S+)", (repository / "requirements-roll.txt").read_text(), re.MULTILINE)[1]
    assert cluster["rayVersion"] == pinned


def test_the_page_names_words_that_pass_every_check(repository):
    page = (repository / "docs" / "cluster.md").read_text(encoding="utf-8")
    command = re.search(r"RAY_ADDRESS=FIRST:6379 (python .*?\n.*?)\n\n", page)[1].replace("\\\n", " ")
    assert checked(shlex.split(command))[1].num_gpus == 16
