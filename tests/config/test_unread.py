"""What the local engine answers to the keys of ROLL's recorded schema that it does not read."""

import pytest

from tau_retail_env.blocks import attempt
from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.local.config import LocalConfig, SftConfig
from tau_retail_env.local.config.unread import (
    INSTEAD,
    OF_ENVIRONMENTS,
    OF_FINE_TUNING,
    OF_RUNS_WITH_ROLL,
    unread_by_local,
)

SCHEMA = RollSchema.load("main")


def told(config, key: str) -> str:
    """What is said of one key, given by itself."""
    values = 1
    for name in reversed(key.split(".")):
        values = {name: values}
    _, problems = attempt(config, values, unread=unread_by_local)
    return next(problem for problem in problems if problem.startswith(f"{key}:"))


@pytest.mark.parametrize("config", [LocalConfig, SftConfig])
def test_every_key_of_rolls_that_a_run_does_not_read_is_refused_as_such(config):
    unread = [name for name in SCHEMA.names("") if name not in config.model_fields]
    assert len(unread) > 70
    for name in unread:
        assert told(config, name).startswith(f"{name}: the local engine does not read it: ")


@pytest.mark.parametrize("name", [*SCHEMA.names("actor_train.model_args"), *SCHEMA.names("actor_train.training_args")])
def test_so_is_a_key_of_a_block_within(name):
    block = "model_args" if name in SCHEMA.names("actor_train.model_args") else "training_args"
    role = LocalConfig.model_fields["actor_train"].annotation
    if name in role.model_fields[block].annotation.model_fields:
        return
    assert "the local engine does not read it" in told(LocalConfig, f"actor_train.{block}.{name}")
    assert "the local engine does not read it" in told(SftConfig, f"sft_train.{block}.{name}")


@pytest.mark.parametrize("end", [end for ends in INSTEAD.values() for end in ends.split()])
def test_every_remedy_is_for_a_key_that_somebody_may_write(end):
    *block, name = end.split(".")
    known = {*OF_ENVIRONMENTS, *OF_FINE_TUNING, *OF_RUNS_WITH_ROLL}
    for fields in SCHEMA.classes.values():
        known |= fields.keys()
    assert name in known
    assert all(part in known or part == "sft_train" for part in block)


def test_a_key_without_a_remedy_of_its_own_is_to_be_removed():
    assert told(LocalConfig, "router_args") == "router_args: the local engine does not read it: remove it"


@pytest.mark.parametrize("config", [LocalConfig, SftConfig])
@pytest.mark.parametrize("name", OF_RUNS_WITH_ROLL)
def test_a_key_of_ours_for_runs_with_roll_is_told_as_such(config, name):
    assert told(config, name) == (
        f"{name}: the local engine does not read it: only runs with ROLL do (--config-name tau_retail_1gpu); remove it"
    )


def test_a_misspelt_one_is_named():
    assert told(LocalConfig, "filter_group").endswith("Did you mean 'filter_groups'?")
