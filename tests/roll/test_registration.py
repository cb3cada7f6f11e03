"""The environment in gem's registry."""

import subprocess
import sys

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.roll.registration import ENVIRONMENT_ID, make_environment, plain_value, register_environment


def test_gem_makes_the_environment_with_omegaconfs_containers(roll):
    import gem
    from omegaconf import DictConfig

    config = DictConfig({"split": "test", "user_strategy": {"scripted": 1.0}, "user_config": {}})
    env = gem.make(ENVIRONMENT_ID, **config)
    assert env.user_strategy == "mixed" and len(env.tasks) == 40


def test_registering_again_changes_nothing_and_a_strangers_name_is_refused(roll, monkeypatch):
    from gem.envs.registration import ENV_REGISTRY, EnvSpec

    register_environment()
    register_environment()
    monkeypatch.setitem(ENV_REGISTRY, ENVIRONMENT_ID, EnvSpec(ENVIRONMENT_ID, "other:Env"))
    with pytest.raises(InvalidValueError, match="already knows an environment 'tau_retail' from 'other:Env'"):
        register_environment()


def test_unknown_settings_are_refused_by_name():
    with pytest.raises(InvalidValueError, match="colour"):
        make_environment(colour="red")


def test_containers_become_plain():
    assert plain_value({"a": ({"b": 1}, "text")}) == {"a": [{"b": 1}, "text"]}


GEM = """
class EnvSpec:
    def __init__(self, id, entry_point):
        self.id, self.entry_point = id, entry_point

ENV_REGISTRY = {}

def register(id, entry_point):
    ENV_REGISTRY[id] = EnvSpec(id, entry_point)
"""
"""As much of gem as registering needs; that gem itself makes the environment is tested above, where ROLL is."""


@pytest.mark.parametrize(
    "imports",
    [
        "import tau_retail_env.roll; assert 'gem' not in sys.modules; import gem.envs.registration",
        "import gem.envs.registration, tau_retail_env.roll",
        "import tau_retail_env.roll.config, tau_retail_env.roll, gem.envs.registration",
    ],
)
def test_importing_the_engine_registers_whenever_gem_comes_and_imports_no_gem_itself(repository, tmp_path, imports):
    (tmp_path / "gem" / "envs").mkdir(parents=True)
    for name in ("gem/__init__.py", "gem/envs/__init__.py"):
        (tmp_path / name).touch()
    (tmp_path / "gem" / "envs" / "registration.py").write_text(GEM)
    program = f"import sys; {imports}; print(gem.envs.registration.ENV_REGISTRY['tau_retail'].entry_point)"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{repository}:{tmp_path}", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "tau_retail_env.roll.registration:make_environment"


def test_without_gem_the_package_can_still_be_imported():
    program = (
        "import sys; sys.modules['gem'] = None; import tau_retail_env.roll; from tau_retail_env.roll import group_plan"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
