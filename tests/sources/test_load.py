"""Loading tasks: what each source holds, and what is refused."""

from dataclasses import replace

import pytest

from tau_retail_env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources import find_task, load, load_tasks
from tau_retail_env.sources.generated import SERIES2
from tau_retail_env.tasks import Action
from tau_retail_env.tasks.files import task_line
from tests.fresh_tasks import forget_tasks


def test_tau2_has_upstreams_splits_in_upstreams_order():
    base, train, test = (load_tasks("tau2", split) for split in ("base", "train", "test"))
    assert (len(base), len(train), len(test)) == (114, 74, 40)
    numbers = [int(task.id.removeprefix("tau2/")) for task in base]
    assert numbers == sorted(numbers)
    assert {task.id for task in train} | {task.id for task in test} == {task.id for task in base}


def test_the_default_is_the_whole_training_split_of_tau2():
    assert load_tasks() == load_tasks(source="tau2", split="train", task_subset="all", domain="retail")


def test_generated_tasks_are_loaded_by_the_same_call():
    tasks = load_tasks("generated", "test")
    assert len(tasks) == 4_000
    assert [task.id for task in tasks[:2]] == ["generated/test/0", "generated/test/1"]


def test_tasks_that_another_process_has_loaded_are_not_loaded_again(monkeypatch, tmp_path):
    file = tmp_path / "tasks.jsonl"
    file.write_text("".join(f"{task_line(task)}\n" for task in load_tasks("generated", "train2", "payment")[:3]))
    chosen = ("generated", "test2", "single*returns")
    brought = load_tasks(*chosen)
    left_out = {"exclude_tasks": ["generated/test2/0"]}
    from_file, as_it_was = {"task_file": str(file)}, load.stamped(str(file))
    forget_tasks(monkeypatch)
    loaded = []
    source = load.get_source("generated")
    monkeypatch.setattr(type(source), "load", lambda self, split: loaded.append(split) or [])
    load.bring_tasks(brought[:2], *chosen)
    load.bring_tasks(brought[1:3], *chosen, **left_out)
    load.bring_tasks(brought[3:4], "generated", "train2", "payment", file=as_it_was)
    assert load_tasks(*chosen) == brought[:2]
    assert load_tasks(*chosen, **left_out) == brought[1:3]
    assert load_tasks("generated", "train2", "payment", **from_file) == brought[3:4]
    load_tasks(*chosen).clear()
    assert load_tasks(*chosen) == brought[:2]
    assert not loaded
    with pytest.raises(InvalidValueError, match="is empty"):
        load_tasks("generated", "test2", "single*payment")
    assert loaded == ["test2"]  # another selection is loaded
    file.write_text(file.read_text().splitlines(keepends=True)[0])
    assert len(load_tasks("generated", "train2", "payment", **from_file)) == 1  # as the file is now


def test_a_subset_keeps_the_order_of_its_split():
    base = [task.id for task in load_tasks("tau2", "base")]
    chosen = [task.id for task in load_tasks("tau2", "base", "returns+cancellations*single")]
    assert 0 < len(chosen) < len(base)
    assert chosen == [task_id for task_id in base if task_id in chosen]


def test_the_list_belongs_to_the_caller():
    load_tasks("tau2", "test").clear()
    assert len(load_tasks("tau2", "test")) == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "tau3"}, r"Unknown source 'tau3'; known: tau2, tau_bench, generated\. Did you mean 'tau2'"),
        ({"split": "dev"}, r"Unknown split of source 'tau2' 'dev'; known: base, test, train"),
        (
            {"source": "generated", "split": "base"},
            r"split of source 'generated' 'base'; known: "
            r"test, test2, test3, test4, test5, test6, train, train2, train3, train4, train5, train6",
        ),
        ({"domain": "airline"}, r"Unknown domain 'airline'; known: retail"),
        ({"task_subset": "return"}, r"Unknown task_subset 'return'; known: .* Did you mean 'returns'"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(arguments, message):
    with pytest.raises(InvalidValueError, match=message):
        load_tasks(**arguments)


def test_an_empty_subset_names_the_source_and_split_and_where_there_are_tasks():
    with pytest.raises(
        InvalidValueError, match=r"source 'tau2', split 'test' is empty. It has tasks in split: base, train"
    ):
        load_tasks("tau2", "test", "returns*exchanges")


def test_a_subset_that_no_split_holds_says_so():
    with pytest.raises(InvalidValueError, match=r"source 'generated', split 'test' is empty. No split of this source"):
        load_tasks("generated", "test", "lookup*single")


def test_a_task_is_found_by_its_id():
    assert find_task(load_tasks("tau2", "base"), "tau2/12").id == "tau2/12"


@pytest.mark.parametrize(
    ("task_id", "hint"),
    [("12", "Did you mean 'tau2/12'"), ("tau2/1112", "Did you mean 'tau2/112'"), ("", "'tau2/113'")],
)
def test_an_unknown_task_id_is_refused_with_a_hint(task_id, hint):
    with pytest.raises(
        InvalidValueError, match=rf"Unknown task_id '{task_id}'; the 114 tasks are 'tau2/0' to .*{hint}"
    ):
        find_task(load_tasks("tau2", "base"), task_id)


def test_looking_for_a_task_among_none_is_refused():
    with pytest.raises(InvalidValueError, match="no tasks to look in"):
        find_task([], "tau2/12")


def test_tasks_that_are_named_are_left_out():
    everything = load_tasks("tau2", "train")
    without = load_tasks("tau2", "train", exclude_tasks=["tau2/3", everything[0].id])
    assert [task.id for task in everything if task not in without] == sorted(
        {"tau2/3", everything[0].id}, key=[task.id for task in everything].index
    )
    assert load_tasks("tau2", "train") == everything


def test_a_task_outside_the_subset_may_be_left_out_all_the_same():
    returns = load_tasks("tau2", "train", "returns")
    other = next(task.id for task in load_tasks("tau2", "train") if task not in returns)
    assert load_tasks("tau2", "train", "returns", exclude_tasks=[other]) == returns


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"exclude_tasks": ["tau2/1112"]}, r"exclude_tasks: Unknown task_id 'tau2/1112'; .*Did you mean 'tau2/112'"),
        ({"exclude_tasks": "tau2/3"}, r"exclude_tasks: found 'tau2/3', expected a list of task ids"),
        (
            {"exclude_tasks": (one for one in ["tau2/3"])},
            "exclude_tasks: found <generator .*, expected a list of task ids",
        ),
        ({"exclude_tasks": None}, "exclude_tasks: found None, expected a list of task ids"),
        ({"exclude_tasks": {"tau2/3": True}}, "exclude_tasks: found {.*, expected a list of task ids"),
        (
            {"split": "test", "exclude_tasks": ["tau2/1"]},
            r"exclude_tasks: Unknown task_id 'tau2/1'; the 40 tasks are .*, of split 'test' alone",
        ),
    ],
)
def test_leaving_out_what_is_not_in_the_split_is_refused(arguments, message):
    with pytest.raises(InvalidValueError, match=message):
        load_tasks(**{"source": "tau2", "split": "base", **arguments})


def test_leaving_out_everything_is_refused():
    ids = [task.id for task in load_tasks("tau2", "train", "transfer")]
    with pytest.raises(InvalidValueError, match="is empty once 2 tasks are left out"):
        load_tasks("tau2", "train", "transfer", exclude_tasks=ids)


@pytest.fixture
def task_file(tmp_path):
    path = tmp_path / "more.jsonl"
    path.write_text(
        "".join(f"{task_line(task)}\n" for task in SERIES2.generate("train2", 20, seed=7)), encoding="utf-8"
    )
    return path


def test_a_file_of_tasks_stands_in_the_place_of_a_split(task_file):
    ids = [f"generated/train2-7/{number}" for number in range(20)]
    assert [task.id for task in load_tasks("generated", "train2", task_file=str(task_file))] == ids
    env = TauRetailEnv("generated", "train2", task_file=str(task_file), exclude_tasks=ids[5:])
    assert [task.id for task in env.tasks] == ids[:5]
    assert env.reset(task_id=ids[0])[1]["split"] == "train2"


def test_a_file_that_was_written_again_is_read_again(task_file):
    lines = task_file.read_text(encoding="utf-8").splitlines(keepends=True)
    before = load_tasks("generated", "train2", task_file=str(task_file))
    task_file.write_text("".join(lines[:3]), encoding="utf-8")
    assert load_tasks("generated", "train2", task_file=str(task_file)) == before[:3]


def test_a_folder_is_no_file_of_tasks(tmp_path):
    with pytest.raises(InvalidValueError, match="cannot be read \\(it is a folder\\)"):
        load_tasks("generated", "train2", task_file=str(tmp_path))


def test_tasks_in_hand_are_not_chosen_among():
    with pytest.raises(InvalidValueError, match="exclude_tasks: not together with tasks"):
        TauRetailEnv(tasks=load_tasks(), exclude_tasks=["tau2/5"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "test2"}, r"holds tasks whose split is 'train2', expected 'test2' alone"),
        ({"source": "tau2", "split": "train"}, r"holds tasks whose source is 'generated', expected 'tau2' alone"),
        ({"task_subset": "payment*profile"}, r"in .*more\.jsonl, is empty"),
        ({"exclude_tasks": ["generated/train2/0"]}, r"exclude_tasks: Unknown task_id 'generated/train2/0'; the 20"),
    ],
)
def test_a_file_of_other_tasks_than_asked_for_is_refused(task_file, arguments, message):
    with pytest.raises(InvalidValueError, match=message):
        load_tasks(**{"source": "generated", "split": "train2", "task_file": str(task_file), **arguments})


def test_a_file_that_is_missing_empty_or_holds_a_task_twice_is_refused(task_file, tmp_path):
    with pytest.raises(InvalidValueError, match=r"cannot be read .*tau-retail generate --output"):
        load_tasks("generated", "train2", task_file=str(tmp_path / "none.jsonl"))
    line = task_file.read_text(encoding="utf-8").splitlines(keepends=True)[0]
    for text, words in (("", "holds no task"), (line * 2, "holds generated/train2-7/0 2 times")):
        task_file.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidValueError, match=words):
            load_tasks("generated", "train2", task_file=str(task_file))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward_basis": ("DB", "VIBES")}, "reward_basis of task .* 'VIBES'; known: DB, COMMUNICATE, NL_ASSERTION"),
        ({"domain": "telecom"}, "holds tasks whose domain is 'telecom', expected 'retail' alone"),
        ({"initial_state": {"message_history": ["Hi"]}}, "has an initial_state"),
        ({"actions": (Action("launch", {}),)}, "tool in a gold action of task .* 'launch'; known: calculate"),
        ({"actions": (Action("calculate", {"expression": "1"}, "nobody"),)}, "'nobody'; known: assistant, user"),
        ({"actions": (Action("cancel_pending_order", {"order_id": "#W1"}),)}, "Argument 'reason' of .* is missing"),
    ],
)
def test_a_file_with_a_task_that_cannot_be_judged_is_refused(tmp_path, change, message):
    path = tmp_path / "one.jsonl"
    path.write_text(task_line(replace(SERIES2.generate("train2", 1)[0], **change)), encoding="utf-8")
    with pytest.raises(InvalidValueError, match=rf"task_file: .*{message}"):
        load_tasks("generated", "train2", task_file=str(path))


def test_a_task_in_hand_whose_reward_nobody_judges_is_refused():
    with pytest.raises(InvalidValueError, match="reward_basis of task 'tau2/0' 'VIBES'"):
        TauRetailEnv("tau2", "base", tasks=[replace(load_tasks("tau2", "base")[0], reward_basis=("VIBES",))])
