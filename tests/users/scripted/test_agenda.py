"""What the scripted customer wants and knows, by task."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import Task
from tau_retail_env.users.scripted.agenda import Agenda, build_agenda, first_person
from tau_retail_env.users.scripted.request import Kind
from tau_retail_env.users.scripted.story import stories


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return {task.id: task for task in load_tasks("tau2", "base")}


def agenda(task: Task) -> Agenda:
    return build_agenda(task, shop_database())


def test_every_task_of_tau2_has_an_agenda(tasks: dict[str, Task]) -> None:
    assert all(agenda(task).requests for task in tasks.values())


def test_gold_writes_become_requests_in_order(tasks: dict[str, Task]) -> None:
    requests = agenda(tasks["tau2/103"]).requests
    assert [request.kind for request in requests] == [
        Kind.RETURN,
        Kind.RETURN,
        Kind.ORDER_ADDRESS,
        Kind.MODIFY_ITEMS,
        Kind.INQUIRY,
    ]
    assert [item.product for item in requests[0].items] == ["Bookshelf", "Jigsaw Puzzle"]


def test_an_exchange_knows_which_options_change(tasks: dict[str, Task]) -> None:
    items = agenda(tasks["tau2/0"]).requests[1].items
    assert [item.changes for item in items] == [
        {"switch type": "clicky", "backlight": "none"},
        {"compatibility": "Google Assistant"},
    ]


def test_an_item_that_shares_its_name_is_told_apart_by_its_options(tasks: dict[str, Task]) -> None:
    labels = [item.label for item in agenda(tasks["tau2/45"]).requests[1].items]
    assert labels[0].startswith("Vacuum Cleaner (robotic, ")


def test_what_a_customer_does_not_remember_it_does_not_know(tasks: dict[str, Task]) -> None:
    assert agenda(tasks["tau2/0"]).email is None
    by_email = next(
        task for task in load_tasks("generated", "test") if "zip code" in (task.scenario.unknown_info or "")
    )
    assert agenda(by_email).zip is None
    assert agenda(by_email).email


def test_an_id_is_known_only_where_the_tasks_text_has_it(tasks: dict[str, Task]) -> None:
    received, described = agenda(tasks["tau2/0"]), agenda(tasks["tau2/79"])
    assert received.may_say("#W2378156")
    assert received.may_say("W2378156")
    assert not received.may_say("#W237815")
    assert not received.may_say("credit_card_9513926")
    assert not any(described.may_say(request.order_id) for request in described.requests)


def test_a_user_id_is_known_only_where_the_task_tells_it(tasks: dict[str, Task]) -> None:
    assert agenda(tasks["tau2/0"]).user_id is None
    assert agenda(tasks["tau2/5"]).user_id == "mei_kovacs_8020"


def test_a_question_of_a_story_is_answered_by_the_tasks_outputs(tasks: dict[str, Task]) -> None:
    inquiry = agenda(tasks["tau2/2"]).requests[0]
    assert (inquiry.kind, inquiry.answers) == (Kind.INQUIRY, ("10",))
    assert inquiry.question == stories()["tau2/2"].beats[0].ask


def test_outputs_of_a_task_without_a_story_become_a_question_of_the_customers_own(tasks: dict[str, Task]) -> None:
    own = replace(tasks["tau2/2"], id="own/1", source="own")
    question = agenda(own).requests[-1].question
    assert question == "I want to know how many tshirt options are available in the online store right now."


def test_a_first_wish_is_the_gold_request_with_other_values(tasks: dict[str, Task]) -> None:
    wish, gold = agenda(tasks["tau2/1"]).requests
    assert [item.product for item in wish.items] == ["Mechanical Keyboard", "Smart Thermostat"]
    assert wish.items[0].changes == {"switch type": "clicky"}
    assert [item.product for item in gold.items] == ["Smart Thermostat"]
    assert (wish.order_id, wish.payment, wish.is_impossible) == (gold.order_id, gold.payment, True)
    assert agenda(tasks["tau2/18"]).requests[0].kind is Kind.RETURN


def test_a_question_knows_the_order_it_is_about(tasks: dict[str, Task]) -> None:
    questions = [request for request in agenda(tasks["tau2/46"]).requests if request.kind is Kind.INQUIRY]
    assert [request.order_id for request in questions] == ["#W9502127", "#W9502127"]


def test_a_customer_of_a_story_knows_only_what_it_was_told(tasks: dict[str, Task]) -> None:
    assert agenda(tasks["tau2/54"]).emails == ("silva7872@example.com", "amelia.silva7872@example.com")
    assert agenda(tasks["tau2/54"]).zip is None
    assert agenda(tasks["tau2/67"]).zips == ("98178", "98186", "98187")
    assert agenda(tasks["tau2/67"]).email is None


def test_a_customer_identifies_itself_as_the_gold_actions_look_it_up(tasks: dict[str, Task]) -> None:
    of_way: dict[str, set[bool]] = {}
    for task in tasks.values():
        for action in task.actions[:1]:
            of_way.setdefault(action.name, set()).add(agenda(task).by_email)
    assert of_way["find_user_id_by_name_zip"] == {False}
    assert True in of_way["find_user_id_by_email"]


def test_words_told_to_a_customer_are_turned_to_its_own() -> None:
    told = "You want your money back, and you're sure it was sent to you."
    assert first_person(told) == "I want my money back, and I'm sure it was sent to me."
