"""Error messages speak of what a command takes: options, where a configuration would have keys."""

from __future__ import annotations

from argparse import Namespace

import pytest

from tau_retail_env.cli.options import in_options

COMMAND = Namespace(source="tau2", subset=None, user_strategy="llm", user_model=None, user=[])


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("user_model: found None, e.g. user_model=gpt-4o", "--user-model: found None, e.g. --user-model gpt-4o"),
        ("user.base_url: found 3", "--user base_url: found 3"),
        ("task_subset 'x' of source 'tau2'", "--subset 'x' of source 'tau2'"),
        ("set user_strategy=scripted, or user.api_key_env", "set --user-strategy scripted, or --user api_key_env"),
        ("prompt_style: found loud", "prompt_style: found loud"),
        (
            "http://user.example/user_model.json and my_user_model",
            "http://user.example/user_model.json and my_user_model",
        ),
    ],
)
def test_keys_are_named_as_the_options_that_the_command_has(message, told):
    assert in_options(message, COMMAND) == told


def test_the_keys_of_a_stage_that_plays_are_named_as_the_options_of_eval():
    command = Namespace(output=None, engine="auto", engines=None, gpu_memory=None, sequence_length=None)
    message = "sequence_length: found 9; play.engines=2 or play.engine=vllm, play.gpu_memory; output_dir=FOLDER"
    told = "--sequence-length: found 9; --engines 2 or --engine vllm, --gpu-memory; --output FOLDER"
    assert in_options(message, command) == told
    assert in_options(message, Namespace(overrides=[])) == message


def test_a_judges_key_is_named_as_the_judges_option():
    command = Namespace(user=[], nl_judge=None, nl_judge_model=None, nl_judge_config=[])
    message = "nl_judge_config.base_url: found 3; nl_judge_model is gone; nl_judge_config needs nl_judge=openai"
    told = "--nl-judge-config base_url: found 3; --nl-judge-model is gone; --nl-judge-config needs --nl-judge openai"
    assert in_options(message, command) == told


def test_a_command_that_takes_a_configuration_keeps_its_keys():
    options = Namespace(config_name="tau_retail_local", overrides=[])
    assert in_options("user_model: found None, e.g. user_model=gpt-4o", options).startswith("user_model: found None")
