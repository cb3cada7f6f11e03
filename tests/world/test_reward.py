"""What of a failed episode was right, and the reward that pays for it."""

from dataclasses import replace
from typing import Any

import pytest

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import find_task, load_tasks
from tau_retail_env.world.reward import judge
from tau_retail_env.world.settings import RewardSettings

GOLD: Any = {"order 1": "cancelled", "order 2": "returned"}


def partial(changes: Any, spoken: tuple[str, ...] = (), *, gold: Any = GOLD, outputs: tuple[str, ...] = ()) -> float:
    task = replace(load_tasks("tau2", "train")[0], outputs=outputs)
    return judge(task, changes, gold, spoken).breakdown["partial"]


def test_gold_writes_and_outputs_count_alike():
    assert partial({}) == 0.0
    assert partial({"order 1": "cancelled"}) == 0.5
    assert partial(GOLD) == 1.0
    assert partial({"order 1": "cancelled"}, ("It is 42.",), outputs=("42", "43")) == 0.5
    assert partial(GOLD, ("42 and 43",), outputs=("42", "43")) == 1.0


def test_gold_writes_with_wrong_ones_besides_are_worth_less():
    assert partial({**GOLD, "order 3": "cancelled"}) == 0.5
    assert partial({"order 1": "cancelled", "order 2": "exchanged"}) == 0.0
    assert partial({**GOLD, "order 3": "", "order 4": "", "order 5": ""}) == 0.0, "never below 0"


def test_where_nothing_is_to_be_done_nothing_is_partly_right():
    assert partial({}, gold={}) == 0.0
    assert partial({"order 1": "cancelled"}, gold={}) == 0.0


@pytest.mark.parametrize(
    ("official", "partly", "alpha", "reward"),
    [
        (1.0, 1.0, 0.3, 1.0),
        (0.0, 0.5, 0.3, 0.15 / 1.3),
        (0.0, 0.5, 0.0, 0.0),
        (1.0, 0.0, 0.5, 1.0),
        (0.0, 1.0, 0.5, 1 / 3),
    ],
)
def test_a_success_earns_one_and_a_failure_its_part_of_what_is_left(official, partly, alpha, reward):
    told: Any = {"official": official, "corrected": official, "process": 0.0, "partial": partly}
    assert RewardSettings(partial=alpha).chosen(told) == pytest.approx(reward)
    assert RewardSettings(partial=alpha, require_process=True).chosen(told) == 0.0


class HalfWay(OracleAgent):
    """The oracle, until it has written once; then it has nothing more to say than that."""

    wrote = False

    def act(self, observation: str, info: Any) -> AgentMessage | str:
        if self.wrote:
            return "I am done with everything. Goodbye!"
        message = super().act(observation, info)
        calls = message.tool_calls if isinstance(message, AgentMessage) else ()
        self.wrote = any(call.name.startswith(("cancel", "modify", "return", "exchange")) for call in calls)
        return message


def test_partial_reward_is_paid_once_a_conversation_has_ended_and_not_where_a_limit_ended_it():
    task = find_task(load_tasks("tau2", "train"), "tau2/11")  # two writes, nothing to tell

    def played(agent: OracleAgent, max_turns: int | None = None) -> Trajectory:
        env = TauRetailEnv("tau2", "train", reward={"partial": 0.3}, max_turns=max_turns)
        return play_episode(env, agent, EpisodeRequest(task.id, seed=0))

    half = played(HalfWay(task))
    assert half.terminated and half.reward_breakdown["partial"] == 0.5
    assert half.reward == pytest.approx(0.15 / 1.3)
    assert half.metrics["success"] == 0.0
    assert played(HalfWay(task), max_turns=int(half.metrics["turns"]) - 1).reward == 0.0
    assert played(OracleAgent(task)).reward == 1.0
