"""Our customers beside upstream's own classes, both run against one server: what they send is the same, but for faults.

A test named for a fault shows what upstream does first, and then what we do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import pytest

from tau_retail_env import load_tasks
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources.tau_bench import tasks as upstream_tau_bench
from tau_retail_env.tasks import Task
from tau_retail_env.users import UserError
from tau_retail_env.users.llm.background import close_background
from tau_retail_env.users.llm.endpoint import Endpoint
from tau_retail_env.users.llm.settings import ApiSettings
from tau_retail_env.users.llm.simulators import ApiUser
from tests.users.llm.server import ChatServer, Request

MODEL = "gpt-4o"
"""A model whose price litellm knows; the server takes any name."""
CLASSES = {
    "llm": "LLMUserSimulationEnv",
    "react": "ReactUserSimulationEnv",
    "verify": "VerifyUserSimulationEnv",
    "reflection": "ReflectionUserSimulationEnv",
}
CONFIRM = "I will cancel order #W1. Do you confirm (yes/no)?"
DONE = "It is cancelled. Is there anything else I can help you with?"
THOUGHT = "They want a yes. Later I will write ###STOP###."


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    with ChatServer(models=None) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-for-a-server-on-loopback")
        yield running
    close_background()


@pytest.fixture
def upstream(tau_bench: object, litellm: ModuleType) -> ModuleType:
    """v1's module of user simulators; litellm is what it calls."""
    return upstream_tau_bench.import_upstream("envs.user")


@pytest.fixture
def task(tau_bench: object) -> Task:
    return load_tasks("tau_bench", "test")[0]


def says(server: ChatServer, *replies: str) -> None:
    """Let the model say these in turn, from now on; the last one ever after."""
    server.requests.clear()
    left = list(replies)
    server.reply = lambda request: left.pop(0) if len(left) > 1 else left[0]


def theirs(upstream: ModuleType, strategy: str, server: ChatServer) -> Any:
    """Upstream's simulator, made; its constructor already asks the model."""
    says(server, react("x") if strategy == "react" else "true")
    simulator = getattr(upstream, CLASSES[strategy])(model=MODEL, provider="openai")
    server.requests.clear()
    return simulator


def ours(strategy: str, server: ChatServer, source: str = "tau_bench") -> ApiUser:
    settings = ApiSettings.read(MODEL, {"base_url": server.base_url, "max_retries": 0})
    return ApiUser(strategy, Endpoint(settings), source=source)


def react(reply: str) -> str:
    return f"Thought:\n{THOUGHT}\n\nUser Response:\n{reply}"


def sent(requests: Sequence[Request]) -> list[list[tuple[str, str]]]:
    """Role and text of every message of every request."""
    return [pairs(request.messages) for request in requests]


def pairs(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages]


def roles(requests: Sequence[Request]) -> list[list[str]]:
    return [[role for role, _ in messages] for messages in sent(requests)]


def of_customer(requests: Sequence[Request]) -> list[list[tuple[str, str]]]:
    """What the customer's model was sent: the supervisor has no system prompt."""
    return [messages for messages in sent(requests) if messages[0][0] == "system"]


ACCEPTED = {
    "llm": ["Hi.", "It is #W1.", "Bye. ###STOP###"],
    "react": [react("Hi."), react("It is #W1."), react("###STOP###")],
    "verify": ["Hi.", "true", "It is #W1.", "true", "Bye. ###STOP###", "true"],
    "reflection": ["Hi.", "true", "It is #W1.", "true", "Bye. ###STOP###", "true"],
}
"""What the model says in a conversation of three messages where the supervisor approves every draft."""


@pytest.mark.parametrize("strategy", CLASSES)
def test_every_call_and_the_history_equal_v1s(
    server: ChatServer, upstream: ModuleType, task: Task, strategy: str
) -> None:
    simulator = theirs(upstream, strategy, server)
    says(server, *ACCEPTED[strategy])
    simulator.reset(instruction=task.instruction)
    simulator.step("Which order is it?")
    simulator.step(DONE)
    expected = list(server.requests)

    says(server, *ACCEPTED[strategy])
    customer = ours(strategy, server)
    customer.reset(task, seed=0)
    customer.respond(AgentMessage("Which order is it?"))
    last = customer.respond(AgentMessage(DONE))

    assert len(expected) == len(ACCEPTED[strategy])
    assert roles(server.requests) == roles(expected)
    assert of_customer(server.requests) == of_customer(expected)
    assert pairs(customer.history) == pairs(simulator.messages)
    assert last.stop == "###STOP###"


@pytest.mark.parametrize(
    ("strategy", "replies"),
    [
        ("verify", ["Draft one.", "false", "Draft two.", "false", "Draft three.", "true"]),
        ("verify", ["Draft one.", "false", "Draft two.", "false", "Draft three.", "false"]),
        ("reflection", ["Draft one.", "false", "Reflection:\nno\n\nResponse:\nyes", "Draft two.", "true"]),
        ("reflection", ["Draft one.", "false", "Reflection:\nno\n\nResponse:\nyes", "Draft two.", "false"]),
    ],
)
def test_rejected_drafts_take_the_calls_that_v1s_take_and_the_same_draft_is_sent(
    server: ChatServer, upstream: ModuleType, task: Task, strategy: str, replies: list[str]
) -> None:
    simulator = theirs(upstream, strategy, server)
    says(server, *replies)
    said = simulator.reset(instruction=task.instruction)
    expected = list(server.requests)

    says(server, *replies)
    assert ours(strategy, server).reset(task, seed=0).content == said
    assert len(expected) == len(replies)
    assert roles(server.requests) == roles(expected)


@pytest.mark.parametrize("index", [0, 5, 9])
def test_every_call_and_the_history_equal_tau2s(litellm: ModuleType, server: ChatServer, index: int) -> None:
    from tau2.data_model.message import AssistantMessage
    from tau2.domains.retail.environment import get_tasks
    from tau2.user.user_simulator import UserSimulator

    replies = ["Hi.", "It is #W1.", "Bye. ###TRANSFER###"]
    upstreams = get_tasks()[index]
    simulator = UserSimulator(instructions=str(upstreams.user_scenario), llm=f"openai/{MODEL}")
    state = simulator.get_init_state()
    says(server, *replies)
    for words in ("Hi! How can I help you today?", "Which order is it?", DONE):
        message, state = simulator.generate_next_message(AssistantMessage(role="assistant", content=words), state)
    assert simulator.is_stop(message)
    expected = list(server.requests)
    history = [*state.system_messages, *state.flip_roles()]

    says(server, *replies)
    customer = ours("llm", server, source="tau2")
    customer.reset(load_tasks("tau2", "base")[index], seed=0)
    customer.respond(AgentMessage("Which order is it?"))
    last = customer.respond(AgentMessage(DONE))

    assert sent(server.requests) == sent(expected)
    assert pairs(customer.history) == [(message.role, message.content) for message in history]
    assert last.stop == "###TRANSFER###"


@pytest.mark.parametrize(("strategy", "calls"), [("llm", 1), ("react", 2), ("verify", 2), ("reflection", 2)])
def test_fault_constructors_call_the_model(server: ChatServer, upstream: ModuleType, strategy: str, calls: int) -> None:
    says(server, react("x") if strategy == "react" else "true")
    getattr(upstream, CLASSES[strategy])(model=MODEL, provider="openai")
    assert len(server.requests) == calls

    server.requests.clear()
    ours(strategy, server)
    assert server.requests == []


def test_fault_the_react_thought_reaches_the_agent(server: ChatServer, upstream: ModuleType, task: Task) -> None:
    thinking = "Thought:\nI must not tell my plan.\n\nUser Response:\nHi."
    simulator = theirs(upstream, "react", server)
    says(server, thinking)
    assert "I must not tell my plan." in simulator.reset(instruction=task.instruction)

    says(server, thinking)
    assert ours("react", server).reset(task, seed=0).content == "Hi."


def test_fault_a_stop_in_the_react_thought_ends_the_conversation(
    server: ChatServer, upstream: ModuleType, task: Task
) -> None:
    simulator = theirs(upstream, "react", server)
    says(server, react("Hi."), react("Yes."))
    simulator.reset(instruction=task.instruction)
    assert simulator.step(CONFIRM) == "###STOP###"

    says(server, react("Hi."), react("Yes."))
    customer = ours("react", server)
    customer.reset(task, seed=0)
    words = customer.respond(AgentMessage(CONFIRM))
    assert (words.content, words.stop) == ("Yes.", None)


def test_fault_a_react_message_without_titles_crashes_and_is_quoted(
    server: ChatServer, upstream: ModuleType, task: Task
) -> None:
    simulator = theirs(upstream, "react", server)
    says(server, f"My instruction: {task.instruction}")
    with pytest.raises(ValueError, match="Invalid response format") as crash:
        simulator.reset(instruction=task.instruction)
    assert task.instruction in str(crash.value)

    says(server, f"My instruction: {task.instruction}")
    with pytest.raises(UserError) as failure:
        ours("react", server).reset(task, seed=0)
    assert task.instruction[:40] not in str(failure.value)


def test_fault_cost_is_that_of_the_last_call(server: ChatServer, upstream: ModuleType, task: Task) -> None:
    simulator = theirs(upstream, "llm", server)
    says(server, "Hi.", "Yes.")
    simulator.reset(instruction=task.instruction)
    first = simulator.get_total_cost()
    simulator.step(CONFIRM)
    second = simulator.get_total_cost()
    alone = upstream.completion(
        model=MODEL, custom_llm_provider="openai", messages=pairs_as_messages(server.requests[1])
    )
    assert second == pytest.approx(alone._hidden_params["response_cost"])
    assert first > 0

    says(server, "Hi.", "Yes.")
    settings = ApiSettings.read(
        MODEL,
        {
            "base_url": server.base_url,
            "usd_per_million_input_tokens": 2.5,
            "usd_per_million_output_tokens": 10.0,
        },
    )
    customer = ApiUser("llm", Endpoint(settings), source="tau_bench")
    costs = [customer.reset(task, seed=0), customer.respond(AgentMessage(CONFIRM))]
    total = sum(message.usage["cost_usd"] for message in costs if message.usage)
    assert total == pytest.approx(first + second)


def test_fault_verify_judges_a_message_that_is_not_the_one_sent(
    server: ChatServer, upstream: ModuleType, task: Task
) -> None:
    simulator = theirs(upstream, "verify", server)
    says(server, 'Hi, "John" here.', "true")
    simulator.reset(instruction=task.instruction)
    assert "Message(content=" in server.requests[1].messages[0]["content"]

    says(server, 'Hi, "John" here.', "true")
    ours("verify", server).reset(task, seed=0)
    judged = server.requests[1].messages[0]["content"]
    assert '\nHi, "John" here.\n' in judged
    assert "Message(content=" not in judged


def test_fault_the_supervisor_takes_the_agent_for_the_customer(
    server: ChatServer, upstream: ModuleType, task: Task
) -> None:
    simulator = theirs(upstream, "verify", server)
    says(server, "Hi.", "true")
    simulator.reset(instruction=task.instruction)
    assert "Customer: Hi! How can I help you today?" in server.requests[1].messages[0]["content"]

    says(server, "Hi.", "true")
    ours("verify", server).reset(task, seed=0)
    assert "Agent: Hi! How can I help you today?" in server.requests[1].messages[0]["content"]


def test_fault_not_true_is_taken_for_true(server: ChatServer, upstream: ModuleType, task: Task) -> None:
    replies = ["Draft one.", "That is not true.", "Draft two.", "true"]
    simulator = theirs(upstream, "verify", server)
    says(server, *replies)
    assert simulator.reset(instruction=task.instruction) == "Draft one."

    says(server, *replies)
    assert ours("verify", server).reset(task, seed=0).content == "Draft two."


def test_fault_verify_forgets_what_it_sent_without_approval(
    server: ChatServer, upstream: ModuleType, task: Task
) -> None:
    replies = ["Draft one.", "false", "Draft two.", "false", "Draft three.", "false"]
    simulator = theirs(upstream, "verify", server)
    says(server, *replies)
    assert simulator.reset(instruction=task.instruction) == "Draft three."
    assert [role for role, _ in pairs(simulator.messages)] == ["system", "user"]

    says(server, *replies)
    customer = ours("verify", server)
    customer.reset(task, seed=0)
    assert pairs(customer.history)[2:] == [("assistant", "Draft three.")]


def test_fault_reflection_remembers_what_it_did_not_send(server: ChatServer, upstream: ModuleType, task: Task) -> None:
    replies = ["Draft one.", "false", "Reflection:\nno\n\nResponse:\nyes", "Draft two.", "true"]
    simulator = theirs(upstream, "reflection", server)
    says(server, *replies)
    assert simulator.reset(instruction=task.instruction) == "Draft two."
    assert pairs(simulator.messages)[2:] == [("assistant", "Draft one."), ("assistant", "Draft two.")]

    says(server, *replies)
    customer = ours("reflection", server)
    customer.reset(task, seed=0)
    assert pairs(customer.history)[2:] == [("assistant", "Draft two.")]


def test_fault_reflections_advice_is_handed_over_as_the_agents_words(
    server: ChatServer, upstream: ModuleType, task: Task
) -> None:
    replies = ["Draft one.", "false", "Reflection:\nno\n\nResponse:\nHello, cancel it.", "Draft two.", "true"]
    simulator = theirs(upstream, "reflection", server)
    says(server, *replies)
    simulator.reset(instruction=task.instruction)
    assert pairs(server.requests[3].messages)[-1] == ("user", "Hello, cancel it.")

    says(server, *replies)
    ours("reflection", server).reset(task, seed=0)
    role, advice = pairs(server.requests[3].messages)[-1]
    assert role == "user"
    assert "supervisor, not the agent" in advice
    assert "Hello, cancel it." in advice


def test_fault_a_reflection_without_its_title_crashes(server: ChatServer, upstream: ModuleType, task: Task) -> None:
    replies = ["Draft one.", "false", "It is too blunt.", "Draft two.", "true"]
    simulator = theirs(upstream, "reflection", server)
    says(server, *replies)
    with pytest.raises(ValueError, match="unpack"):
        simulator.reset(instruction=task.instruction)

    says(server, *replies)
    assert ours("reflection", server).reset(task, seed=0).content == "Draft two."


def test_fault_a_yes_with_a_stop_ends_the_conversation_before_the_agent_acts(
    server: ChatServer, upstream: ModuleType, task: Task
) -> None:
    replies = ["Hi.", "Yes, go ahead. ###STOP###", "###STOP###"]
    simulator = theirs(upstream, "llm", server)
    says(server, *replies)
    simulator.reset(instruction=task.instruction)
    assert "###STOP###" in simulator.step(CONFIRM)

    says(server, *replies)
    customer = ours("llm", server)
    customer.reset(task, seed=0)
    first = customer.respond(AgentMessage(CONFIRM))
    assert (first.content, first.stop) == ("Yes, go ahead.", None)
    assert customer.respond(AgentMessage(DONE)).stop == "###STOP###"


@pytest.mark.parametrize("useless", [" ", "a" * 5000])
def test_fault_an_empty_or_endless_reply_is_sent(
    server: ChatServer, upstream: ModuleType, task: Task, useless: str
) -> None:
    simulator = theirs(upstream, "llm", server)
    says(server, useless, "Hi.")
    assert simulator.reset(instruction=task.instruction) == useless

    says(server, useless, "Hi.")
    settings = ApiSettings.read(MODEL, {"base_url": server.base_url, "max_retries": 1})
    customer = ApiUser("llm", Endpoint(settings), source="tau_bench")
    assert customer.reset(task, seed=0).content == "Hi."


@pytest.mark.parametrize("token", ["###TRANSFER###", "###OUT-OF-SCOPE###"])
def test_v1_knows_one_stop_token(server: ChatServer, tau_bench: object, task: Task, token: str) -> None:
    says(server, f"Hi. {token}", f"Bye. {token}")
    customer = ours("llm", server)
    assert customer.reset(task, seed=0).stop is None
    assert customer.respond(AgentMessage(DONE)).stop is None


def pairs_as_messages(request: Request) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs(request.messages)]
