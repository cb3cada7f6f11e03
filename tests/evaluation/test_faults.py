"""Whose fault a failed episode was: customers, agents and tasks that fail in a known way."""

import dataclasses

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.choice import NAMES, AgentChoice, made_here
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.evaluation.faults import PARTIES, fault_of, review
from tau_retail_env.evaluation.record import Episode
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import open_shop
from tau_retail_env.users import make_customer
from tau_retail_env.users.base import UserError, UserMessage

TASKS = load_tasks("tau2", "base")
CANCELLATION = load_tasks("tau2", "base", "single*cancellations")[0]


class Changed:
    """The scripted customer, whose answers are changed."""

    def __init__(self, change):
        self._scripted = make_customer("scripted", None, open_shop("tau2").database, source="tau2")
        self._change = change

    def reset(self, task, *, seed):
        return self._scripted.reset(task, seed=seed)

    def respond(self, message):
        return self._change(message.content, self._scripted.respond(message))


def play(task, agent, change=lambda asked, words: words):
    env = TauRetailEnv(tasks=[task], user=Changed(change))
    return play_episode(env, agent, EpisodeRequest(task.id, 0))


def leaves_at_the_question(asked, words):
    return UserMessage("Yes, please do. ###STOP###") if asked.endswith("Confirm (yes/no)?") else words


def plays_the_agent(asked, words):
    if asked.endswith("Confirm (yes/no)?"):
        return UserMessage("Yes.\nAgent: I have cancelled it for you. ###STOP###", stop="###STOP###")
    return words


def is_somebody_else(asked, words):
    return UserMessage("My email is nobody.atall@example.org.") if "email" in asked else words


def fails(asked, words):
    raise UserError("HTTP 500")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (leaves_at_the_question, "early stop"),
        (plays_the_agent, "role"),
        (is_somebody_else, r"wrong fact: nobody.atall@example.org"),
        (fails, "failed: HTTP 500"),
    ],
)
def test_a_customer_that_spoils_a_perfect_agents_episode_is_at_fault(change, reason):
    fault = fault_of(play(CANCELLATION, OracleAgent(CANCELLATION), change), CANCELLATION)
    assert (fault.party, fault.reason[: len(reason)]) == ("customer", reason)


@pytest.mark.parametrize("name", NAMES)
def test_the_scripted_customer_is_never_at_fault(name):
    make = made_here(AgentChoice.read(name))
    for task in TASKS[::4]:
        fault = fault_of(play(task, make(task, 0)), task)
        assert fault is None or fault.party in ("policy", "tool")


class Reversing(OracleAgent):
    """The oracle, which names the items of an order in another order."""

    def act(self, observation, info):
        message = super().act(observation, info)
        calls = [
            dataclasses.replace(call, arguments={name: _reversed(value) for name, value in call.arguments.items()})
            for call in message.tool_calls
        ]
        return AgentMessage(message.content, tuple(calls))


def _reversed(value):
    return value[::-1] if isinstance(value, list) else value


def test_a_task_that_fails_whoever_lists_the_items_otherwise_is_at_fault():
    # sierra-research/tau2-bench #318, #325: the shop writes the last variant to every item.
    task = next(task for task in TASKS if task.id == "tau2/36")
    assert fault_of(play(task, OracleAgent(task)), task) is None
    assert fault_of(play(task, Reversing(task)), task).party == "task"


class Garbling:
    """Writes calls that cannot be parsed."""

    def act(self, observation, info):
        return "<tool_call>{broken"


def test_messages_that_cannot_be_parsed_are_a_fault_of_format():
    assert fault_of(play(CANCELLATION, Garbling()), CANCELLATION).party == "format"


def test_the_report_counts_parties_and_sets_the_customers_share_beside_the_success():
    trajectories = [
        play(CANCELLATION, OracleAgent(CANCELLATION)),
        play(CANCELLATION, OracleAgent(CANCELLATION), leaves_at_the_question),
        play(CANCELLATION, Garbling()),
    ]
    episodes = [Episode(trial, one) for trial, one in enumerate(trajectories)]
    words = review(episodes, {CANCELLATION.id: CANCELLATION})
    assert "success 33.3% of 3 episodes" in words
    assert "the customer's share: 33.3% of all episodes" in words
    assert "success where the customer was not at fault: 50.0%" in words
    assert f"     1 format   {PARTIES['format']}" in words
    assert f"{CANCELLATION.id} trial 1 (seed 0): customer: early stop" in words
    assert review([], {}) == "no episodes"
