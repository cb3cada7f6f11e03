"""The source generated: training tasks of our own, over the shop of τ²-bench."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tau_retail_env.sources.generated import SERIES, tasks
from tau_retail_env.sources.generated.series import Series
from tau_retail_env.sources.tau2.source import Tau2Source
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.shop import Shop

SERIES_OF_SPLIT: dict[str, Series] = {split: series for series in SERIES for split in series.counts}
"""The numbered series by their splits."""


class GeneratedSource(Tau2Source):
    """Our own tasks in τ²'s shop, under τ²'s rules and prompts."""

    name = "generated"
    versions = ()

    def splits(self) -> Iterable[str]:
        """Those of the first series, train and test, train2, test2 and so on of the others."""
        return (*tasks.DEFAULT_COUNTS, *SERIES_OF_SPLIT)

    def load(self, split: str) -> list[Task]:
        """The first tasks of a split."""
        series = SERIES_OF_SPLIT.get(split)
        return series.generate(split) if series else tasks.generate_tasks(split)

    def examples(self, split: str) -> Sequence[Task]:
        """A task for each combination of what subsets ask for; a whole split takes seconds to generate."""
        series = SERIES_OF_SPLIT.get(split)
        return series.examples(split) if series else tasks.examples(split)

    def open_shop(self) -> Shop:
        """The shop of the source tau2: one in a process for both."""
        from tau_retail_env.sources.registry import open_shop  # which lists this class

        return open_shop(Tau2Source.name)
