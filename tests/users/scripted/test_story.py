"""The stories of the free-text tasks: each holds together, and fits its task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.messages import ToolCall
from tau_retail_env.sources import load_tasks, open_shop
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.writes import gold_writes
from tau_retail_env.users.scripted.agenda import build_agenda
from tau_retail_env.users.scripted.request import Kind
from tau_retail_env.users.scripted.story import Beat, Story, check_fit, read_stories, stories, story_of


def written(story: Story) -> list[int]:
    return [beat.write for beat in story.beats if beat.write is not None]


def problems(task: Task) -> list[str]:
    """What does not fit between a task and its story."""
    story = story_of(task)
    if story is None:
        return [f"{task.id} has no story"]
    found = []
    if sorted(written(story)) != list(range(len(gold_writes(task)))):
        found.append(f"{task.id} asks for the writes {written(story)}")
    told = sorted(number for beat in story.beats for number in beat.outputs)
    if told != list(range(len(task.outputs))):
        found.append(f"{task.id} asks for the outputs {told}")
    gold_transfer = any(action.name == "transfer_to_human_agents" for action in task.actions)
    if gold_transfer and not any(beat.transfer for beat in story.beats):
        found.append(f"{task.id} never wants to be transferred")
    found += [f"{task.id}: {words}" for beat in story.beats for words in misplaced(beat)]
    if story.beats[0].otherwise:
        found.append(f"{task.id} begins with a consequence")
    return found


def misplaced(beat: Beat) -> list[str]:
    """Keys of a beat that mean nothing there, or that it lacks."""
    found = []
    if beat.is_impossible and not (beat.refusal or beat.turn):
        found.append("impossible, but neither refused nor given up")
    if not beat.is_impossible and (beat.refusal or beat.turn):
        found.append("refused or given up, but not impossible")
    if beat.fails and beat.write is None:
        found.append("only a gold write can fail")
    if bool(beat.ask) != (bool(beat.outputs) != bool(beat.answer)):
        found.append("a question needs either outputs or an answer")
    if beat.outputs and not beat.ask:
        found.append("outputs answer nothing")
    if beat.say and beat.prose:
        found.append("two openings")
    if (beat.kind or beat.items or beat.options or beat.payment) and beat.first is None:
        found.append("changes a gold request outside of a first wish")
    return found


def test_every_task_of_tau2_has_a_story_that_fits() -> None:
    tasks = load_tasks("tau2", "base")
    assert len(tasks) == 114
    assert [words for task in tasks for words in problems(task)] == []


@pytest.mark.parametrize(("split", "count"), [("test", 115), ("dev", 20)])
def test_every_free_text_task_of_tau_bench_has_a_story_that_fits(tau_bench: Path, split: str, count: int) -> None:
    tasks = load_tasks("tau_bench", split)
    assert len(tasks) == count
    assert [words for task in tasks for words in problems(task)] == []


def test_no_story_is_left_over(tau_bench: Path) -> None:
    tasks = [*load_tasks("tau2", "base"), *load_tasks("tau_bench", "test"), *load_tasks("tau_bench", "dev")]
    played = {story.name for task in tasks if (story := story_of(task))}
    assert played == {name for name in stories() if "@" not in name}


@pytest.mark.parametrize("version", ["1.0", "verified"])
def test_every_task_of_a_newer_version_has_a_story_that_fits_and_none_is_left_over(version: str) -> None:
    try:
        tasks = load_tasks("tau2", "base", task_version=version)
    except (InvalidValueError, MissingDependencyError) as error:
        pytest.skip(f"needs τ² {version}: {error}")
    assert [words for task in tasks for words in problems(task)] == []
    played = {story.name for task in tasks if (story := story_of(task))}
    own = {name for name in stories() if name.startswith(f"tau2@{version}/")}
    assert {name for name in played if "@" in name} == own != set()


def test_a_story_that_was_written_for_another_version_is_named() -> None:
    task = replace(load_tasks("tau2", "base")[33], outputs=(), version="1.1")
    with pytest.raises(InvalidValueError, match=r"'tau2/33' does not fit task 'tau2/33' of version 1.1.*0 outputs"):
        check_fit(stories()["tau2/33"], task)


def test_template_made_tasks_have_no_story(tau_bench: Path) -> None:
    tasks = [*load_tasks("tau_bench", "train")[:20], *load_tasks("generated", "test")[:20]]
    assert [story_of(task) for task in tasks] == [None] * 40


def test_every_customer_of_a_story_can_identify_itself() -> None:
    shop = open_shop("tau2").database
    for task in load_tasks("tau2", "base"):
        agenda = build_agenda(task, shop)
        own = next(
            user
            for user in shop["users"].values()
            if (user["name"]["first_name"], user["name"]["last_name"]) == (agenda.first_name, agenda.last_name)
            and (user["email"] in agenda.emails or user["address"]["zip"] in agenda.zips)
        )
        assert own


def failing_in_story_and_shop(source: str, split: str) -> list[tuple[set[int | None], set[int | None]]]:
    """For each task the gold writes that fail in its story, and those that the shop refuses."""
    shop = open_shop(source)
    pairs = []
    for task in load_tasks(source, split):
        story, world = story_of(task), shop.open()
        assert story
        results = [(action, world.call(ToolCall(action.name, action.arguments)).error) for action in task.actions]
        errors = [error for action, error in results if action in gold_writes(task)]
        refused: set[int | None] = {number for number, error in enumerate(errors) if error}
        pairs.append(({beat.write for beat in story.beats if beat.fails}, refused))
    return pairs


def test_a_gold_write_fails_in_a_story_exactly_where_the_shop_refuses_it() -> None:
    assert all(told == refused for told, refused in failing_in_story_and_shop("tau2", "base"))


@pytest.mark.parametrize("split", ["test", "dev"])
def test_a_gold_write_fails_in_a_story_exactly_where_tau_bench_refuses_it(tau_bench: Path, split: str) -> None:
    assert all(told == refused for told, refused in failing_in_story_and_shop("tau_bench", split))


def sentences(text: str) -> set[str]:
    parts = re.split(r"(?<=[.!?])\s+", text.casefold())
    return {re.sub(r"\W+", " ", part).strip() for part in parts if len(part.split()) > 5}


def shared_sentences(tasks: Sequence[Task]) -> list[str]:
    found = []
    for task in tasks:
        story = story_of(task)
        assert story
        own = " ".join(f"{beat.prose} {beat.say} {beat.turn}" for beat in story.beats)
        found += sorted(sentences(own) & sentences(task.instruction))
    return found


def test_no_sentence_of_a_story_is_upstreams() -> None:
    assert shared_sentences(load_tasks("tau2", "base")) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('["a"]\nbeat = []', "beat"),
        ('["a"]\nbeats = [{ ask = "x", answers = [0] }]', "answers"),
        ('["a"]\nbeats = [{ say = "x" }]', "exactly one"),
        ('["a"]\nbeats = [{ ask = "x", vain = "y" }]', "exactly one"),
        ('["a"]\nbeats = [{ write = 0, words = { price = "x" } }]', "price"),
    ],
)
def test_a_mistake_in_a_story_is_named(text: str, named: str) -> None:
    with pytest.raises(InvalidValueError, match=named):
        read_stories(text)


def test_a_test_task_of_tau_bench_plays_its_twins_story_unless_it_has_its_own() -> None:
    def name(number: int) -> str:
        story = story_of(Task(f"tau_bench/test/{number}", "tau_bench", "retail", "test", "", ()))
        assert story
        return story.name

    assert (name(0), name(94), name(96), name(114)) == ("tau2/0", "tau2/94", "tau2/95", "tau2/113")
    assert (name(33), name(95), name(105)) == ("tau_bench/test/33", "tau_bench/test/95", "tau_bench/test/105")


def test_a_wording_is_one_or_several() -> None:
    words = stories()["tau2/46"].words or {}
    assert [len(wordings) for wordings in words.values()] == [3]
    assert all(
        request.kind in Kind
        for request in build_agenda(load_tasks("tau2", "base")[46], open_shop("tau2").database).requests
    )
