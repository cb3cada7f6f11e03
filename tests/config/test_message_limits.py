"""Where a configuration says how many tokens a message may have."""

import pytest

from tau_retail_env.config import compose
from tau_retail_env.config.environments import message_limits

MANAGERS = [f"{name}.generating_args.max_new_tokens" for name in ("train_env_manager", "val_env_manager")]


@pytest.mark.parametrize(
    ("name", "tokens"), [("tau_retail_local", 160), ("tau_retail_grpo", 512), ("tau_retail_smol_ppo", 1024)]
)
def test_the_managers_say_it(name, tokens):
    found = message_limits(compose(name))
    assert [found[path] for path in MANAGERS] == [tokens, tokens]


def test_so_do_the_role_that_overrides_them_and_an_environment_that_is_played():
    found = message_limits(
        {
            "actor_infer": {"generating_args": {"max_new_tokens": 9}},
            "train_env_manager": {"tags": ["a"], "generating_args": None},
            "val_env_manager": {"tags": ["a"]},
            "custom_envs": {"a": {"max_tokens_per_step": 7}, "unplayed": {"max_tokens_per_step": 5}},
        }
    )
    assert found == {"actor_infer.generating_args.max_new_tokens": 9, "custom_envs.a.max_tokens_per_step": 7}
