"""An agent behind a real HTTP server that speaks OpenAI's chat API."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.server import AgentServer, AgentServerError, ServerAgent, ServerSettings
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.errors import InvalidValueError
from tests.agents.served_oracle import ServedOracle
from tests.users.llm.server import ChatServer, always, script

pytest.importorskip("openai", reason="needs the package openai")

TASKS = load_tasks("tau2", "test")[:3]


def settings_of(server, **changes):
    return ServerSettings(**{"base_url": server.base_url, "model": "tiny", "max_retries": 2} | changes)


def served(server):
    """The environment, and a server whose model is the oracle."""
    env = TauRetailEnv(tasks=TASKS)
    first_words = {task.id: env.reset(task.id, seed=0)[0] for task in TASKS}
    server.reply = ServedOracle(TASKS, first_words)
    return env


def play(env, agent, number=0):
    return play_episode(env, agent, EpisodeRequest(TASKS[number].id, 0))


def test_a_served_model_plays_with_the_tools_and_the_seed_that_upstreams_agent_sends():
    with ChatServer() as server:
        env = served(server)
        agent = ServerAgent(AgentServer(settings_of(server, temperature=0.5, max_new_tokens=99)), 7)
        assert play(env, agent).reward == 1.0
    body = server.requests[-1].body
    assert (body["model"], body["temperature"], body["max_tokens"], body["seed"]) == ("tiny", 0.5, 99, 7)
    assert len(body["tools"]) > 10
    assert body["messages"][0]["role"] == "system"
    roles = [message["role"] for message in body["messages"]]
    assert "tool" in roles
    assert roles[-1] in ("user", "tool")


def test_a_model_whose_prompt_shows_the_tools_is_sent_none_and_calls_in_its_text():
    task = TASKS[0]
    said = ['<tool_call>{"name": "get_user_details", "arguments": {"user_id": "nobody"}}</tool_call>', "Hello?"]
    with ChatServer(reply=lambda request: said[min(request.order, 1)]) as server:
        agent = ServerAgent(AgentServer(settings_of(server)), 0, sends_tools=False)
        env = TauRetailEnv(tasks=[task], prompt_style="compressed", max_turns=3)
        trajectory = play_episode(env, agent, EpisodeRequest(task.id, 0))
    assert trajectory.metrics["tool_calls"] == 1
    body = server.requests[1].body
    assert "tools" not in body
    assert body["messages"][-2:] == [
        {"role": "assistant", "content": said[0]},
        {"role": "tool", "name": "get_user_details", "content": "Error: User not found", "tool_call_id": "call_0"},
    ]


def test_faults_that_pass_are_asked_through():
    with ChatServer(plan=script(["500", None, "429", None, "closed"])) as server:
        assert play(served(server), ServerAgent(AgentServer(settings_of(server, max_retries=4)), 0)).reward == 1.0


def test_tokens_and_their_price_are_counted():
    with ChatServer() as server:
        prices = {"usd_per_million_input_tokens": 2.0, "usd_per_million_output_tokens": 8.0}
        agent = ServerAgent(AgentServer(settings_of(server, **prices)), 0)
        play(served(server), agent)
    usage = agent.usage
    assert usage["calls"] == len(server.requests)
    assert usage["cost_usd"] == pytest.approx((2 * usage["prompt_tokens"] + 8 * usage["completion_tokens"]) / 1e6)
    assert usage["prompt_tokens"] > usage["completion_tokens"] > 0


def test_a_server_that_dies_is_an_error_that_names_it():
    with ChatServer(plan=lambda order: None if order < 2 else "500") as server:
        agent = ServerAgent(AgentServer(settings_of(server, max_retries=0)), 0)
        with pytest.raises(AgentServerError, match=r"/v1 \(model tiny\) gave no usable answer in 1"):
            play(served(server), agent)


def test_a_conversation_that_is_too_long_for_the_model_ends_its_episode_and_no_other():
    with ChatServer(plan=always("context_length_exceeded")) as server:
        trajectory = play(TauRetailEnv(tasks=TASKS), ServerAgent(AgentServer(settings_of(server)), 0))
    assert (trajectory.reward, trajectory.scorable, len(server.requests)) == (0.0, True, 1)
    assert trajectory.stop_reason == "too_many_errors"


def test_a_wrong_key_is_told_without_the_key(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-fake-5f1d0c")
    with ChatServer(key="another") as server, pytest.raises(AgentServerError, match="Incorrect API key") as caught:
        AgentServer(settings_of(server, api_key_env="MY_KEY")).check()
    assert "5f1d0c" not in str(caught.value)
    assert "attempts" not in str(caught.value)  # a wrong key is not tried again


def test_a_proxy_of_the_environment_is_not_for_a_server_on_this_machine(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ChatServer() as server:
        AgentServer(settings_of(server, max_retries=0)).check()


def test_a_model_that_the_server_does_not_have_is_told_before_the_first_episode():
    with ChatServer() as server, pytest.raises(AgentServerError, match="has no model 'huge'; it has: tiny, small"):
        AgentServer(settings_of(server, model="huge")).check()


@pytest.mark.parametrize("server", [ChatServer(models=None), ChatServer(hides_models=True)])
def test_a_server_without_a_list_of_models_is_taken_as_it_is(server):
    with server:
        AgentServer(settings_of(server)).check()


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
@pytest.mark.parametrize("page", ["<html>", "null", '{"data": [{"id": "tiny"}, null]}', '{"data": {"a": 1}}'])
def test_an_address_of_something_else_is_told(page, kind, tmp_path):
    (tmp_path / "models").write_text(page)
    Handler = type("Handler", (SimpleHTTPRequestHandler,), {"extensions_map": {"": kind}})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(AgentServerError, match=f"{address} answers, but not as a server of OpenAI's chat API does"):
            AgentServer(ServerSettings(base_url=address, model="tiny")).check()
        server.shutdown()


@pytest.mark.parametrize("count", ["many", None, -3, 1e308, float("nan")])
def test_a_count_of_tokens_that_can_be_none_counts_as_none(count):
    with ChatServer(usage={"prompt_tokens": count, "completion_tokens": 7}) as server:
        agent = ServerAgent(AgentServer(settings_of(server)), 0)
        play(TauRetailEnv(tasks=TASKS, max_turns=1), agent)
    assert (agent.usage["prompt_tokens"], agent.usage["completion_tokens"]) == (0, 7)


def test_an_address_at_which_nothing_answers_is_told():
    with ChatServer() as server:
        settings = settings_of(server)
    words = f"{settings.base_url} .* in 3 attempts; .*Connection refused. Start it, as with vllm serve tiny"
    with pytest.raises(AgentServerError, match=words):
        AgentServer(settings).check()


def test_a_server_that_wants_a_key_where_none_is_set_is_told_which_variable_holds_it(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with ChatServer(key="another") as server, pytest.raises(AgentServerError, match="needs a key: export MY_KEY=…"):
        AgentServer(settings_of(server, api_key_env="MY_KEY")).check()


def test_a_key_in_place_of_its_variables_name_is_refused_and_not_repeated():
    with ChatServer() as server, pytest.raises(InvalidValueError, match="--api-key-env: expected the name") as caught:
        AgentServer(settings_of(server, api_key_env="sk-fake-5f1d0c"))
    assert "5f1d0c" not in str(caught.value)


def test_a_word_that_is_no_address_is_refused():
    with pytest.raises(InvalidValueError, match=r"--agent: found .* expected an address such as"):
        AgentServer(ServerSettings(base_url="localhost:8000", model="tiny"))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("deep", "answers without a message in its answer"),
        ("wrong_json", "answers without a message in its answer"),
        ("no_choices", "answers without a message in its answer"),
        ("packed", "a packed body, which was not asked for"),
        ("huge", "an answer of more than 8 MB"),
    ],
)
def test_an_answer_that_nobody_can_read_is_an_error_of_the_server_and_bounded(fault, words):
    with ChatServer(plan=always(fault)) as server:
        agent = AgentServer(settings_of(server, max_retries=0))
        with pytest.raises(AgentServerError, match=words):
            agent.reply([{"role": "user", "content": "Hi"}], [], 0)


def test_one_answer_that_nobody_can_read_ends_no_episode():
    with ChatServer(plan=script(["deep", None, "wrong_json"])) as server:
        assert play(served(server), ServerAgent(AgentServer(settings_of(server)), 0)).reward == 1.0


def test_no_redirect_leads_the_agents_conversation_to_another_host():
    with ChatServer() as other, ChatServer(plan=always("redirect"), redirects_to=other.base_url) as server:
        with pytest.raises(AgentServerError, match="gave no usable answer"):
            AgentServer(settings_of(server)).reply([{"role": "user", "content": "Hi"}], [], 0)
        assert other.requests == []


def test_a_server_that_repeats_the_key_gets_it_into_no_message(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake-5f1d0c")
    echo = ChatServer(reply=lambda request: f"Your key: {request.headers['authorization']}")
    with echo as server, pytest.raises(AgentServerError, match="with the key in it") as error:
        AgentServer(settings_of(server)).reply([{"role": "user", "content": "Hi"}], [], 0)
    assert "5f1d0c" not in str(error.value)
