"""The parts of training splits for tuning: what is judged shares nothing with what is trained on meanwhile."""

import importlib.util
import sys

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks.writes import canonical_writes

SPLITS = [("tau2", "train"), ("generated", "train2"), ("generated", "train")]


def ids(tasks):
    return [task.id for task in tasks]


def writes(tasks):
    return frozenset().union(*map(canonical_writes, tasks))


def part(name, splits):
    return [task for source, split in splits for task in load_tasks(source, f"{split}_{name}")]


@pytest.mark.parametrize(("source", "split"), SPLITS)
def test_two_parts_make_up_a_training_split_in_its_order_and_share_no_customer(source, split):
    whole = ids(load_tasks(source, split))
    dev, fit = (load_tasks(source, f"{split}_{name}") for name in ("dev", "fit"))
    place = {task_id: number for number, task_id in enumerate(whole)}
    assert sorted(ids(dev) + ids(fit), key=place.__getitem__) == whole
    assert ids(dev) == sorted(ids(dev), key=place.__getitem__)
    assert not {task.user_id for task in dev} & {task.user_id for task in fit}
    assert 0.1 < len(dev) / len(whole) < 0.3
    assert {task.split for task in dev} == {f"{split}_dev"}


def test_no_write_and_no_text_crosses_between_the_parts_of_any_two_sources(tau_bench, repository):
    splits = [*SPLITS, ("tau_bench", "train")]
    assert not writes(part("dev", splits)) & writes(part("fit", splits))
    compare = generated_tasks(repository)
    benchmarks = [("tau2", "train"), ("tau_bench", "train")]
    nearest = compare.nearest_texts(compare.texts(part("dev", benchmarks)), compare.texts(part("fit", splits)))
    assert max(nearest) < compare.NEAR_DUPLICATE


def test_a_part_is_played_and_chosen_from_like_a_split():
    env = TauRetailEnv("tau2", "train_dev", "returns", exclude_tasks=[load_tasks("tau2", "train_dev")[0].id])
    assert env.reset()[1]["split"] == "train_dev"


def test_what_is_left_out_of_a_training_split_is_left_out_of_its_parts():
    left_out = ids(load_tasks("tau2", "train"))[:8]
    parts = [load_tasks("tau2", f"train_{name}", exclude_tasks=left_out) for name in ("dev", "fit")]
    assert sorted(ids(parts[0]) + ids(parts[1])) == sorted(ids(load_tasks("tau2", "train"))[8:])
    with pytest.raises(InvalidValueError, match="exclude_tasks: Unknown task_id"):
        load_tasks("tau2", "train_dev", exclude_tasks=[load_tasks("tau2", "test")[0].id])


@pytest.mark.parametrize("split", ["test_dev", "base_fit", "train_test", "_dev", "train_dev_dev"])
def test_only_training_splits_have_parts(split):
    with pytest.raises(InvalidValueError, match="known: base, test, train, train_dev, train_fit"):
        load_tasks("tau2", split)


def generated_tasks(repository):
    """The script that compares texts."""
    spec = importlib.util.spec_from_file_location("generated_tasks", repository / "benchmarks" / "generated_tasks.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
