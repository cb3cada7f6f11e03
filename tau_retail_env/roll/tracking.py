"""What a run's folder gets beside ROLL's tracker: metrics.jsonl; and the tracker beside numbers: sampled episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tau_retail_env.errors import TauRetailError
from tau_retail_env.runs.episode_table import COLUMNS, Row, as_markdown, row_of, sampled
from tau_retail_env.runs.episode_table import NAME as EPISODES
from tau_retail_env.runs.metric_log import MetricLog
from tau_retail_env.runs.progress import step_line
from tau_retail_env.runs.trajectories import read_trajectories

NAME = "tau_retail"
"""Name under which the tracker stands in ROLL's registry."""
VALIDATIONS = "val-*.jsonl"


class PlayedValidations:
    """The episodes of validations, of files that workers write as they end: each file is read once.

    Args:
        folder: where trajectories are; it may be missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = set(folder.glob(VALIDATIONS))
        self._rows: dict[int, dict[tuple[str, int], Row]] = {}

    def before(self, step: int | None) -> Iterator[tuple[int, list[Row]]]:
        """Validations of steps before one, each with some of its episodes; none comes twice.

        Workers write a while after an episode has ended: hence not yet those of the step itself.

        Args:
            step: ROLL's step; None for all that are left.
        """
        for path in sorted(set(self._folder.glob(VALIDATIONS)) - self._read):
            self._read.add(path)
            with suppress(TauRetailError, OSError):  # a table is no reason to stop a training
                for one in read_trajectories(path):
                    validated = -1 if one.policy_version is None else one.policy_version
                    row = row_of(one, validated)
                    self._rows.setdefault(validated, {})[row.task, row.trial] = row
        for validated in sorted(done for done in self._rows if step is None or done < step):
            yield validated, sampled(self._rows.pop(validated).values())


class JsonlTracker:
    """Writes each step's row to a file first, then hands it to ROLL's own tracker, and tables of validations' episodes.

    A resumed ROLL logs its old rows again: those that the file has already are not written twice.

    Args:
        config: ROLL's configuration as a dict, for its own tracker.
        path: the file.
        tracker: name of ROLL's own tracker.
        tracker_kwargs: what that one is given.
        episodes: the folder that workers write trajectories to.
    """

    say: Callable[[str], None] = staticmethod(lambda line: None)
    """Takes a line for each step; set for this process by `register`."""

    def __init__(
        self, config: dict[str, Any], *, path: str, tracker: str, tracker_kwargs: Mapping[str, Any], episodes: str
    ) -> None:
        from roll.utils.tracking import create_tracker

        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._log = MetricLog(Path(path))
        self._last = max((row["step"] for row in self._log.rows()), default=-1)
        self._validations = PlayedValidations(Path(episodes))
        self._show = {"tensorboard": _as_text, "wandb": _as_table}.get(tracker)
        self._inner = create_tracker(tracker, config, **dict(tracker_kwargs))
        self._last_step = int(config.get("max_steps") or 0) - 1
        self._steps_s: list[float] = []

    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Keep the numbers of a step.

        Args:
            values: numbers by ROLL's name; the `@…` that says how ROLL averages one is left out.
            step: ROLL's step, from 0.
            kwargs: for ROLL's own tracker.
        """
        if step is not None and step > self._last:
            row = {name.rsplit("@", 1)[0]: value for name, value in values.items()}
            self._log.write(step, row)
            self._last = step
            for line in self._lines(step, row):
                self.say(line)
        self._inner.log(dict(values), step=step, **kwargs)
        if step is not None:
            self._show_validations(before=step, now=step)

    def _lines(self, step: int, row: Mapping[str, Any]) -> list[str]:
        """What the step came to, and its validation if it had one."""
        self._steps_s.append(row.get("time/step_total") or 0.0)
        each = sum(self._steps_s) / len(self._steps_s)
        judged = row.get("val/score/mean")
        lines = [] if judged is None else [f"validation of step {step}: mean reward {judged:.3f}"]
        return [
            *lines,
            step_line(f"step {step} (the last is {self._last_step})", row, left_s=each * (self._last_step - step)),
        ]

    def finish(self) -> None:
        """Finish writing."""
        self._show_validations(before=None, now=self._last)
        self._inner.finish()

    def _show_validations(self, *, before: int | None, now: int) -> None:
        if self._show is None:
            return
        for validated, rows in self._validations.before(before):
            # W&B takes no row of an earlier step than the last one; the table says which step it is of.
            at = validated if self._show is _as_text else now
            self._inner.log({EPISODES: self._show(rows)}, step=at)


def _as_text(rows: Sequence[Row]) -> str:
    return as_markdown(rows)


def _as_table(rows: Sequence[Row]) -> Any:
    import wandb  # type: ignore[import-not-found]

    return wandb.Table(columns=list(COLUMNS), data=[list(row.cells) for row in rows])


def register(say: Callable[[str], None]) -> None:
    """Make the tracker known to ROLL in this process, which is the one that tracks.

    Args:
        say: takes a line for each step.
    """
    from roll.utils.tracking import tracker_registry

    JsonlTracker.say = staticmethod(say)
    tracker_registry[NAME] = JsonlTracker
