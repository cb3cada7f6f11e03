"""The dev splits that an evaluation can play in a test's place."""

from tau_retail_env import load_tasks
from tau_retail_env.config import compose


def test_an_evaluation_knows_a_dev_split_of_each_source():
    environments = compose("tau_retail_eval")["custom_envs"]
    dev = {name: env["env_config"] for name, env in environments.items() if name.endswith("_dev")}
    assert {name: (one["source"], one["split"]) for name, one in dev.items()} == {
        "series6_dev": ("generated", "train6_dev"),
        "v1_dev": ("tau_bench", "train_dev"),
        "tau2_dev": ("tau2", "train_dev"),
    }
    assert load_tasks("tau2", dev["tau2_dev"]["split"])


def test_unless_told_otherwise_it_plays_no_dev_split():
    assert not [name for name in compose("tau_retail_eval")["play"]["sets"] if name.endswith("_dev")]
