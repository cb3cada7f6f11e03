"""Broken checkouts, and tasks of other forms: refused in one line that says where, what and how to fix it."""

import json

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.cli.main import main
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources import find_task, get_source
from tau_retail_env.sources.registry import forget_sources
from tau_retail_env.sources.tau2 import editions
from tau_retail_env.world.reward import judge
from tests.sources.tau2.test_versions import copy_of_the_wheel

TOOLS = "src/tau2/domains/retail/tools.py"
DATA = "data/tau2/domains/retail/"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The folder that TAU2_BENCH_PATH names; nothing remembered of where an edition was, before and after."""
    forget_sources()
    monkeypatch.setenv("TAU2_BENCH_PATH", str(tmp_path / "mine"))
    yield tmp_path / "mine"
    forget_sources()


def remove(file):
    file.unlink()


def make_folder(file):
    file.unlink()
    file.mkdir()


def holding(content):
    return lambda file: file.write_bytes(content)


def order_of_nobody(file):
    database = json.loads(file.read_text(encoding="utf-8"))
    database["orders"]["#W2378156"]["user_id"] = "nobody"
    file.write_text(json.dumps(database), encoding="utf-8")


BROKEN = [
    (TOOLS, remove, "cannot be read (No such file or directory)"),
    (TOOLS, holding(b"class RetailTools(:"), "cannot be imported (SyntaxError"),
    (DATA + "policy.md", remove, "cannot be read (No such file or directory)"),
    (DATA + "policy.md", holding(b"caf\xe9"), "is not written in UTF-8"),
    (DATA + "split_tasks.json", remove, "cannot be read (No such file or directory)"),
    (DATA + "split_tasks.json", holding(b'{"test": "2"}'), "expected an object of lists of task ids"),
    (DATA + "tasks.json", holding(b'[{"id": "0"'), "is no JSON"),
    (DATA + "tasks.json", holding(b"[caf\xe9]"), "is not written in UTF-8"),
    (DATA + "tasks.json", holding(b'{"tasks": []}'), "holds an object, expected a list of tasks"),
    (DATA + "tasks.json", holding(b"[]"), "holds an empty list, expected a list of tasks"),
    (DATA + "tasks.json", make_folder, "cannot be read (Is a directory)"),
    (DATA + "db.json", make_folder, "cannot be read (Is a directory)"),
    (DATA + "db.json", holding(b"{}"), "has no 'products'"),
    (DATA + "db.json", order_of_nobody, "holds order '#W2378156' of 'nobody', but no such user"),
    (DATA + "db.json", holding(b'{"products":{"1":{}},"users":{"1":{}},"orders":{"1":{}}}'), "is no database"),
]


@pytest.mark.parametrize(("name", "breaks", "problem"), BROKEN)
def test_a_broken_file_ends_a_command_in_one_line(mine, capsys, name, breaks, problem):
    copy_of_the_wheel(mine)
    breaks(mine / name)
    for command in (["tasks"], ["audit", "--limit", "1"], ["eval", "--limit", "1", "--output", str(mine / "out")]):
        assert main([*command, "--task-version", "custom"]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: TAU2_BENCH_PATH: {mine / name} ")
        assert problem in error
        assert "; correct it, set TAU2_BENCH_PATH to a whole checkout of sierra-research/tau2-bench, or" in error


def test_a_checkout_without_prompts_of_a_customer_is_told_before_anything_is_started(mine, capsys, tmp_path):
    copy_of_the_wheel(mine)
    (mine / "data/tau2/user_simulator/simulation_guidelines.md").unlink()
    customer = ["--user-strategy", "llm", "--user-model", "m", "--user", "base_url=http://127.0.0.1:1/v1"]
    folder = tmp_path / "out"
    assert main(["eval", "--agent", "small", "--task-version", "custom", "--output", str(folder), *customer]) == 2
    error = capsys.readouterr().err
    assert "has no prompt of a customer" in error and "simulation_guidelines.md" in error
    overrides = ["user_strategy=llm", "user_model=m", "task_source=tau2", "task_version=custom"]
    assert main(["train", "--config-name", "tau_retail_local", *overrides, f"output_dir={folder}"]) == 2
    assert "has no prompt of a customer" in capsys.readouterr().err
    assert not folder.exists()


def test_doctor_shows_a_broken_checkout_and_goes_on(mine, capsys):
    copy_of_the_wheel(mine)
    (mine / DATA / "policy.md").unlink()
    main(["doctor", "--json"])
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert "policy.md cannot be read" in found["tau2 1.0"]["found"]
    assert found["tau2 1.0"]["remedy"].startswith("unset TAU2_BENCH_PATH, or export")
    assert found["tau2"]["status"] == "ok"


def criteria(key, value):
    return lambda rows: rows[2]["evaluation_criteria"].__setitem__(key, value)


def last_call(name, value):
    return lambda rows: rows[2]["evaluation_criteria"]["actions"][-1]["arguments"].__setitem__(name, value)


WRITE = "of return_delivered_order_items in a gold action of task 'tau2/2'"
REFUSED = [
    (last_call("order_id", ["#W2378156"]), rf"'order_id' {WRITE} is \['#W2378156'\], expected a text"),
    (last_call("order_id", 5), rf"'order_id' {WRITE} is 5, expected a text"),
    (last_call("item_ids", None), rf"'item_ids' {WRITE} is None, expected a list of texts"),
    (last_call("item_ids", [["4602305039"]]), rf"'item_ids' {WRITE} is \[\['4602305039'\]\], expected a list of texts"),
    (last_call("colour", "red"), rf"argument {WRITE} 'colour'; known: item_ids, order_id, payment_method_id"),
    (
        lambda rows: rows[2]["evaluation_criteria"]["actions"][-1]["arguments"].pop("order_id"),
        rf"'order_id' {WRITE} is missing",
    ),
    (
        lambda rows: rows[2].__setitem__("initial_state", {"message_history": [{"role": "user", "content": "Hi"}]}),
        r"Task 'tau2/2' has an initial_state .*leave it out",
    ),
    (lambda rows: rows[2]["user_scenario"].__setitem__("instructions", "x"), r"'2' .*instructions is 'x', expected an"),
    (criteria("nl_assertions", [5]), r"Task '2' .*nl_assertions\[0\] is 5, expected a text"),
    (criteria("nl_assertions", "Agent should tell"), r"Task '2' .*nl_assertions is 'Agent .*, expected a list"),
    (criteria("reward_basis", None), r"Task '2' .*reward_basis is None, expected a list"),
    (
        lambda rows: rows[2]["evaluation_criteria"]["actions"][0].__setitem__("arguments", "x"),
        r"Task '2' .*actions\[0\]\.arguments is 'x', expected an object",
    ),
    (lambda rows: rows[2].pop("user_scenario"), r"Task '2' .*user_scenario is missing"),
    (lambda rows: rows[2].__setitem__("id", 2), r"tasks\.json holds a task whose id is 2, expected a text"),
    (lambda rows: rows[3].__setitem__("id", "2"), r"tasks\.json holds task '2' 2 times"),
    (lambda rows: rows.pop(2), r"split_tasks\.json names task '2' in split 'base'"),
    (
        lambda rows: rows[2]["evaluation_criteria"]["actions"][0].__setitem__("name", "launch"),
        r"gold action of task 'tau2/2' 'launch'; known: calculate",
    ),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_a_task_that_cannot_be_played_is_refused_by_its_id(mine, change, message):
    copy_of_the_wheel(mine, change)
    with pytest.raises(InvalidValueError, match=message):
        load_tasks("tau2", "base", task_version="custom")


WHATEVER = {("orders", "#W1"): "changed"}
"""Changes that no gold action makes."""


@pytest.mark.parametrize(
    ("change", "basis"),
    [
        (lambda rows: rows[2].__setitem__("evaluation_criteria", None), ()),
        (criteria("reward_basis", []), ()),
        (lambda rows: rows[2]["evaluation_criteria"].update(actions=None, communicate_info=[]), ("COMMUNICATE",)),
    ],
)
def test_what_upstream_does_not_judge_earns_the_whole_reward(mine, change, basis):
    copy_of_the_wheel(mine, change)
    task = find_task(load_tasks("tau2", "base", task_version="custom"), "tau2/2")
    assert task.reward_basis == basis
    assert judge(task, WHATEVER, get_source("tau2", "custom").shop().gold_changes(task), []).value == 1.0


def test_a_gold_look_up_may_lack_an_argument_as_one_of_verifieds_does(mine):
    copy_of_the_wheel(mine, lambda rows: rows[2]["evaluation_criteria"]["actions"][0].__setitem__("arguments", {}))
    assert find_task(load_tasks("tau2", "base", task_version="custom"), "tau2/2").actions[0].arguments == {}


def test_an_initial_state_that_says_nothing_is_none(mine):
    copy_of_the_wheel(mine, lambda rows: rows[2].__setitem__("initial_state", {"message_history": []}))
    assert len(TauRetailEnv("tau2", "base", task_version="custom").tasks) == 114


def test_an_assertion_that_no_rule_can_read_names_its_task(mine):
    copy_of_the_wheel(
        mine,
        lambda rows: rows[2]["evaluation_criteria"].update(nl_assertions=[" "], reward_basis=["DB", "NL_ASSERTION"]),
    )
    with pytest.raises(InvalidValueError, match=r"Task 'tau2/2': The assertion ' ' has a form"):
        TauRetailEnv("tau2", "base", task_version="custom")


def test_an_installed_package_that_is_broken_says_how_to_install_it_anew():
    message = str(editions.installed().broken("policy.md", "cannot be read"))
    assert message.startswith("the installed package tau2: ")
    assert message.endswith(f"; install it anew: {editions.REINSTALL_COMMAND}")
