"""The customer that a configuration names, read in one place."""

from tau_retail_env.users import API_STRATEGIES
from tau_retail_env.users.llm.writing import WRITERS
from tau_retail_env.users.scripted.phrases import PORTIONS
from tau_retail_env.users.spec import PHRASINGS, UserSpec


def test_the_names_that_can_be_said_are_those_that_can_be_played():
    assert tuple(WRITERS) == API_STRATEGIES
    assert ("auto", *PORTIONS) == PHRASINGS


def test_everything_that_is_wrong_with_a_customer_is_told_at_once_by_its_full_path():
    block = {"timout_s": 3, "max_retries": -1, "phrasings": "all"}
    spec, problems = UserSpec.attempt("llm", block, None, path="custom_envs.a.env_config.", name="user_config")
    assert spec is None
    assert [problem.split(":")[0] for problem in problems] == [
        "custom_envs.a.env_config.user_config.timout_s",
        "custom_envs.a.env_config.user_config.phrasings",
        "custom_envs.a.env_config.user_model",
        "custom_envs.a.env_config.user_config.max_retries",
    ]


def test_a_mixture_of_both_kinds_has_the_settings_of_both():
    spec = UserSpec.read({"scripted": 0.5, "llm": 0.5}, {"phrasings": "all", "timeout_s": 5}, "m")
    assert spec.weights == {"scripted": 0.5, "llm": 0.5}
    assert (spec.phrasings, spec.api.model, spec.api.timeout_s) == ("all", "m", 5.0)
