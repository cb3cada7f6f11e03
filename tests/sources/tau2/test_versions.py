"""The editions of τ²'s tasks: found in several places, told by their contents, refused where these are another's."""

import json
import shutil

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.sources import find_task, get_source
from tau_retail_env.sources.registry import forget_sources, source_of
from tau_retail_env.sources.tau2 import editions, tasks
from tau_retail_env.sources.tau2.upstream import import_upstream

NEWER = ["1.0", "verified"]


def edition(version):
    """A version that is here; without it the test skips."""
    try:
        return editions.edition_of(version)
    except MissingDependencyError as error:
        pytest.skip(f"needs τ² {version}: {error}")


@pytest.fixture
def fresh():
    """Nothing remembered of where an edition was, before and after."""
    forget_sources()
    yield
    forget_sources()


@pytest.fixture
def nowhere(fresh, monkeypatch, tmp_path):
    """A machine that has the wheel, and no checkout."""
    for repository in editions.REPOSITORIES.values():
        monkeypatch.delenv(repository.variable, raising=False)
    monkeypatch.setattr(editions, "PROJECT", tmp_path)
    return tmp_path


def copy_of_the_wheel(folder, change=lambda rows: None):
    """A checkout with the contents of the wheel, its tasks changed."""
    wheel = editions.installed()
    shutil.copytree(wheel.package, folder / "src" / "tau2", ignore=shutil.ignore_patterns("data", "__pycache__"))
    shutil.copytree(wheel.retail, folder / "data" / "tau2" / "domains" / "retail")
    shutil.copytree(wheel.data / "user_simulator", folder / "data" / "tau2" / "user_simulator")
    file = folder / "data" / "tau2" / "domains" / "retail" / "tasks.json"
    rows = json.loads(file.read_text(encoding="utf-8"))
    change(rows)
    file.write_text(json.dumps(rows), encoding="utf-8")
    return folder


def test_the_default_is_the_wheels_and_every_task_says_so():
    assert {task.version for task in load_tasks("tau2", "base")} == {"0.2"}
    assert load_tasks("tau2", "test") == load_tasks("tau2", "test", task_version="0.2")


def test_the_wheel_is_told_by_its_contents():
    assert editions.installed().version() == "0.2"


@pytest.mark.parametrize("version", NEWER)
def test_a_version_has_upstreams_ids_in_upstreams_order_and_says_which_it_is(version):
    edition(version)
    old, new = load_tasks("tau2", "base"), load_tasks("tau2", "base", task_version=version)
    assert [task.id for task in new] == [task.id for task in old]
    assert {task.version for task in new} == {version}
    assert all(source_of(task) is get_source("tau2", version) for task in new)


@pytest.mark.parametrize(("version", "changed"), [("1.0", 114), ("verified", 35)])
def test_a_version_differs_from_the_wheel_where_the_facts_say(version, changed):
    edition(version)
    rows = [{row["id"]: row for row in editions.edition_of(name).read("tasks.json")} for name in ("0.2", version)]
    differing = [number for number in rows[0] if without_notes(rows[0][number]) != without_notes(rows[1][number])]
    assert len(differing) == changed


def without_notes(row):
    """What a task's customer or judge sees."""
    return row["user_scenario"], row["evaluation_criteria"]


@pytest.mark.parametrize("version", NEWER)
def test_tools_come_with_their_version(version):
    edition(version)
    old, new = (
        {tool["function"]["name"] for tool in get_source("tau2", name).shop().tools} for name in ("0.2", version)
    )
    assert new - old == {"get_item_details"}
    assert old <= new


def test_each_edition_runs_its_own_code_side_by_side():
    edition("1.0")
    old, new = (import_upstream(editions.edition_of(version)) for version in ("0.2", "1.0"))
    assert not hasattr(old.RetailTools, "get_item_details")
    assert hasattr(new.RetailTools, "get_item_details")
    import tau2.domains.retail.tools

    assert old.RetailTools.__base__ is tau2.domains.retail.tools.RetailTools


@pytest.mark.parametrize("version", NEWER)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_oracle_earns_everything_with_the_versions_own_gold(version, seed):
    edition(version)
    env = TauRetailEnv("tau2", "base", task_version=version)
    rewards = {}
    for task in env.tasks:
        observation, info = env.reset(task.id, seed=seed)
        agent, terminated, truncated = OracleAgent(task), False, False
        while not (terminated or truncated):
            observation, reward, terminated, truncated, info = env.step(agent.act(observation, info))
        rewards[task.id] = reward
    assert [name for name, reward in rewards.items() if reward != 1.0] == []
    assert len(rewards) == 114


def test_what_an_agent_reads_says_which_version_is_played():
    edition("1.0")
    env = TauRetailEnv("tau2", "test", task_version="1.0")
    _, info = env.reset(seed=0)
    assert info["task_version"] == "1.0"
    assert "get_item_details" in {tool["function"]["name"] for tool in info["tools"]}


def test_a_number_names_a_version_too():
    edition("1.0")
    assert TauRetailEnv("tau2", "test", task_version=1.0).task_version == "1.0"


def test_tasks_bring_their_version_along():
    edition("1.0")
    newer = load_tasks("tau2", "test", task_version="1.0")
    assert TauRetailEnv("tau2", tasks=newer).task_version == "1.0"


def test_two_versions_in_one_environment_are_refused():
    edition("1.0")
    mixed = [*load_tasks("tau2", "test"), *load_tasks("tau2", "test", task_version="1.0")]
    with pytest.raises(InvalidValueError, match=r"version '0.2', '1.0'.*cannot be compared"):
        TauRetailEnv("tau2", tasks=mixed)


def test_tasks_of_another_version_than_asked_for_are_refused():
    edition("1.0")
    with pytest.raises(InvalidValueError, match=r"have version '0.2', but task_version is '1.0'"):
        TauRetailEnv("tau2", tasks=load_tasks("tau2", "test"), task_version="1.0")


@pytest.mark.parametrize(
    ("version", "remedies"),
    [
        ("1.0", ("git submodule update --init tau2-bench", "TAU2_BENCH_PATH", "a2c0247")),
        ("verified", ("git submodule update --init tau2-bench-verified", "TAU2_BENCH_VERIFIED_PATH", "9d0d5ae")),
    ],
)
def test_a_version_that_is_not_here_is_refused_with_the_way_to_get_it(nowhere, version, remedies):
    with pytest.raises(MissingDependencyError, match="is not here") as caught:
        load_tasks("tau2", "test", task_version=version)
    for remedy in remedies:
        assert remedy in str(caught.value)


@pytest.mark.parametrize("version", ["1.1", "1.00", "", "custom:", "custom:abc", "custom:0123456789AB"])
def test_an_unknown_version_is_refused(version):
    with pytest.raises(InvalidValueError, match=f"source 'tau2' '{version}'; known: 0.2, 1.0, verified, custom"):
        load_tasks("tau2", "test", task_version=version)


def test_a_version_of_a_source_that_has_none_is_refused():
    with pytest.raises(InvalidValueError, match="tasks of source 'generated' have no versions"):
        load_tasks("generated", "test", task_version="1.0")


def test_altered_tasks_under_a_versions_name_are_refused(nowhere, monkeypatch):
    folder = copy_of_the_wheel(nowhere / "mine", lambda rows: rows.pop())
    monkeypatch.setenv("TAU2_BENCH_PATH", str(folder))
    with pytest.raises(InvalidValueError, match=r"TAU2_BENCH_PATH .*holds version 'custom'.*task_version custom"):
        load_tasks("tau2", "test", task_version="1.0")


def test_altered_tasks_are_played_as_custom_under_their_digest(nowhere, monkeypatch):
    def reword(rows):
        rows[0]["user_scenario"]["instructions"]["known_info"] = "You are somebody else."

    folder = copy_of_the_wheel(nowhere / "mine", reword)
    monkeypatch.setenv("TAU2_BENCH_PATH", str(folder))
    env = TauRetailEnv("tau2", "base", task_version="custom")
    digest = editions.edition_of("custom").digest()
    assert env.task_version == f"custom:{digest[:12]}"
    assert {task.version for task in env.tasks} == {env.task_version}
    assert find_task(env.tasks, "tau2/0").scenario.known_info == "You are somebody else."
    assert source_of(env.tasks[0]) is get_source("tau2", "custom")


def test_custom_tasks_of_another_digest_are_refused(nowhere, monkeypatch):
    monkeypatch.setenv("TAU2_BENCH_PATH", str(copy_of_the_wheel(nowhere / "mine", lambda rows: rows.pop())))
    with pytest.raises(InvalidValueError, match="has the digest 000000000000"):
        load_tasks("tau2", "base", task_version="custom:000000000000")


def test_a_reward_that_nobody_judges_is_refused(nowhere, monkeypatch):
    def ask_for_more(rows):
        rows[2]["evaluation_criteria"]["reward_basis"] = ["DB", "ACTION"]

    monkeypatch.setenv("TAU2_BENCH_PATH", str(copy_of_the_wheel(nowhere / "mine", ask_for_more)))
    with pytest.raises(InvalidValueError, match=r"reward_basis of task 'tau2/2' 'ACTION'; known: DB, COMMUN"):
        load_tasks("tau2", "base", task_version="custom")


def test_a_path_that_leads_nowhere_is_an_error_of_its_own(nowhere, monkeypatch):
    monkeypatch.setenv("TAU2_BENCH_PATH", str(nowhere / "typo"))
    with pytest.raises(MissingDependencyError, match=r"TAU2_BENCH_PATH is .*typo.*or unset it"):
        tasks.load("test", "1.0")


def test_a_file_with_other_line_ends_is_the_same_version(nowhere, monkeypatch):
    folder = copy_of_the_wheel(nowhere / "mine")
    retail = folder / "data" / "tau2" / "domains" / "retail"
    tasks_json = (editions.installed().retail / "tasks.json").read_bytes()
    (retail / "tasks.json").write_bytes(tasks_json)
    policy = retail / "policy.md"
    policy.write_bytes(policy.read_bytes().replace(b"\n", b"\r\n"))
    monkeypatch.setenv("TAU2_BENCH_PATH", str(folder))
    assert editions.edition_of("custom").version() == "0.2"
    assert get_source("tau2", "custom").shop().domain_policy == get_source("tau2").shop().domain_policy
