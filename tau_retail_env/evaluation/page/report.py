"""The report of some runs as the page reads it: an index of all, and parcels of conversations and tokens."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import tau_retail_env
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.compare import as_json as comparison
from tau_retail_env.evaluation.compare import compare
from tau_retail_env.evaluation.failures import KINDS
from tau_retail_env.evaluation.faults import PARTIES
from tau_retail_env.evaluation.page.episode import Json
from tau_retail_env.evaluation.page.readers import Changed
from tau_retail_env.evaluation.page.run import Run
from tau_retail_env.evaluation.page.store import Stores
from tau_retail_env.evaluation.sides import Side
from tau_retail_env.runs.curves import PANELS
from tau_retail_env.tasks import SUBSETS

MEANINGS = MappingProxyType({"failures": dict(KINDS), "parties": dict(PARTIES)})


class Report:
    """What the page shows of some runs.

    Args:
        names: the runs, as they were typed.
        tokenizer: the folder of the model's tokenizer; None to look where each run says.

    Raises:
        InvalidValueError: a name that means nothing known, or one that is given twice.
    """

    def __init__(self, names: Sequence[str], tokenizer: Path | None = None) -> None:
        if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
            raise InvalidValueError(f"{twice} is given twice; name each run once")
        self._tokenizer = tokenizer
        self.stores = Stores()
        self._runs = [Run(name, self.stores, tokenizer) for name in names]

    def read_on(self, progress: Callable[[], object] = lambda: None) -> bool:
        """Take in what the runs have written since; whether there was something.

        Args:
            progress: called after each episode.

        Raises:
            InvalidValueError: a record is damaged.
        """
        is_new = False
        for place, run in enumerate(self._runs):
            try:
                is_new |= run.read_on(progress)
            except Changed:
                anew = Run(run.name, self.stores, self._tokenizer)
                anew.read_on(progress)
                self._runs[place], is_new = anew, True
        self.stores.close_parcels()
        return is_new

    def rows(self) -> list[Json]:
        """The episodes of all runs, each with its run's number."""
        return [row | {"run": number} for number, run in enumerate(self._runs) for row in run.rows.values()]

    def index(self, rows: Sequence[Json]) -> Json:
        """All that the page needs at once.

        Args:
            rows: the episodes that it lists.
        """
        return {
            "package": tau_retail_env.__version__,
            "made": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "runs": [
                run.about() | {"label": label}
                for run, label in zip(self._runs, labels([run.name for run in self._runs]), strict=True)
            ],
            "comparisons": self._comparisons(),
            "subsets": [name for name in SUBSETS if name != "all"],
            "meanings": dict(MEANINGS),
            "panels": [[panel.title, list(panel.lines)] for panel in PANELS],
            "texts": list(self.stores.texts),
            "rows": list(rows),
            "episodes": sum(len(run.rows) for run in self._runs),
        }

    def _comparisons(self) -> list[Json]:
        """Each run with the first; of training runs the last validation, and each one's first with its last."""
        sides = [run.sides() for run in self._runs]
        pairs = [pair for of_run in sides for pair in pairwise(of_run)]
        pairs += [(sides[0][-1], of_run[-1]) for of_run in sides[1:]]
        return [_compared(first, second) for first, second in pairs if first.episodes and second.episodes]


def labels(names: Sequence[str]) -> list[str]:
    """Short names of runs: without the folders that all of them share.

    Args:
        names: as they were typed.
    """
    parts = [Path(name).parts for name in names]
    shared = 0
    while all(len(one) > shared + 1 for one in parts) and len({one[shared] for one in parts}) == 1:
        shared += 1
    return [str(Path(*one[shared:])) if one else name for one, name in zip(parts, names, strict=True)]


def _compared(first: Side, second: Side) -> Json:
    try:
        return comparison(compare(first, second))
    except InvalidValueError as error:
        return {"first": {"name": first.name}, "second": {"name": second.name}, "refused": str(error)}
