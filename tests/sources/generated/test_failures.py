"""After a run's episodes, kinds that were lost are drawn more, in proportion to how often they were."""

from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.generated import SERIES2
from tau_retail_env.sources.generated.failures import KINDS_OF_TOOL, kinds_of, weights_after
from tau_retail_env.sources.generated.series2 import KINDS
from tau_retail_env.tasks.writes import WRITE_TOOLS


def test_a_kind_that_was_never_lost_keeps_its_weight_and_one_always_lost_has_ten_times_as_much():
    tasks = SERIES2.generate("train2", 20, seed=1, weights={"fallback": 1})
    usual, lost = weights_after([], KINDS), weights_after([(task, False) for task in tasks], KINDS)
    assert usual == {name: 10 * kind.weight for name, kind in KINDS.items()}
    assert lost == usual | {"fallback": 100 * KINDS["fallback"].weight}
    half = weights_after([(task, number % 2 == 0) for number, task in enumerate(tasks)], KINDS)
    assert usual["fallback"] < half["fallback"] < lost["fallback"]


def test_a_task_of_another_source_stands_for_the_kinds_that_are_like_its_writes():
    assert set(KINDS_OF_TOOL) == WRITE_TOOLS
    assert {kind for kinds in KINDS_OF_TOOL.values() for kind in kinds} <= set(KINDS)
    task = next(task for task in load_tasks("tau2", "train", "single*exchanges"))
    assert kinds_of(task, KINDS) == {"exchange", "fallback", "other_choice"}
