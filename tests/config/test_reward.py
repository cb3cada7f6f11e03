"""Which reward is trained on: the same block in every configuration of both engines, refused where it is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.config import compose, config_names
from tau_retail_env.config.run import RunConfig
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config import check_local, check_sft
from tau_retail_env.messages import AgentMessage
from tau_retail_env.models.shipped import default_config_folder
from tau_retail_env.roll.config.check import check_roll
from tau_retail_env.roll.registration import make_environment
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks.writes import gold_writes
from tau_retail_env.world.settings import RewardSettings

CHECKS = {"tau_retail_local": check_local, "tau_retail_sft": check_sft, "tau_retail_1gpu": check_roll}
CORRECTED = ("reward.kind=corrected", "reward.require_process=true")


def checked(name: str, *overrides: str) -> Any:
    return CHECKS[name](compose(name, overrides=["task_source=generated", *overrides]))


@pytest.mark.parametrize("name", config_names(default_config_folder()))
def test_every_configuration_says_official(name: str) -> None:
    values = compose(name)
    trains = not {"stages", "play"} & values.keys()
    assert values.get("reward") == {"kind": "official", "require_process": False} or not trains


@pytest.mark.parametrize("name", CHECKS)
def test_training_takes_the_reward_that_is_asked_for_and_tests_stay_official(name: str) -> None:
    config = checked(name, *CORRECTED)
    wanted = RewardSettings(kind="corrected", require_process=True)
    assert isinstance(config, RunConfig)
    assert config.reward == wanted
    of_tag = {tag: env.env_config.reward for tag, env in config.custom_envs.items()}
    assert {reward for tag, reward in of_tag.items() if tag.startswith("retail_train")} == {wanted}
    assert {reward for tag, reward in of_tag.items() if tag.startswith("retail_test")} == {RewardSettings()}


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("reward.kind=best", "reward.kind: best cannot be honoured. Expected official or corrected."),
        ("reward.require_process=1", "reward.require_process: found 1, expected true or false"),
        ("+reward.alpha=0.5", "reward.alpha: unknown key. Known here: kind, require_process, partial."),
        (
            "+reward.worker_cls=roll.Worker",
            "reward.worker_cls: unknown key. Known here: kind, require_process, partial.",
        ),
        ("reward=corrected", "reward: found 'corrected', expected a block of keys"),
    ],
)
def test_an_unknown_reward_is_refused_by_its_path(name: str, override: str, words: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        checked(name, override)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "best"}, "reward.kind: best cannot be honoured"),
        ({"knd": "official"}, r"reward.knd: unknown key. Did you mean 'kind'\?"),
        ({"require_process": "yes"}, "reward.require_process: found 'yes'"),
        ("corrected", "reward: found 'corrected', expected a block of keys"),
    ],
)
def test_the_environment_refuses_it_in_the_same_words(given: Any, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        TauRetailEnv("generated", tasks=load_tasks("generated", "test")[:1], reward=given)


class NeverAsks(OracleAgent):
    """The oracle, but for the summary and the yes."""

    def _sum_up(self) -> AgentMessage:
        return self._write()


@pytest.mark.parametrize(("required", "reward"), [(False, 1.0), (True, 0.0)])
def test_a_required_process_takes_the_reward_of_who_does_not_ask(required: bool, reward: float) -> None:
    task = next(task for task in load_tasks("generated", "test") if gold_writes(task))
    settings: Mapping[str, Any] = {"kind": "official", "require_process": required}
    env = make_environment(source="generated", split="test", reward=settings)
    played = play_episode(env, NeverAsks(task), EpisodeRequest(task.id, seed=0))
    assert played.reward == reward
    assert played.reward_breakdown["official"] == 1.0
    honest = play_episode(env, OracleAgent(task), EpisodeRequest(task.id, seed=0))
    assert honest.reward == 1.0


def test_training_on_the_corrected_reward_forgets_upstreams_error() -> None:
    task = next(task for task in load_tasks("tau2", "base") if task.id == "tau2/18")
    env = make_environment(source="tau2", split="base", reward={"kind": "corrected"})
    played = play_episode(env, OracleAgent(task), EpisodeRequest(task.id, seed=0))
    assert (played.reward, played.metrics["success"], played.reward_breakdown["corrected"]) == (0.0, 1.0, 0.0)
