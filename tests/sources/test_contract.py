"""What every source must keep to, whoever wrote it: each is played against the same rules."""

import contextlib
import io
import re

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.sources import SOURCES, Source, get_source, register_source
from tau_retail_env.sources.prompts import PromptStyle, system_prompt
from tau_retail_env.sources.registry import source_of, unregister_source
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.writes import WRITE_TOOLS

TOY = "lamps"
NAMES = [*SOURCES, TOY]


@pytest.fixture(scope="module")
def page(repository):
    """The page "Adding a source", its example run as a reader would: what it printed and what it named."""
    text = (repository / "docs" / "adding_a_source.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    printed = io.StringIO()
    names = {"__name__": "example"}
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(program, "adding_a_source.md", "exec", dont_inherit=True), names)
        yield printed.getvalue(), names
    finally:
        unregister_source(TOY)


@pytest.fixture(params=NAMES)
def source(request, page):
    """The name of a source that is here."""
    if request.param == "tau_bench":
        request.getfixturevalue("tau_bench")
    return request.param


def split_of(source):
    return "train" if "train" in get_source(source).splits() else "test"


def tasks_of(source):
    return load_tasks(source, split_of(source))


def transcript(source, seed):
    env = TauRetailEnv(source=source, split=split_of(source))
    observation, info = env.reset(seed=seed)
    seen = [observation, info["messages"], info["system_prompt"], info["task_id"]]
    for message in (AgentMessage("Hello, who are you?"), AgentMessage(None, (ToolCall("no_such_tool", {}),))):
        observation, reward, _, _, info = env.step(message)
        seen += [observation, reward, info["metrics"]]
    return seen


def test_the_page_on_adding_a_source_is_right(page):
    printed, names = page
    assert printed == "1.0 user_stop\n"
    assert names["DATABASE"]["orders"]["#W2"]["status"] == "pending"


def test_ids_are_unique_and_begin_with_the_source(source):
    tasks = tasks_of(source)
    assert len({task.id for task in tasks}) == len(tasks) > 0
    assert all(task.id.startswith(f"{source}/") and task.source == source for task in tasks)


def test_tasks_lead_back_to_their_source(source):
    origin = get_source(source)
    assert all(source_of(task) is origin and task.version == origin.version for task in tasks_of(source)[:50])


def test_a_source_is_one_object_and_so_is_its_shop(source):
    assert get_source(source) is get_source(source)
    assert get_source(source).shop() is get_source(source).shop()


def test_another_environment_loads_nothing_again_and_holds_the_same_prompt(source, monkeypatch):
    split = split_of(source)
    first = TauRetailEnv(source=source, split=split)
    for method in ("load", "examples", "splits"):
        monkeypatch.delattr(Source, method, raising=True)
        monkeypatch.delattr(type(get_source(source)), method, raising=False)
    second = TauRetailEnv(source=source, split=split)
    assert second.tasks is first.tasks
    assert second.system_prompt is first.system_prompt


def test_gold_writes_are_tools_of_the_shop(source):
    known = {tool["function"]["name"] for tool in get_source(source).shop().tools}
    writes = {action.name for task in tasks_of(source)[:200] for action in task.actions if action.name in WRITE_TOOLS}
    assert writes and writes <= known


def test_whatever_an_episode_writes_the_shop_stays_as_it_was(source):
    shop = get_source(source).shop()
    before = shop.snapshot_digest()
    task = next(task for task in tasks_of(source) if shop.gold_changes(task))
    world = shop.open()
    for action in task.actions:
        if action.name not in shop.episode_rules.ending_tools:
            world.call(ToolCall(action.name, action.arguments))
    assert world.changes() == shop.gold_changes(task) != {}
    assert shop.open().changes() == {}
    assert shop.snapshot_digest() == before


def test_its_rules_are_those_of_its_shop(source):
    assert get_source(source).episode_rules == get_source(source).shop().episode_rules


def test_it_has_a_prompt_of_every_style_and_each_shows_the_rules_or_says_nothing(source):
    shop = get_source(source).shop()
    full, compressed, minimal = (system_prompt(style, source, shop.domain_policy, shop.tools) for style in PromptStyle)
    assert shop.domain_policy in full
    assert all(f"{tool['function']['name']}(" in compressed for tool in shop.tools)
    assert "\n" not in minimal


def test_the_same_seed_gives_the_same_episode(source):
    assert transcript(source, 3) == transcript(source, 3)


def test_a_person_can_play_its_customer(source):
    task = tasks_of(source)[0]
    told = get_source(source).user_briefing(task)
    assert task.instruction.split(".")[0] in told.replace("\n\t", " ") or task.scenario.reason_for_call in told


def test_unknown_versions_and_domains_are_refused(source):
    with pytest.raises(InvalidValueError, match="task_version"):
        get_source(source, "0.0.1")
    with pytest.raises(InvalidValueError, match="domain 'bakery'; known: retail"):
        get_source(source, domain="bakery")


def test_a_source_without_prompts_for_a_model_says_so(page):
    with pytest.raises(InvalidValueError, match=r"'lamps' has no prompts for user_strategy 'llm'.*user_opening"):
        TauRetailEnv(
            source=TOY,
            split="test",
            user_strategy="llm",
            user_model="m",
            user_config={"base_url": "http://localhost:1"},
        )


class Nameless(Source):
    """A source that forgot its name."""

    def splits(self):
        """None."""
        return []

    def load(self, split):
        """None."""
        return []

    def open_shop(self):
        """None."""
        raise NotImplementedError


@pytest.mark.parametrize(
    ("name", "message"), [("", "expected a name"), ("a/b", "expected a name"), ("tau2", "Another")]
)
def test_a_name_that_cannot_be_used_is_refused(monkeypatch, name, message):
    monkeypatch.setattr(Nameless, "name", name)
    with pytest.raises(InvalidValueError, match=message):
        register_source(Nameless)


def test_a_task_of_no_known_source_names_the_known_ones():
    with pytest.raises(InvalidValueError, match="Unknown source 'elsewhere'; known: tau2"):
        source_of(Task("elsewhere/1", "elsewhere", "retail", "test", "", ()))
