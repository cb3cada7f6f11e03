"""Mixed customers: one kind for each group of episodes, drawn by task and seed."""

from __future__ import annotations

from collections import Counter

import pytest

from tau_retail_env.errors import EpisodeStateError
from tau_retail_env.messages import AgentMessage
from tau_retail_env.tasks import Task
from tau_retail_env.users import UserMessage
from tau_retail_env.users.mixed import MixedUser


class Named:
    """A customer that says its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        return UserMessage(f"{self.name} {task.id} {seed}")

    def respond(self, message: AgentMessage) -> UserMessage:
        return UserMessage(f"{self.name} heard {message.content}")


def mixed(**weights: float) -> MixedUser:
    return MixedUser({name: Named(name) for name in weights}, weights)


def task(number: int) -> Task:
    return Task(f"x/{number}", "tau2", "retail", "train", "", ())


def drawn(customer: MixedUser, number: int, seed: int) -> str | None:
    customer.reset(task(number), seed=seed)
    return customer.strategy


def test_a_group_of_episodes_has_one_customer_whoever_draws_and_whatever_came_before() -> None:
    one, other = mixed(scripted=0.5, llm=0.5), mixed(llm=0.5, scripted=0.5)
    places = [(number, seed) for number in range(10) for seed in range(10)]
    first = {place: drawn(one, *place) for place in places}
    assert {place: drawn(other, *place) for place in reversed(places)} == first
    assert set(first.values()) == {"scripted", "llm"}


def test_both_task_and_seed_decide() -> None:
    customer = mixed(scripted=0.5, llm=0.5)
    assert len({drawn(customer, 0, seed) for seed in range(20)}) == 2
    assert len({drawn(customer, number, 0) for number in range(20)}) == 2


def test_each_plays_as_often_as_its_weight_says() -> None:
    customer = mixed(scripted=0.7, llm=0.2, react=0.1)
    counts = Counter(drawn(customer, number, seed) for number in range(100) for seed in range(50))
    assert counts["scripted"] / 5000 == pytest.approx(0.7, abs=0.03)
    assert counts["llm"] / 5000 == pytest.approx(0.2, abs=0.03)
    assert counts["react"] / 5000 == pytest.approx(0.1, abs=0.03)


def test_the_customer_drawn_plays_the_whole_episode() -> None:
    customer = mixed(scripted=0.5, llm=0.5)
    for seed in range(10):
        opening = customer.reset(task(1), seed=seed)
        assert opening.content == f"{customer.strategy} x/1 {seed}"
        assert customer.respond(AgentMessage("Hello")).content == f"{customer.strategy} heard Hello"


def test_nobody_plays_before_the_first_episode() -> None:
    customer = mixed(scripted=0.5, llm=0.5)
    assert customer.strategy is None
    with pytest.raises(EpisodeStateError, match="reset"):
        customer.respond(AgentMessage("Hello"))
