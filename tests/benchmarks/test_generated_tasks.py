"""The page of the second series counts what training tasks share with a test, and misses nothing that they do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.generated_tasks import (
    contamination,
    distribution,
    edition,
    nearest_texts,
    shared_with_tau2_train,
    shared_writes,
    texts,
)
from tau_retail_env import load_tasks
from tau_retail_env.sources.generated import SERIES2
from tau_retail_env.sources.tau2.tasks import data_folder


def test_a_task_of_the_test_among_the_training_tasks_is_found_by_its_writes_and_by_its_text() -> None:
    test = load_tasks("tau2", "test")
    told_otherwise = replace(test[0], instruction="Something else altogether that nobody has ever said like this.")
    reworded = replace(test[1], actions=(), instruction=f"Well, {test[1].instruction} And that is all of it.")
    own = [*SERIES2.generate("train2", 20), told_otherwise, reworded]
    row = list(contamination({"mixture": texts(own)}, {"τ²": texts(test)}))[-1]
    assert row == "| mixture | τ² | 1 | 1 | 1 | 1.00 |"


def test_unlike_texts_have_little_in_common() -> None:
    test = texts(load_tasks("tau2", "test"))
    assert max(nearest_texts(texts(SERIES2.generate("train2", 200)), test)) < 0.3
    assert nearest_texts(test, test) == [1.0] * len(test)


def test_another_edition_is_read_from_its_files() -> None:
    assert edition(Path(data_folder()), "test") == texts(load_tasks("tau2", "test"))


def test_the_table_tells_what_the_oracle_does() -> None:
    rows = list(distribution({"generated train2": SERIES2.generate("train2", 12)}, episodes=12))
    assert "| reward, mean | 1.0 |" in rows
    assert any(row.startswith("| `get_order_details` an episode | ") for row in rows)


def test_v1s_test_tasks_that_tau2_trains_on_are_named(tau_bench: Path) -> None:
    shared = [task.id for task in shared_with_tau2_train(load_tasks("tau_bench", "test"))]
    assert len(shared) == 74
    assert "tau_bench/test/95" not in shared


def test_splits_that_share_writes_are_counted_on_both_sides() -> None:
    test = load_tasks("tau2", "test")
    own = [*SERIES2.generate("train2", 20), test[0], test[0]]
    rows = list(shared_writes({"mixture": texts(own), "series": texts(own[:20])}, {"τ²": texts(test)}))[2:]
    shared = sum(bool(texts(test[:1])[0].writes & each.writes) for each in texts(test))
    assert rows == [f"| mixture | τ² | 2 | 2 | {shared} | 40 |"]
