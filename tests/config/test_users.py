"""The keys about the customer: accepted together, or refused by their full path before anything starts."""

import pytest

from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config import LocalConfig, check_local, check_sft

API = ("user_strategy=llm", "user_model=tiny")


def checked(*overrides: str) -> LocalConfig:
    return check_local(compose("tau_retail_local", overrides=overrides))


def refusal(*overrides: str) -> str:
    with pytest.raises(InvalidValueError) as caught:
        checked(*overrides)
    return str(caught.value)


def test_a_model_that_would_be_called_without_the_commands_settings_is_refused():
    block = "custom_envs.retail_train.env_config.user_config"
    mixture = ("user_strategy={scripted: 0.7, llm: 0.3}", "user_model=m", "user.base_url=http://127.0.0.1:8000/v1")
    told = refusal(*mixture, "user.max_tokens=9", f"{block}={{seed: 1}}")
    assert f"{block}: llm would be called without base_url, max_tokens of the block user; set it to ${{user}}" in told
    assert checked(*mixture, f"{block}={{base_url: http://127.0.0.1:9/v1}}"), "an address of its own"
    assert "user_strategy" in refusal("user_strategy=nobody", "user.base_url=http://127.0.0.1:8000/v1")


def test_the_commands_keys_reach_the_customers_of_training_and_validation():
    config = checked(*API, "user.base_url=http://127.0.0.1:8000/v1", "user.budget_usd=null")
    for tag in ("retail_train", "retail_test"):
        env = config.custom_envs[tag].env_config
        assert (env.user_strategy, env.user_model) == ("llm", "tiny")
        assert env.user_config == {"base_url": "http://127.0.0.1:8000/v1", "budget_usd": None}


def test_weights_are_given_as_a_mapping_on_the_command_line():
    config = checked("user_strategy={scripted:0.7,llm:0.3}", "user_model=tiny", "user.phrasings=all", "user.seed=1")
    env = config.custom_envs["retail_test"].env_config
    assert env.user_strategy == {"scripted": 0.7, "llm": 0.3}
    assert env.user_config == {"phrasings": "all", "seed": 1}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["user_strategy=lmm"], "user_strategy: Unknown user_strategy 'lmm'; known: scripted, llm"),
        (["user_strategy={scripted:0.7,llm:0.4}", "user_model=m"], "user_strategy: the weights {scripted: 0.7, llm"),
        (["user_strategy={scripted:2,llm:-1}", "user_model=m"], "user_strategy: the weight of 'llm' is -1"),
        (["user_strategy={scripted:a}"], "user_strategy: the weight of 'scripted' is 'a', expected a number"),
        (["user_strategy={}"], "sum to 0, expected 1"),
        (["user_strategy=human"], "user_strategy: human plays one episode in a terminal"),
        (["user_strategy=llm"], "user_model: found None, expected the name of a model"),
        (["user_model=m"], "user_model: found 'm', but user_strategy scripted needs no model"),
        (["user.base_url=http://localhost/v1"], "user.base_url: only a customer behind an API has it"),
        ([*API, "user.phrasings=all"], "user.phrasings: only user_strategy scripted has it, not llm"),
        (["user.phrasings=loud"], "user.phrasings: Unknown phrasings 'loud'; known: auto"),
        ([*API, "user.timout_s=3"], "user.timout_s: unknown key. Did you mean 'timeout_s'?"),
        ([*API, "user.zzz=3"], "user.zzz: unknown key. Known here: phrasings, base_url"),
        ([*API, "user.timeout_s=0"], "user.timeout_s: found 0, expected more than 0"),
        ([*API, "user.timeout_s=soon"], "user.timeout_s: found 'soon', expected a number"),
        ([*API, "user.max_retries=-1"], "user.max_retries: found -1, expected 0 or more"),
        ([*API, "user.max_concurrency=0"], "user.max_concurrency: found 0, expected 1 or more"),
        ([*API, "user.budget_usd=0"], "user.budget_usd: found 0, expected more than 0"),
        ([*API, "user.budget_usd=5"], "user.usd_per_million_input_tokens is missing"),
        ([*API, "user.base_url=nonsense"], "user.base_url: found 'nonsense', expected an address"),
        ([*API, "user=3"], "user: found 3, expected a block of keys"),
    ],
)
def test_what_cannot_be_is_refused_by_its_full_path(overrides: list[str], words: str):
    assert words in refusal(*overrides)


def test_what_is_wrong_at_the_top_is_told_once():
    assert refusal(*API, "user.timeout_s=0").count("timeout_s") == 1


def test_an_environment_of_its_own_is_named_by_its_own_path():
    block = "custom_envs.retail_train.env_config"
    own = (f"{block}.user_strategy=llm", f"{block}.user_model=m", f"{block}.user_config={{timeout_s:-1}}")
    assert refusal(*own).startswith(f"{block}.user_config.timeout_s: found -1")
    assert refusal(*own[:1]).startswith(f"{block}.user_model: found None")


def test_a_key_in_the_place_of_its_variables_name_is_not_repeated():
    words = refusal(*API, "user.api_key_env=sk-1234-secret")
    assert "user.api_key_env" in words
    assert "secret" not in words
    assert "secret" not in refusal(*API, "user.api_key=sk-1234-secret")


def test_fine_tuning_checks_the_same():
    with pytest.raises(InvalidValueError, match=r"user\.timeout_s: found 0"):
        check_sft(compose("tau_retail_sft", overrides=[*API, "user.timeout_s=0"]))
