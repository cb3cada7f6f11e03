"""A person in the terminal as the customer."""

from __future__ import annotations

import io

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.errors import InvalidValueError, UserLeftError
from tau_retail_env.messages import AgentMessage
from tau_retail_env.tasks import Task
from tau_retail_env.users.human import HumanUser


def person(lines: str, source: str = "tau2") -> tuple[HumanUser, io.StringIO]:
    out = io.StringIO()
    return HumanUser(source=source, lines=io.StringIO(lines), out=out), out


@pytest.fixture
def task() -> Task:
    return load_tasks("tau2", "test")[0]


def test_lines_are_what_the_customer_says(task: Task) -> None:
    customer, _ = person("Hi, an exchange please.\nYes.\n")
    assert customer.reset(task, seed=0).content == "Hi, an exchange please."
    words = customer.respond(AgentMessage("Shall I?"))
    assert (words.content, words.stop, words.usage) == ("Yes.", None, None)


def test_the_person_sees_the_task_the_greeting_and_what_the_agent_says(task: Task) -> None:
    customer, out = person("Hi\nYes\n")
    customer.reset(task, seed=0)
    customer.respond(AgentMessage("Which order is it?"))
    shown = out.getvalue()
    assert task.scenario.known_info is not None
    assert task.scenario.known_info in shown
    assert "agent> Hi! How can I help you today?" in shown
    assert "agent> Which order is it?" in shown


def test_stop_ends_the_conversation_with_the_last_words(task: Task) -> None:
    customer, _ = person("Hi\n/stop Thank you!\n")
    customer.reset(task, seed=0)
    words = customer.respond(AgentMessage("Done."))
    assert (words.content, words.stop) == ("Thank you! ###STOP###", "###STOP###")


@pytest.mark.parametrize("early", ["/stop", "/stop bye", "bye ###STOP###", "###TRANSFER###"])
def test_a_conversation_cannot_end_before_it_has_begun(task: Task, early: str) -> None:
    customer, out = person(f"{early}\nHi\n")
    assert customer.reset(task, seed=0).content == "Hi"
    assert "Nothing has been said yet" in out.getvalue()


def test_empty_lines_and_other_commands_say_nothing(task: Task) -> None:
    customer, out = person("\n  \n/task\n/halp\nHi\n")
    assert customer.reset(task, seed=0).content == "Hi"
    assert out.getvalue().count("Task instructions") == 2
    assert out.getvalue().count("/stop [words]") == 2


@pytest.mark.parametrize(("command", "tasks", "helps"), [("/task", 2, 1), ("/help", 1, 2), ("/halp", 1, 2)])
def test_task_shows_the_task_again_and_any_other_command_the_help(
    task: Task, command: str, tasks: int, helps: int
) -> None:
    customer, out = person(f"{command}\nHi\n")
    customer.reset(task, seed=0)
    shown = out.getvalue()
    assert (shown.count("Task instructions"), shown.count("/stop [words]")) == (tasks, helps)


def test_the_end_of_the_input_is_no_fault_of_the_agent(task: Task) -> None:
    customer, _ = person("Hi\n")
    customer.reset(task, seed=0)
    with pytest.raises(UserLeftError, match="left"):
        customer.respond(AgentMessage("Hello"))


def test_a_closed_input_is_its_end(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserLeftError, match="left"):
        HumanUser(source="tau2", out=io.StringIO()).reset(task, seed=0)


def test_a_person_plays_an_episode_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\n/stop\n"))
    env = TauRetailEnv(split="test", user_strategy="human")
    assert env.reset(seed=0)[0] == "Hi"
    _, _, terminated, _, info = env.step("Hello. How can I help?")
    assert (terminated, info["stop_reason"]) == (True, "user_stop")
    shown = capsys.readouterr()
    assert "agent> Hello. How can I help?" in shown.err
    assert shown.out == ""


def test_a_person_cannot_play_two_environments_at_once() -> None:
    first, _ = person("")
    with pytest.raises(InvalidValueError, match="one person plays one environment"):
        person("")
    del first
    person("")


def test_v1s_customer_speaks_first(tau_bench: object) -> None:
    customer, out = person("Hi\n", source="tau_bench")
    task = load_tasks("tau_bench", "test")[0]
    customer.reset(task, seed=0)
    assert task.instruction in out.getvalue()
    assert "agent>" not in out.getvalue()
