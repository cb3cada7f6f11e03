"""Loading tasks: what each source holds, and what is refused."""

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources import find_task, load_tasks


def test_tau2_has_upstreams_splits_in_upstreams_order():
    base, train, test = (load_tasks("tau2", split) for split in ("base", "train", "test"))
    assert (len(base), len(train), len(test)) == (114, 74, 40)
    numbers = [int(task.id.removeprefix("tau2/")) for task in base]
    assert numbers == sorted(numbers)
    assert {task.id for task in train} | {task.id for task in test} == {task.id for task in base}


def test_the_default_is_the_whole_test_split_of_tau2():
    assert load_tasks() == load_tasks(source="tau2", split="test", task_subset="all", domain="retail")


def test_generated_tasks_are_loaded_by_the_same_call():
    tasks = load_tasks("generated", "test")
    assert len(tasks) == 4_000
    assert [task.id for task in tasks[:2]] == ["generated/test/0", "generated/test/1"]


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
            r"split of source 'generated' 'base'; known: test, test2, train, train2",
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
