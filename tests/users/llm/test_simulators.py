"""Customers played by a model: what they send to a real server, and what they make of its replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.errors import EpisodeStateError, InvalidValueError
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import get_source, open_shop
from tau_retail_env.sources.tau2.tasks import data_folder
from tau_retail_env.tasks import Task
from tau_retail_env.users import API_STRATEGIES, ScriptedUser, UserError, make_user
from tau_retail_env.users.llm.background import close_background
from tau_retail_env.users.llm.completion import Completion
from tau_retail_env.users.llm.endpoint import Endpoint
from tau_retail_env.users.llm.settings import ApiSettings
from tau_retail_env.users.llm.simulators import ApiUser
from tau_retail_env.users.llm.writing import MAX_DRAFTS
from tau_retail_env.users.usage import Usage
from tests.users.llm.server import ChatServer, Request, script

SECRET = "sk-fake-key-that-must-not-appear"
CONFIRM = AgentMessage("I will cancel order #W1. Shall I go ahead (yes/no)?")
DONE = AgentMessage("It is cancelled. Is there anything else I can help you with?")


def scenario_text(task: Task) -> str:
    return get_source("tau2").user_briefing(task)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running
    close_background()


@pytest.fixture(scope="module")
def task() -> Task:
    return load_tasks("tau2", "test")[0]


def says(server: ChatServer, *replies: str) -> None:
    """Let the model say these in turn, the last one ever after."""
    server.reply = lambda request: replies[min(request.order, len(replies) - 1)]


def customer_at(server: ChatServer, strategy: str = "llm", source: str = "tau2", **settings: Any) -> ApiUser:
    block = {"base_url": server.base_url, "max_retries": 1, "timeout_s": 20, **settings}
    return ApiUser(strategy, Endpoint(ApiSettings.read("tiny", block)), source=source)


def talk(customer: ApiUser, task: Task, *messages: AgentMessage) -> list[str]:
    return [customer.reset(task, seed=0).content, *(customer.respond(message).content for message in messages)]


def roles(request: Request) -> str:
    return " ".join(message["role"] for message in request.messages)


def texts(request: Request) -> Sequence[str]:
    return [message["content"] for message in request.messages]


def react(reply: str, thought: str = "What do I say?") -> str:
    return f"Thought:\n{thought}\n\nUser Response:\n{reply}"


@pytest.mark.parametrize("strategy", API_STRATEGIES)
def test_making_a_customer_asks_nothing(server: ChatServer, strategy: str) -> None:
    customer_at(server, strategy)
    assert server.requests == []


def test_the_agents_words_are_the_models_user_and_its_own_its_assistant(server: ChatServer, task: Task) -> None:
    says(server, "Hi, please cancel #W1.", "Yes.")
    customer = customer_at(server)
    assert talk(customer, task, CONFIRM) == ["Hi, please cancel #W1.", "Yes."]
    assert [roles(request) for request in server.requests] == ["system user", "system user assistant user"]
    assert texts(server.requests[1])[1:] == ["Hi! How can I help you today?", "Hi, please cancel #W1.", CONFIRM.content]
    assert [message["role"] for message in customer.history] == ["system", "user", "assistant", "user", "assistant"]


@pytest.mark.parametrize("source", ["tau2", "generated"])
def test_the_model_is_told_the_scenario_as_upstream_writes_it(server: ChatServer, source: str) -> None:
    task = load_tasks(source, "test")[1]
    customer_at(server, source=source).reset(task, seed=0)
    told = texts(server.requests[0])[0]
    assert f"<scenario>\n{scenario_text(task)}\n</scenario>" in told
    assert "\tReason for call:\n\t\t" in told
    assert "###OUT-OF-SCOPE###" in told


def test_every_scenario_of_tau2_is_told_as_upstreams_own_classes_write_it() -> None:
    scenario_text(load_tasks("tau2", "test")[0])
    from tau2.data_model.tasks import UserScenario

    rows = json.loads((data_folder() / "tasks.json").read_text(encoding="utf-8"))
    told = {f"tau2/{row['id']}": str(UserScenario.model_validate(row["user_scenario"])) for row in rows}
    assert {task.id: scenario_text(task) for task in load_tasks("tau2", "base")} == told


def user_opening(strategy: str, task: Task) -> list[dict[str, str]]:
    return get_source("tau2").user_opening(strategy, task)


def test_a_persona_is_told() -> None:
    task = next(task for task in load_tasks("generated", "test") if task.scenario.persona)
    assert scenario_text(task).startswith(f"Persona:\n\t{task.scenario.persona}\nInstructions:")


def test_a_task_without_a_scenario_is_told_by_its_instruction() -> None:
    own = Task("own/1", "tau2", "retail", "train", "Cancel order #W1.", ())
    assert user_opening("llm", own)[0]["content"].endswith(
        "<scenario>\nInstructions:\n\tCancel order #W1.\n</scenario>"
    )


def test_only_the_react_customer_is_told_of_two_parts(task: Task) -> None:
    plain = {user_opening(strategy, task)[0]["content"] for strategy in ("llm", "verify", "reflection")}
    assert len(plain) == 1
    (without,) = plain
    told = user_opening("react", task)[0]["content"]
    assert told.startswith(without)
    assert "Thought:" in told.removeprefix(without)
    assert "User Response:" in told.removeprefix(without)


def test_a_react_thought_is_for_the_model_alone(server: ChatServer, task: Task) -> None:
    says(server, react("Hi, please cancel #W1.", thought="Secret."), react("Yes."))
    customer = customer_at(server, "react")
    assert talk(customer, task, CONFIRM) == ["Hi, please cancel #W1.", "Yes."]
    assert texts(server.requests[1])[2] == react("Hi, please cancel #W1.", thought="Secret.")


def test_a_react_message_without_a_reply_is_asked_for_again(server: ChatServer, task: Task) -> None:
    says(server, "I think I should greet.", react("Hi."))
    customer = customer_at(server, "react")
    words = customer.reset(task, seed=0)
    assert words.content == "Hi."
    assert words.usage is not None
    assert (words.usage["calls"], words.usage["asked_again"]) == (2, 1)
    assert "no part under the title 'User Response:'" in texts(server.requests[1])[1]


def test_asked_again_the_model_is_told_why_and_the_note_is_forgotten(server: ChatServer, task: Task) -> None:
    says(server, "a" * 3000, "Hi.", "Yes.")
    customer = customer_at(server)
    assert talk(customer, task, CONFIRM) == ["Hi.", "Yes."]
    first, again, later = server.requests
    assert roles(again) == roles(first) == "system user"
    assert "longer than 2000 characters" in texts(again)[1]
    assert texts(later)[:3] == [*texts(first), "Hi."]


def test_a_model_that_writes_nothing_fit_to_send_is_a_users_error(server: ChatServer, task: Task) -> None:
    recital = "You want to exchange the water bottle and the desk lamp. You want to exchange the water bottle."
    assert recital[:60] in task.instruction
    says(server, recital)
    customer = customer_at(server)
    with pytest.raises(UserError, match=f"{MAX_DRAFTS} attempts.*word for word") as failure:
        customer.reset(task, seed=0)
    assert "water bottle" not in str(failure.value)
    assert failure.value.usage is not None
    assert (failure.value.usage["calls"], failure.value.usage["asked_again"]) == (MAX_DRAFTS, MAX_DRAFTS)


def test_a_reply_that_max_tokens_cut_off_is_asked_for_again(task: Task) -> None:
    class Short:
        settings = ApiSettings.read("tiny", {})
        replies = iter(
            [Completion("Hi, I want to", Usage(calls=1), "length"), Completion("Hi.", Usage(calls=1), "stop")]
        )

        def complete(self, messages: Any, **_: Any) -> Completion:
            return next(self.replies)

    words = ApiUser("llm", Short(), source="tau2").reset(task, seed=0)  # type: ignore[arg-type]
    assert words.content == "Hi."


def test_first_words_that_end_the_conversation_are_asked_for_again(server: ChatServer, task: Task) -> None:
    says(server, "###STOP###", "###OUT-OF-SCOPE###", "Hi.")
    assert customer_at(server).reset(task, seed=0).content == "Hi."


def test_a_stop_beside_a_yes_comes_once_the_agent_has_acted(server: ChatServer, task: Task) -> None:
    says(server, "Hi, please cancel #W1.", "Yes, go ahead. ###STOP###", "Thanks, bye! ###STOP###")
    customer = customer_at(server)
    customer.reset(task, seed=0)
    held = customer.respond(CONFIRM)
    assert (held.content, held.stop) == ("Yes, go ahead.", None)
    assert customer.history[-1] == {"role": "assistant", "content": "Yes, go ahead."}
    ended = customer.respond(DONE)
    assert (ended.content, ended.stop) == ("Thanks, bye! ###STOP###", "###STOP###")
    assert held.usage is not None
    assert ended.usage is not None
    assert (held.usage["held_stops"], ended.usage["held_stops"]) == (1, 0)


def test_the_supervisor_judges_what_is_sent_when_a_stop_is_held(server: ChatServer, task: Task) -> None:
    says(server, "Hi.", "true", "Yes, go ahead. ###STOP###", "true")
    customer = customer_at(server, "verify")
    assert talk(customer, task, CONFIRM)[1] == "Yes, go ahead."
    assert "Yes, go ahead.\n" in texts(server.requests[3])[0]
    assert "###STOP###" not in texts(server.requests[3])[0].split("Next message of the customer")[1]


@pytest.mark.parametrize("token", ["###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###"])
def test_three_tokens_end_a_conversation_of_tau2(server: ChatServer, task: Task, token: str) -> None:
    says(server, "Hi.", f"Bye. {token}")
    customer = customer_at(server)
    customer.reset(task, seed=0)
    assert customer.respond(DONE).stop == token


def rewards_of_the_oracle(server: ChatServer, tasks: Sequence[Task], say: Callable[[str], str]) -> list[float]:
    """What the oracle earns where the model behind the server is the scripted customer with its words changed."""
    config = {"base_url": server.base_url}
    env = TauRetailEnv("generated", tasks=tasks, user_strategy="llm", user_model="tiny", user_config=config)
    scripted = ScriptedUser(open_shop("generated").database)
    rewards: list[float] = []

    def reply(request: Request) -> str:
        if roles(request) == "system user":
            return scripted.reset(tasks[len(rewards)], seed=0).content
        return say(scripted.respond(AgentMessage(texts(request)[-1])).content)

    server.reply = reply
    for task in tasks:
        observation, info = env.reset(task_id=task.id, seed=0)
        agent = OracleAgent(task)
        over = False
        while not over:
            observation, reward, terminated, truncated, info = env.step(agent.act(observation, info))
            over = terminated or truncated
        rewards.append(reward)
    return rewards


def test_stops_with_every_message_lose_no_episode_of_a_perfect_agent(server: ChatServer) -> None:
    tasks = load_tasks("generated", "test")[:20]
    rewards = rewards_of_the_oracle(server, tasks, lambda said: said if "###STOP###" in said else f"{said} ###STOP###")
    assert rewards == [1.0] * 20


@pytest.mark.parametrize(
    "farewell",
    [
        "No, that's everything I need. Thank you!",
        "Thank you for the refund of $1,234.00!",
        "I'll use the gift card next time",
        "please have a nice day",
        "Thank you for taking care of order #W2378156!",
        "Could you wish my dog a good day?",
    ],
)
@pytest.mark.parametrize("token", ["", " ###STOP###"])
def test_no_farewell_loses_an_episode_of_a_perfect_agent(server: ChatServer, farewell: str, token: str) -> None:
    """Also where every message before it holds a stop."""
    tasks = load_tasks("generated", "test")[:3]

    def say(said: str) -> str:
        return f"{farewell} ###STOP###" if "###STOP###" in said else said + token

    assert rewards_of_the_oracle(server, tasks, say) == [1.0] * 3


def test_a_farewell_is_held_for_one_turn_at_most(server: ChatServer, task: Task) -> None:
    says(server, "Hi.", "I'll use the 2 gift cards next time. ###STOP###")
    customer = customer_at(server)
    customer.reset(task, seed=0)
    others = AgentMessage("Of course! What else can I do for you?")
    assert [customer.respond(message).stop for message in (DONE, others)] == [None, "###STOP###"]
    server.reply = lambda request: "Hi." if roles(request) == "system user" else "Please have a nice day ###STOP###"
    customer.reset(task, seed=1)
    assert customer.respond(DONE).stop is None


def test_a_failed_message_leaves_the_history_as_it_was(server: ChatServer, task: Task) -> None:
    says(server, "Hi.", "Yes.")
    server.plan = script([None, "500", "500", None])
    customer = customer_at(server)
    customer.reset(task, seed=0)
    before = customer.history
    with pytest.raises(UserError):
        customer.respond(CONFIRM)
    assert customer.history == before
    assert customer.respond(CONFIRM).content == "Yes."


def test_verify_sends_the_first_draft_that_is_approved_and_remembers_no_other(server: ChatServer, task: Task) -> None:
    says(server, "Draft one.", "false", "Draft two.", "true", "Yes.", "true")
    customer = customer_at(server, "verify")
    assert talk(customer, task, CONFIRM) == ["Draft two.", "Yes."]
    assert [message["content"] for message in customer.history[2:]] == ["Draft two.", CONFIRM.content, "Yes."]
    judged = texts(server.requests[3])[0]
    assert roles(server.requests[3]) == "user"
    assert "Draft two." in judged
    assert "Draft one." not in judged
    assert "Agent: Hi! How can I help you today?" in judged
    assert "Message(" not in judged


def test_verify_sends_and_remembers_the_last_draft_where_none_is_approved(server: ChatServer, task: Task) -> None:
    says(server, "Draft one.", "false", "Draft two.", "false", "Draft three.", "false")
    customer = customer_at(server, "verify")
    words = customer.reset(task, seed=0)
    assert words.content == "Draft three." == customer.history[-1]["content"]
    assert words.usage is not None
    assert [words.usage[name] for name in ("calls", "rejected", "unapproved")] == [6, 3, 1]


def test_reflection_sends_the_draft_after_the_advice_once_that_is_approved(server: ChatServer, task: Task) -> None:
    advice = "Reflection:\nToo blunt.\n\nResponse:\nHello, could you cancel it?"
    says(server, "Cancel!", "false", advice, "Hello, please cancel it.", "true", "Yes.", "true")
    customer = customer_at(server, "reflection")
    assert talk(customer, task, CONFIRM) == ["Hello, please cancel it.", "Yes."]
    assert [roles(request) for request in server.requests[:5]] == [
        "system user",
        "user",
        "user",
        "system user user",
        "user",
    ]
    advised = texts(server.requests[3])[2]
    assert advice in advised
    assert "Cancel!" in advised
    assert "Hello, please cancel it." in texts(server.requests[4])[0]
    assert texts(server.requests[5])[2:] == ["Hello, please cancel it.", CONFIRM.content]


def test_reflection_sends_and_remembers_the_first_draft_where_none_is_approved(server: ChatServer, task: Task) -> None:
    says(server, "Draft one.", "false", "Reflection: no.", "Draft two.", "false")
    customer = customer_at(server, "reflection")
    words = customer.reset(task, seed=0)
    assert words.content == "Draft one." == customer.history[-1]["content"]
    assert words.usage is not None
    assert [words.usage[name] for name in ("calls", "rejected", "unapproved")] == [5, 2, 1]


def test_a_second_draft_that_cannot_be_sent_is_written_again_with_the_advice(server: ChatServer, task: Task) -> None:
    says(server, "Draft one.", "false", "Be kind.", "a" * 3000, "Draft two.", "true")
    assert customer_at(server, "reflection").reset(task, seed=0).content == "Draft two."
    again = server.requests[4]
    assert roles(again) == "system user user"
    assert "Be kind." in texts(again)[2]
    assert "longer than" in texts(again)[2]


def test_usage_adds_up_every_call_of_a_message(server: ChatServer, task: Task) -> None:
    server.cost_usd = 0.25
    says(server, "Draft one.", "false", "Draft two words.", "true")
    words = customer_at(server, "verify").reset(task, seed=0)
    assert words.usage is not None
    assert words.usage["calls"] == 4
    assert words.usage["cost_usd"] == 1.0
    assert words.usage["completion_tokens"] == 2 + 1 + 3 + 1
    read = sum(len(text.split()) for request in server.requests for text in texts(request))
    assert words.usage["prompt_tokens"] == read


def test_a_failed_message_tells_what_its_calls_took(server: ChatServer, task: Task) -> None:
    says(server, "Hi.")
    server.plan = script([None, "500", "500"])
    with pytest.raises(UserError) as failure:
        customer_at(server, "verify").reset(task, seed=0)
    assert failure.value.usage is not None
    assert (failure.value.usage["calls"], failure.value.usage["failures"]) == (1, 1)


def test_seeds_follow_from_setting_task_episode_and_call(server: ChatServer, task: Task) -> None:
    def seeds(setting: int | None, episode: int) -> list[int | None]:
        server.requests.clear()
        customer = customer_at(server, seed=setting)
        customer.reset(task, seed=episode)
        customer.respond(CONFIRM)
        return [request.body.get("seed") for request in server.requests]

    first = seeds(1, 7)
    assert first == seeds(1, 7)
    assert len({*first, *seeds(2, 7), *seeds(1, 8)}) == 6
    assert all(seed is not None and 0 <= seed < 2**31 for seed in first)
    assert seeds(None, 7) == [None, None]


def test_a_temperature_reaches_every_call(server: ChatServer, task: Task) -> None:
    says(server, "Hi.", "true")
    customer_at(server, "verify", temperature=0.25, max_tokens=99).reset(task, seed=0)
    assert [(request.body["temperature"], request.body["max_tokens"]) for request in server.requests] == [
        (0.25, 99)
    ] * 2


def test_no_error_tells_the_instruction_or_the_key(
    server: ChatServer, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    says(server, "You want to exchange the water bottle and the desk lamp. You want to exchange the water bottle.")
    for plan in (script([]), script(["500"] * 20), script(["wrong_json"] * 20), script(["half_body"] * 20)):
        server.plan = plan
        with pytest.raises(UserError) as failure:
            customer_at(server).reset(task, seed=0)
        shown = f"{failure.value} {failure.value.__cause__} {failure.value.__context__}"
        assert SECRET not in shown
        assert "water bottle" not in shown
        close_background()


def test_a_customer_is_not_spoken_to_before_an_episode(server: ChatServer) -> None:
    with pytest.raises(EpisodeStateError, match="reset"):
        customer_at(server).respond(CONFIRM)


def test_an_episode_that_could_not_begin_does_not_go_on_with_the_last_one(server: ChatServer, task: Task) -> None:
    says(server, "Hi.")
    server.plan = script([None, "500", "500"])
    customer = customer_at(server)
    customer.reset(task, seed=0)
    with pytest.raises(UserError):
        customer.reset(task, seed=1)
    with pytest.raises(EpisodeStateError, match="reset"):
        customer.respond(CONFIRM)


def test_an_unknown_strategy_or_source_is_refused(server: ChatServer) -> None:
    with pytest.raises(InvalidValueError, match="'lm'"):
        customer_at(server, "lm")
    with pytest.raises(InvalidValueError, match="'tau3'"):
        customer_at(server, source="tau3")


def test_an_episode_is_played_through_the_environment(server: ChatServer) -> None:
    says(server, "Hi, please cancel #W1.", "No, leave it. Bye! ###STOP###")
    config = {"base_url": server.base_url}
    env = TauRetailEnv(split="test", user=make_user("llm", config, {}, model="tiny"))
    observation, _ = env.reset(seed=0)
    assert observation == "Hi, please cancel #W1."
    _, _, terminated, _, info = env.step(str(CONFIRM.content))
    assert (terminated, info["stop_reason"], info["scorable"]) == (True, "user_stop", True)


@pytest.mark.parametrize("strategy", ["llm", "reflection"])
def test_200_conversations_at_once_are_kept_apart(server: ChatServer, strategy: str) -> None:
    def reply(request: Request) -> str:
        """Judge: approve. Customer: say what the agent said last, its greeting in other words."""
        heard = texts(request)[-1].replace("How can I help you", "What is it")
        return "true" if len(request.messages) == 1 else f"You said: {heard}"

    server.reply = reply
    server.latency_s = 0.01  # a server that answers at once never has two requests under way
    tasks = load_tasks("tau2", "test")

    def conversation(number: int) -> list[str]:
        customer = customer_at(server, strategy, max_concurrency=50)
        said = [AgentMessage(f"Message {turn} of conversation {number}.") for turn in range(2)]
        return talk(customer, tasks[number % len(tasks)], *said)

    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(conversation, range(200)))
    assert found == [
        [
            "You said: Hi! What is it today?",
            f"You said: Message 0 of conversation {number}.",
            f"You said: Message 1 of conversation {number}.",
        ]
        for number in range(200)
    ]
    assert 1 < server.most_at_once <= 50
