"""The judge of assertions behind an API: upstream's words to a real server, and what is made of its verdicts."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.errors import InvalidValueError, MissingDependencyError, UserSetupError
from tau_retail_env.sources import find_task, get_source
from tau_retail_env.sources.tau2 import editions
from tau_retail_env.users.llm.assertion_judge import ModelJudge
from tau_retail_env.users.llm.background import close_background
from tau_retail_env.world.assertions import Evidence, Said
from tests.users.llm.server import ChatServer, always

JUDGED = "tau2/46"
"""A task with two assertions."""


@pytest.fixture(autouse=True)
def newest() -> None:
    """τ² 1.0; without it the test skips."""
    try:
        editions.edition_of("1.0")
    except (MissingDependencyError, InvalidValueError) as error:
        pytest.skip(f"needs τ² 1.0: {error}")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running
    close_background()


def verdict(*met: object) -> str:
    results = [{"expectedOutcome": "…", "reasoning": "…", "metExpectation": one} for one in met]
    return json.dumps({"results": results})


def judged_env(server: ChatServer, **config) -> TauRetailEnv:
    config = {"base_url": server.base_url, "max_retries": 0, "timeout_s": 20, **config}
    return TauRetailEnv(
        "tau2", "base", task_version="1.0", nl_judge="openai", nl_judge_model="tiny", nl_judge_config=config
    )


def run(env: TauRetailEnv, task_id: str = JUDGED):
    """What an episode of the oracle's ends with."""
    agent = OracleAgent(find_task(env.tasks, task_id))
    observation, info = env.reset(task_id, seed=0)
    terminated = truncated = False
    while not (terminated or truncated):
        observation, reward, terminated, truncated, info = env.step(agent.act(observation, info))
    return reward, terminated, truncated, info


def play(server: ChatServer, *replies: str, task_id: str = JUDGED, **config):
    """What such an episode ends with where the judge says these in turn, the last one ever after."""
    server.reply = lambda request: replies[min(request.order, len(replies) - 1)]
    return run(judged_env(server, **config), task_id)


def test_the_model_is_sent_upstreams_words_with_the_whole_conversation(server):
    play(server, verdict(True, True))
    (request,) = server.requests
    system, user = request.messages
    source = (editions.edition_of("1.0").package / "evaluator" / "evaluator_nl_assertions.py").read_text()
    assert system["role"] == "system" and system["content"] in source
    assert user["role"] == "user" and "assistant: Hi! How can I help you today?\nuser: " in user["content"]
    assert "\nassistant: None\ntool: " in user["content"]
    assert "###STOP###" in user["content"]
    assert str(list(find_task(load_tasks("tau2", "base", task_version="1.0"), JUDGED).assertions)) in user["content"]


class AskedError(Exception):
    """Upstream's judge has asked its model."""


def upstreams_request(said, assertions):
    """What upstream's own method hands to its model: its code runs here, without the imports of its module."""

    def generate(**request):
        raise AskedError(request)

    file = editions.edition_of("1.0").package / "evaluator" / "evaluator_nl_assertions.py"
    nodes = [
        node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    ]
    method = next(node for node in nodes if node.name == "evaluate_nl_assertions")
    method.decorator_list, method.returns = [], None
    for argument in method.args.args:
        argument.annotation = None
    words = {"SystemMessage": SimpleNamespace, "UserMessage": SimpleNamespace, "generate": generate, "json": json}
    words |= {"DEFAULT_LLM_NL_ASSERTIONS": "tiny", "DEFAULT_LLM_NL_ASSERTIONS_ARGS": {"temperature": 0.0}}
    exec(compile(ast.Module([method], []), str(file), "exec"), words)
    trajectory = [SimpleNamespace(role=one.role, content=one.content) for one in said]
    with pytest.raises(AskedError) as caught:
        words["evaluate_nl_assertions"](None, trajectory, list(assertions))
    return caught.value.args[0]


def test_the_request_is_byte_for_byte_the_one_that_upstreams_own_method_makes(server):
    said = [
        Said("assistant", "Hi! How can I help you today?"),
        Said("user", "Wie viel — “insgesamt”?\n{'a': 1}"),
        Said("assistant", None),
        Said("tool", '{"order_id": "#W1", "total": 1126.04}'),
        Said("assistant", "It is $1,126.04, and $1,497.65 for the rest."),
        Said("user", "###STOP###"),
    ]
    task = find_task(load_tasks("tau2", "base", task_version="1.0"), JUDGED)
    server.reply = lambda request: verdict(True, True)
    judge = ModelJudge(get_source("tau2", "1.0"), "tiny", {"base_url": server.base_url})
    assert judge.unmet(task, Evidence(said)) == []
    (request,) = server.requests
    theirs = upstreams_request(said, task.assertions)
    assert request.messages == [vars(message) for message in theirs["messages"]]


@pytest.mark.parametrize(("met", "reward"), [((True, True), 1.0), ((True, False), 0.0), ((False, False), 0.0)])
def test_the_verdicts_decide(server, met, reward):
    found, terminated, _, info = play(server, verdict(*met))
    assert (found, terminated, info["scorable"]) == (reward, True, True)
    assert info["reward_breakdown"]["unmet_assertions"] == met.count(False)


def test_an_answer_that_cannot_be_read_is_asked_for_again(server):
    reward, *_ = play(server, "Looks fine to me.", verdict(True), f"```json\n{verdict(True, True)}\n```")
    assert reward == 1.0
    assert len(server.requests) == 3


@pytest.mark.parametrize("reply", ["Fine.", verdict(True), verdict("yes", "yes"), '{"results": 3}', "[]"])
def test_a_judge_that_gives_no_verdict_leaves_the_episode_unscorable(server, reply):
    reward, terminated, truncated, info = play(server, reply)
    assert (reward, terminated, truncated, info["scorable"]) == (0.0, False, True, False)
    assert info["customer_error"].startswith("nl_judge: the judge 'tiny' gave no verdict on each of 2 assertions")
    assert info["reward_breakdown"] == {}
    assert info["metrics"]["judge_failures"] == 1.0 and not info["metrics"].get("customer_failures")


def test_a_server_that_fails_at_the_end_is_the_judges(server):
    env = judged_env(server)
    server.plan = always("500")
    *_, info = run(env)
    assert info["customer_error"].startswith("nl_judge: The judge's server http")
    assert "customer" not in info["customer_error"]


def test_a_judge_without_a_key_is_told_to_name_the_judges_own_settings(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserSetupError) as caught:
        ModelJudge(get_source("tau2", "1.0")).check()
    told = str(caught.value)
    assert "nl_judge_config.api_key_env" in told and "Or take nl_judge=rules" in told
    assert "user." not in told and "customer" not in told and "user_strategy" not in told


def test_a_key_too_short_to_be_secret_is_not_looked_for_in_answers(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    reward, *_ = play(server, verdict(True, True))  # "expectedOutcome" has an x
    assert reward == 1.0


def test_a_task_without_assertions_asks_nobody(server):
    reward, *_ = play(server, "never asked", task_id="tau2/12")
    assert reward == 1.0
    assert server.requests == []


def test_a_cassette_answers_the_second_time(server, tmp_path):
    cassette = str(tmp_path / "judge.jsonl")
    for _ in range(2):
        reward, *_ = play(server, verdict(True, True), cassette=cassette)
        assert reward == 1.0
    assert len(server.requests) == 1


def test_the_default_model_is_upstreams(monkeypatch):
    env = TauRetailEnv("tau2", "base", task_version="1.0", nl_judge="openai")
    assert env._judge._endpoint.settings.model.startswith("gpt-4.1")
    assert env._judge._endpoint.settings.temperature == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nl_judge": "opnai"}, "nl_judge 'opnai'; known: rules, openai"),
        ({"nl_judge_model": "gpt-4o"}, "belong to nl_judge=openai"),
        ({"nl_judge": "openai", "task_version": "0.2"}, "no task of source 'tau2', task_version '0.2', is judged"),
        (
            {"nl_judge": "openai", "nl_judge_config": {"timeout": 3}},
            "'openai': nl_judge_config.timeout: unknown key",
        ),
    ],
)
def test_a_judge_that_cannot_be_used_is_refused(arguments, message):
    with pytest.raises(InvalidValueError, match=message):
        TauRetailEnv("tau2", "base", **({"task_version": "1.0"} | arguments))
