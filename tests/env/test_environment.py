"""What an agent meets: the rules of a turn, the limits, the reward, and every kind of bad input."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.env import METRICS, MultipleCalls
from tau_retail_env.errors import EpisodeStateError, InvalidValueError, SnapshotChangedError, UserSetupError
from tau_retail_env.messages import AgentMessage, ResetInfo, RewardBreakdown, StepInfo, StopReason, ToolCall
from tau_retail_env.sources.prompts import PromptStyle
from tau_retail_env.users.base import UserError, UserMessage, UserStrategy
from tau_retail_env.users.usage import USER_METRICS

ORDER = {"order_id": "#W2378156"}
READ_ORDER = '<tool_call>\n{"name": "get_order_details", "arguments": {"order_id": "#W2378156"}}\n</tool_call>'


class Talker:
    """A customer who says "ok" until it hears "bye"."""

    def reset(self, task, *, seed):
        return "Hello"

    def respond(self, message):
        return "###STOP###" if "bye" in message.content else "ok"


class Unreachable(Talker):
    def respond(self, message):
        raise UserError("no answer after 5 tries")


@pytest.fixture(scope="module")
def tasks():
    return load_tasks(source="tau2", split="base")


@pytest.fixture
def env(tasks):
    return TauRetailEnv(user=Talker(), tasks=tasks)


def call(name, **arguments):
    return AgentMessage(tool_calls=(ToolCall(name, arguments, id="call_1"),))


def play_gold(env, task):
    env.reset(task.id)
    for action in task.actions:
        env.step(call(action.name, **action.arguments))


def test_reset_shows_the_opening_as_upstreams_agent_sees_it(env):
    observation, info = env.reset("tau2/0")
    assert observation == "Hello"
    assert info["messages"] == [
        {"role": "assistant", "content": "Hi! How can I help you today?"},
        {"role": "user", "content": "Hello"},
    ]
    assert (info["task_id"], info["source"], info["split"], info["role"]) == ("tau2/0", "tau2", "base", "user")
    assert "<policy>\n# Retail agent policy" in info["system_prompt"]
    assert len(info["tools"]) == 15


def test_text_goes_to_the_customer_and_a_call_to_the_shop(env):
    env.reset("tau2/0")
    observation, reward, terminated, truncated, info = env.step("Could you tell me your name?<|im_end|>")
    assert (observation, reward, terminated, truncated, info["role"]) == ("ok", 0.0, False, False, "user")
    observation, *_, info = env.step(READ_ORDER)
    assert observation.startswith('{"order_id": "#W2378156"')
    assert info["role"] == "tool"
    assert info["messages"] == [{"role": "tool", "name": "get_order_details", "content": observation}]
    assert info["metrics"] == dict.fromkeys(METRICS, 0.0) | {"turns": 1.0, "tool_calls": 1.0}


def test_the_gold_actions_earn_the_reward_and_one_more_write_loses_it(env, tasks):
    task = tasks[0]
    play_gold(env, task)
    *_, info = env.step("bye")
    assert info["reward_breakdown"]["database"] == 1.0

    play_gold(env, task)
    env.step(call("cancel_pending_order", order_id="#W5918442", reason="no longer needed"))
    _, reward, terminated, _, info = env.step("bye")
    assert (reward, terminated, info["stop_reason"], info["scorable"]) == (0.0, True, "user_stop", True)
    assert info["reward_breakdown"]["extra_writes"] == 1.0


def test_an_output_must_have_been_said_commas_aside(env, tasks):
    task = next(task for task in tasks if task.outputs == ("1093.34",))
    play_gold(env, task)
    assert env.step("bye")[1] == 0.0
    play_gold(env, task)
    env.step("You get 1,093.34 back.")
    assert env.step("bye")[1] == 1.0


def test_reasoning_reaches_nobody(env):
    heard = []
    env._customer.respond = lambda message: heard.append(message.content) or "ok"
    env.reset("tau2/0")
    env.step("<think>The customer is Yusuf.</think>Who are you?")
    assert heard == ["Who are you?"]


def test_an_episode_is_the_same_byte_for_byte_when_played_again(tasks):
    def transcript(seed):
        env = TauRetailEnv(source="generated", split="test", task_subset="single")
        lines = [env.reset(seed=seed)]
        for text in ("Could you give me your email, or your name and zip code?", READ_ORDER, "Anything else?"):
            lines.append(env.step(text))
        return lines

    assert transcript(3) == transcript(3)
    assert transcript(3) != transcript(4)


def test_seeds_visit_every_task_once_a_round(env, tasks):
    count = len(tasks)
    first = [env.reset(seed=seed)[1]["task_id"] for seed in range(count)]
    second = [env.reset(seed=count + seed)[1]["task_id"] for seed in range(count)]
    assert sorted(first) == sorted(second) == sorted(task.id for task in tasks)
    assert first != second
    assert [env.reset()[1]["task_id"] for _ in range(2)] != first[:2]


def test_one_episode_never_sees_anothers_writes(tasks):
    first, second = (TauRetailEnv(user=Talker(), tasks=tasks) for _ in range(2))
    first.reset("tau2/0")
    second.reset("tau2/0")
    address = {"address1": "1 New St", "address2": "", "city": "Austin", "state": "TX", "country": "USA", "zip": "1"}
    before = second.step(call("get_user_details", user_id="yusuf_rossi_9620"))[0]
    first.step(call("modify_user_address", user_id="yusuf_rossi_9620", **address))
    assert "1 New St" in first.step(call("get_user_details", user_id="yusuf_rossi_9620"))[0]
    assert second.step(call("get_user_details", user_id="yusuf_rossi_9620"))[0] == before
    first.reset("tau2/0")
    assert first.step(call("get_user_details", user_id="yusuf_rossi_9620"))[0] == before


def test_several_calls_are_refused_unless_asked_for_as_upstream_runs_them(tasks):
    two = AgentMessage(tool_calls=(ToolCall("get_order_details", ORDER, "a"), ToolCall("nonsense", {}, "b")))
    strict = TauRetailEnv(user=Talker(), tasks=tasks)
    strict.reset("tau2/0")
    observation, *_, info = strict.step(two)
    assert observation.startswith("Error: ")
    assert [message["tool_call_id"] for message in info["messages"]] == ["a", "b"]
    assert (info["metrics"]["malformed"], info["metrics"]["tool_calls"]) == (1.0, 0.0)

    lenient = TauRetailEnv(user=Talker(), tasks=tasks, multiple_calls="upstream")
    lenient.reset("tau2/0")
    observation, *_, info = lenient.step(two)
    assert observation.endswith("\nError: Tool 'nonsense' not found.")
    assert (info["metrics"]["tool_calls"], info["metrics"]["tool_errors"]) == (2.0, 1.0)


MALFORMED = [
    "",
    "   <|im_end|>",
    "<think>hm",
    "<tool_call>{",
    "<tool_call><tool_call>{}</tool_call></tool_call>",
    '<tool_call>{"name": "x", "arguments": []}</tool_call>',
    "caf\udce9",
    AgentMessage(),
    AgentMessage("caf\udce9"),
    AgentMessage(tool_calls=(ToolCall("x", "not an object"),)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("message", MALFORMED)
def test_what_cannot_be_parsed_is_refused_and_the_episode_goes_on(env, message):
    env.reset("tau2/0")
    observation, reward, terminated, truncated, info = env.step(message)
    assert observation.startswith("Error: ")
    assert (reward, terminated, truncated, info["metrics"]["malformed"]) == (0.0, False, False, 1.0)
    assert env.step("Hello?")[0] == "ok"


@pytest.mark.parametrize(
    ("text", "heard", "malformed"),
    [
        ('```json\n{"name": "get_order_details", "arguments": {"order_id": "#W1"}}\n```', "ok", 0.0),
        ('[get_order_details(order_id="#W1")]', "ok", 0.0),
        ("<function=get_order_details>\n</function>", "ok", 0.0),
        ("<tool_call>\n<function=get_order_details>\n</function>\n</tool_call>", "Error: ", 1.0),
    ],
)
def test_a_call_in_another_format_is_speech_and_counted(env, text, heard, malformed):
    env.reset("tau2/0")
    observation, *_, info = env.step(text)
    assert observation.startswith(heard)
    metrics = info["metrics"]
    assert (metrics["unparsed_calls"], metrics["tool_calls"], metrics["malformed"]) == (1.0, 0.0, malformed)
    assert env.step("Hello?")[-1]["metrics"]["unparsed_calls"] == 0.0


@pytest.mark.parametrize(
    ("tool_format", "text"),
    [
        ("hermes", '<tool_call>{"name": "calculate", "arguments": {"expression": "2**10"}}</tool_call>'),
        ("qwen_xml", "<tool_call><function=calculate><parameter=expression>2**10</parameter></function></tool_call>"),
        ("llama3_json", '{"name": "calculate", "parameters": {"expression": "2**10"}}<|eot_id|>'),
        ("mistral", '[TOOL_CALLS][{"name": "calculate", "arguments": {"expression": "2**10"}}]'),
    ],
)
def test_an_episode_reads_one_format_of_tool_calls(tasks, tool_format, text):
    for own in ("hermes", "qwen_xml", "llama3_json", "mistral"):
        env = TauRetailEnv(user=Talker(), tasks=tasks, tool_format=own)
        env.reset("tau2/0")
        observation, *_, info = env.step(text)
        assert (observation == "1024.0") is (own == tool_format)
        assert info["metrics"]["unparsed_calls"] == float(own != tool_format)


def test_an_unknown_format_of_tool_calls_is_refused(tasks):
    with pytest.raises(InvalidValueError, match=r"tool_format.*hermes"):
        TauRetailEnv(user=Talker(), tasks=tasks, tool_format="harmony")


def test_a_call_without_a_name_gets_upstreams_answer(env):
    for message in (call(""), '<tool_call>{"name": "", "arguments": {}}</tool_call>'):
        env.reset("tau2/0")
        assert env.step(message)[0] == "Error: Tool '' not found."


def test_a_message_of_100_000_characters_is_played_like_any_other(env):
    env.reset("tau2/0")
    assert env.step("a" * 100_000)[0] == "ok"
    assert env.step("<tool_call>" * 10_000)[4]["metrics"]["malformed"] == 1.0
    assert env.step(call("calculate", expression="(" * 100_000))[0].startswith("Error: ")
    assert env.step(call("calculate", expression="9**9**9**9"))[0] == "Error: Expression is too large to calculate"
    assert env.step(call("calculate", expression="2**10"))[0] == "1024.0"


def test_a_customer_that_fails_is_nobodys_reward(tasks):
    env = TauRetailEnv(user=Unreachable(), tasks=tasks)
    env.reset("tau2/0")
    observation, reward, terminated, truncated, info = env.step("Hello?")
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert (info["stop_reason"], info["scorable"]) == ("user_error", False)
    assert (info["customer_error"], info["metrics"]["customer_failures"]) == ("no answer after 5 tries", 1.0)
    assert "5 tries" not in observation, "an error's text may hold what the customer alone is to know"


class Priced(Talker):
    """A customer with a strategy and a price."""

    strategy = "llm"

    def reset(self, task, *, seed):
        return UserMessage("Hello", usage={"latency_s": 0.25, "prompt_tokens": 700, "calls": 1, "retries": 0})

    def respond(self, message):
        if "fail" in message.content:
            raise UserError("timed out", usage={"latency_s": 4.0, "calls": 3, "retries": 2})
        words = super().respond(message)
        return UserMessage(words, usage={"latency_s": 0.5, "prompt_tokens": 800, "calls": 1, "cost_usd": 0.01})


def customers(metrics):
    return {name.removeprefix("customer_"): value for name, value in metrics.items() if name in USER_METRICS}


def test_what_the_customer_took_is_counted_and_the_first_step_counts_the_opening(tasks):
    env = TauRetailEnv(user=Priced(), tasks=tasks)
    _, info = env.reset("tau2/0")
    assert (info["user_strategy"], info["customer_usage"]["prompt_tokens"]) == ("llm", 700)
    info = env.step(READ_ORDER)[-1]
    opening = {"latency_s": 0.25, "prompt_tokens": 700.0, "calls": 1.0, "retries": 0.0, "failures": 0.0}
    assert customers(info["metrics"]) == opening
    assert "customer_usage" not in info
    assert customers(env.step(READ_ORDER)[-1]["metrics"]) == {}
    info = env.step("Who are you?")[-1]
    words = {"latency_s": 0.5, "prompt_tokens": 800.0, "calls": 1.0, "cost_usd": 0.01, "failures": 0.0}
    assert customers(info["metrics"]) == words
    assert info["metrics_agg_mode"] == METRICS | USER_METRICS
    info = env.step("fail")[-1]
    assert customers(info["metrics"]) == {"latency_s": 4.0, "calls": 3.0, "retries": 2.0, "failures": 1.0}
    assert (info["stop_reason"], info["user_strategy"]) == ("user_error", "llm")


def test_a_customer_without_a_price_shows_nothing_new(env):
    _, info = env.reset("tau2/0")
    assert (info["user_strategy"], "customer_usage" in info) == ("own", False)
    info = env.step("bye")[-1]
    assert customers(info["metrics"]) == {}
    assert info["metrics_agg_mode"] == METRICS
    assert TauRetailEnv(tasks=env.tasks).reset("tau2/0")[1]["user_strategy"] == "scripted"


def test_a_customer_that_cannot_be_set_up_stops_the_caller_and_not_the_environment(tasks):
    class Locked(Talker):
        locked = True

        def reset(self, task, *, seed):
            if self.locked:
                raise UserSetupError("no key")
            return "Hello"

    customer = Locked()
    env = TauRetailEnv(user=customer, tasks=tasks)
    with pytest.raises(UserSetupError, match="no key"):
        env.reset("tau2/0")
    customer.locked = False
    env.reset("tau2/0")
    customer.respond = lambda message: customer.locked or (_ for _ in ()).throw(UserSetupError("budget used up"))
    with pytest.raises(UserSetupError, match="budget used up"):
        env.step("Hello?")
    assert env.reset("tau2/0")[0] == "Hello"


@pytest.mark.parametrize("words", ["", "bye ###STOP###"])
def test_a_customer_that_cannot_open_the_conversation_is_an_error_of_its_own(tasks, words):
    customer = Talker()
    customer.reset = lambda task, *, seed: words
    with pytest.raises(UserError):
        TauRetailEnv(user=customer, tasks=tasks).reset("tau2/0")


def test_upstreams_limits_end_an_episode_without_raising(env):
    env.reset("tau2/0")
    for turn in range(1, 50):
        assert env.step("hm")[3] is False, turn
    *_, truncated, info = env.step("hm")
    assert (truncated, info["stop_reason"]) == (True, "max_steps")

    env.reset("tau2/0")
    for _ in range(9):
        assert env.step(call("nonsense"))[3] is False
    *_, truncated, info = env.step(call("nonsense"))
    assert (truncated, info["stop_reason"], info["scorable"]) == (True, "too_many_errors", True)


def test_max_turns_counts_the_agents_messages_and_the_last_may_still_succeed(tasks):
    env = TauRetailEnv(user=Talker(), tasks=tasks, max_turns=2)
    env.reset("tau2/0")
    assert env.step("hm")[3] is False
    assert env.step("hm")[4]["stop_reason"] == "max_turns"
    env.reset("tau2/0")
    env.step("hm")
    assert env.step("bye")[4]["stop_reason"] == "user_stop"


def test_a_step_needs_an_episode(env):
    with pytest.raises(EpisodeStateError, match=r"reset\(\)"):
        env.step("Hello")
    env.reset("tau2/0")
    env.step("bye")
    with pytest.raises(EpisodeStateError, match="tau2/0"):
        env.step("Hello")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"source": "tau3"}, "tau3"),
        ({"split": "trian"}, "Did you mean 'train'"),
        ({"task_subset": "retruns"}, "Did you mean 'returns'"),
        ({"user_strategy": "telepathy"}, "telepathy"),
        ({"user_config": {"phrasing": "all"}}, "phrasing"),
        ({"prompt_style": "long"}, "long"),
        ({"multiple_calls": "maybe"}, "maybe"),
        ({"max_turns": 0}, "max_turns"),
        ({"tasks": []}, "tasks"),
    ],
)
def test_bad_settings_are_named(arguments, named):
    with pytest.raises(InvalidValueError, match=named):
        TauRetailEnv(**arguments)


def test_arguments_after_the_subset_are_given_by_name():
    assert TauRetailEnv("generated", "test", "single", prompt_style="minimal").tasks
    with pytest.raises(TypeError):
        TauRetailEnv("generated", "test", "single", "scripted")


def test_closed_sets_are_taken_as_members_and_as_names(tasks):
    named = {"user_strategy": "scripted", "prompt_style": "minimal", "multiple_calls": "upstream"}
    members = {
        "user_strategy": UserStrategy.SCRIPTED,
        "prompt_style": PromptStyle.MINIMAL,
        "multiple_calls": MultipleCalls.UPSTREAM,
    }
    by_name, by_member = (TauRetailEnv(tasks=tasks, **settings).reset(seed=0) for settings in (named, members))
    assert by_name == by_member
    assert type(by_member[1]["user_strategy"]) is str


def test_info_holds_what_its_types_say(tasks):
    env = TauRetailEnv(tasks=tasks, user=Talker())
    assert env.reset("tau2/0")[1].keys() == ResetInfo.__required_keys__
    assert env.step("hm")[4].keys() == StepInfo.__required_keys__
    over = env.step("bye")[4]
    assert over.keys() == StepInfo.__required_keys__ | StepInfo.__optional_keys__ - {"customer_usage", "customer_error"}
    assert over["stop_reason"] is StopReason.USER_STOP
    assert over["reward_breakdown"].keys() == RewardBreakdown.__optional_keys__
    env = TauRetailEnv(tasks=tasks, user=Unreachable())
    env.reset("tau2/0")
    failed = env.step("hm")[4]
    assert (failed["stop_reason"], failed["customer_error"]) == (StopReason.USER_ERROR, "no answer after 5 tries")
    assert failed["reward_breakdown"] == {}


def test_an_unknown_task_and_an_unknown_action_are_named(env):
    with pytest.raises(InvalidValueError, match="tau2/999"):
        env.reset("tau2/999")
    env.reset("tau2/0")
    with pytest.raises(InvalidValueError, match="bytes"):
        env.step(b"Hello")


def test_two_threads_in_one_environment_are_told_so(tasks):
    inside, go_on = threading.Event(), threading.Event()

    class Slow(Talker):
        def respond(self, message):
            inside.set()
            assert go_on.wait(10)
            return "ok"

    env = TauRetailEnv(user=Slow(), tasks=tasks)
    env.reset("tau2/0")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(env.step, "Who are you?")
        assert inside.wait(10)
        for intrude in (lambda: env.step("Hello?"), env.reset):
            with pytest.raises(EpisodeStateError, match="two threads are in one environment at once"):
                intrude()
        go_on.set()
        assert first.result()[0] == "ok"
    assert env.step("Go on")[0] == "ok"


def test_a_changed_snapshot_is_noticed_in_debug_mode(tasks, monkeypatch):
    monkeypatch.setenv("TAU_RETAIL_DEBUG", "1")
    env = TauRetailEnv(user=Talker(), tasks=tasks)
    env.reset("tau2/0")
    assert env.step("bye")[2]
    order = env._shop.database["orders"]["#W2378156"]
    monkeypatch.setitem(order, "status", "lost")
    env.reset("tau2/0")
    with pytest.raises(SnapshotChangedError, match="end of episode tau2/0"):
        env.step("bye")


@pytest.fixture
def v1(tau_bench):
    return TauRetailEnv(source="tau_bench", split="test", user=Talker(), multiple_calls="upstream")


def test_v1_has_no_greeting_and_sixteen_tools(v1):
    _, info = v1.reset("tau_bench/test/0")
    assert info["messages"] == [{"role": "user", "content": "Hello"}]
    assert len(info["tools"]) == 16


def test_v1_scores_at_the_transfer_even_if_the_call_fails(v1):
    for arguments in ({"summary": "wants a human"}, {}):
        v1.reset("tau_bench/test/0")
        _, reward, terminated, truncated, info = v1.step(call("transfer_to_human_agents", **arguments))
        assert (reward, terminated, truncated, info["stop_reason"]) == (0.0, True, False, "agent_transfer")
        assert info["reward_breakdown"]["database"] == 0.0


def test_v1_runs_the_first_of_several_calls_and_hears_no_text_beside_one(v1):
    task = next(
        task for task in v1.tasks if task.outputs and not any("_pending" in action.name for action in task.actions)
    )
    v1.reset(task.id)
    both = AgentMessage(
        ", ".join(task.outputs), (ToolCall("think", {"thought": "?"}, "a"), ToolCall("lookup", {}, "b"))
    )
    _, _, _, _, info = v1.step(both)
    assert [message["tool_call_id"] for message in info["messages"]] == ["a"]
    assert v1.step("bye")[-1]["reward_breakdown"]["outputs"] == 0.0
    v1.reset(task.id)
    v1.step(", ".join(task.outputs))
    assert v1.step("bye")[-1]["reward_breakdown"]["outputs"] == 1.0


def test_v1_stops_at_one_token_only(v1):
    class Transferred(Talker):
        def respond(self, message):
            return "###TRANSFER###"

    env = TauRetailEnv(source="tau_bench", split="dev", user=Transferred())
    env.reset("tau_bench/dev/0")
    assert env.step("A colleague takes over.")[2:4] == (False, False)


def test_v1_allows_thirty_messages_of_which_the_last_may_end_it(v1):
    for last, ending in (("bye", (True, False, "user_stop")), ("hm", (False, True, "max_steps"))):
        v1.reset("tau_bench/test/0")
        for _ in range(29):
            assert v1.step(call("no_such_tool"))[2:4] == (False, False)
        _, _, terminated, truncated, info = v1.step(last)
        assert (terminated, truncated, info["stop_reason"]) == ending


def test_v1_takes_a_call_of_respond_for_words(v1):
    v1.reset("tau_bench/test/0")
    assert v1.step(call("respond", content="Who are you?"))[0] == "ok"
    observation, *_, info = v1.step(call("respond"))
    assert "needs a text for the customer" in observation
    assert info["metrics"]["malformed"] == 1.0


def test_v1_reads_only_the_first_of_several_calls(v1):
    v1.reset("tau_bench/test/0")
    message = AgentMessage(None, (ToolCall("think", {"thought": "?"}), ToolCall("think", "no object")))
    assert v1.step(message)[-1]["metrics"]["malformed"] == 0.0


@pytest.mark.parametrize("message", MALFORMED)
def test_v1_refuses_what_cannot_be_parsed_and_goes_on(v1, message):
    v1.reset("tau_bench/test/0")
    observation, _, terminated, truncated, info = v1.step(message)
    assert observation.startswith("Error: ")
    assert (terminated, truncated, info["metrics"]["malformed"]) == (False, False, 1.0)
    assert v1.step("Hello?")[0] == "ok"


def test_v1_takes_long_messages_and_huge_sums_like_any_other(v1):
    v1.reset("tau_bench/test/0")
    assert v1.step("a" * 100_000)[0] == "ok"
    assert v1.step(call("calculate", expression="9**9**9**9"))[0] == "Error: Expression is too large to calculate"
    assert v1.step(call("calculate", expression="2**10"))[0] == "1024.0"
    assert v1.step(call("get_order_details", order_id=["#W2378156"]))[0].startswith("Error: ")
    assert v1.step(call("no_such_tool"))[0] == "Unknown action no_such_tool"


def test_v1_does_not_score_an_episode_whose_customer_fails(tau_bench):
    env = TauRetailEnv(source="tau_bench", split="dev", user=Unreachable())
    env.reset("tau_bench/dev/0")
    _, reward, terminated, truncated, info = env.step("Hello?")
    assert (reward, terminated, truncated, info["scorable"]) == (0.0, False, True, False)


def test_v1_knows_neither_other_domains_nor_other_tasks(tau_bench):
    with pytest.raises(InvalidValueError, match="Unknown domain 'airline'; known: retail"):
        load_tasks("tau_bench", "test", domain="airline")
    with pytest.raises(InvalidValueError, match="Did you mean 'tau_bench/dev/0'"):
        TauRetailEnv(source="tau_bench", split="dev", user=Talker()).reset("0")


@pytest.mark.parametrize("seed", [-1, "a", 1.5])
def test_a_seed_that_is_none_is_refused(env, seed):
    with pytest.raises(InvalidValueError, match="seed must be a whole number"):
        env.reset(seed=seed)


def test_a_limit_that_is_no_number_is_refused(tasks):
    with pytest.raises(InvalidValueError, match="max_turns must be a whole number, at least 1"):
        TauRetailEnv(tasks=tasks, max_turns="5")


def test_ids_in_place_of_tasks_are_refused():
    with pytest.raises(InvalidValueError, match="tasks: found 'tau2/1', expected Task objects"):
        TauRetailEnv(tasks=["tau2/1"])


def test_a_message_in_openais_form_is_one_as_well(env):
    function = {"name": "get_order_details", "arguments": json.dumps(ORDER)}
    in_openais_form = (
        {"role": "assistant", "content": "Hello"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]},
        {"content": None, "tool_calls": [{"id": "2", "type": "function", "function": {**function, "arguments": "{"}}]},
    )
    env.reset("tau2/0")
    words, result, refused = [env.step(message) for message in in_openais_form]
    assert words[0] == "ok" and words[4]["role"] == "user"
    assert result[0].startswith('{"order_id": "#W2378156"') and result[4]["messages"][0]["tool_call_id"] == "1"
    assert refused[4]["metrics"]["malformed"] == 1.0


@pytest.mark.parametrize(
    ("action", "named"),
    [
        ({"role": "user", "content": "Hello"}, "a mapping with role 'user'"),
        ({"text": "Hello"}, "the keys text"),
        (["Hello"], "found list"),
    ],
)
def test_what_is_no_message_of_an_agent_is_refused_by_what_it_is(env, action, named):
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match=named):
        env.step(action)


def test_prompt_tools_and_task_can_be_had_at_any_time(env):
    assert env.task is None and "no episode" in repr(env)
    _, info = env.reset("tau2/0")
    env.step("Hello")
    assert (env.system_prompt, env.tools) == (info["system_prompt"], info["tools"])
    assert env.task.id == "tau2/0" and "task tau2/0" in repr(env)


def test_tasks_and_an_environment_have_the_same_default_split():
    assert TauRetailEnv().tasks == tuple(load_tasks())


def test_with_closes_the_environment(tasks):
    with TauRetailEnv(user=Talker(), tasks=tasks) as env:
        env.reset("tau2/0")
    assert env.task is None


def test_options_of_reset_hold_the_task(env):
    assert env.reset(seed=3, options={"task_id": "tau2/7"})[1]["task_id"] == "tau2/7"
    assert env.reset(seed=3, options={})[1] == env.reset(seed=3)[1]
    with pytest.raises(InvalidValueError, match=r"Unknown option of reset 'task'.*Did you mean 'task_id'"):
        env.reset(options={"task": "tau2/7"})


def test_a_customer_object_plays_even_if_it_is_empty_and_must_say_something(tasks):
    class Mute(Talker, list):
        def respond(self, message):
            return None

    env = TauRetailEnv(user=Mute(), tasks=tasks)
    assert env.reset("tau2/0")[0] == "Hello"
    *_, info = env.step("Hello?")
    assert (info["stop_reason"], info["scorable"]) == ("user_error", False)


def test_a_changed_tool_schema_is_noticed_in_debug_mode(tasks, monkeypatch):
    monkeypatch.setenv("TAU_RETAIL_DEBUG", "1")
    env = TauRetailEnv(user=Talker(), tasks=tasks)
    _, info = env.reset("tau2/0")
    monkeypatch.setitem(info["tools"][0]["function"], "name", "changed")
    with pytest.raises(SnapshotChangedError):
        env.step("bye")


@pytest.mark.parametrize("user", [object(), "scripted", TauRetailEnv])
def test_a_customer_without_the_methods_of_one_is_refused_before_anything_is_played(user):
    with pytest.raises(InvalidValueError, match=r"user: found \w+ without .*respond.*adding_a_customer"):
        TauRetailEnv(user=user)
