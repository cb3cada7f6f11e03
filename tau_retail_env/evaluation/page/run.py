"""One run of the report: its rows and figures held here, its conversations on a store."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.evaluation.facts import Facts, facts_of
from tau_retail_env.evaluation.outcome import figures, measured, outcomes_of
from tau_retail_env.evaluation.page.episode import Json, conversation_of, row_of, tokens_of
from tau_retail_env.evaluation.page.readers import EVALUATION, EvaluationReader, Found, reader_of
from tau_retail_env.evaluation.page.store import Stores
from tau_retail_env.evaluation.page.tasks import TaskFinder
from tau_retail_env.evaluation.page.tokenizer import token_texts
from tau_retail_env.evaluation.sides import NOT_TOLD, Side
from tau_retail_env.evaluation.validations import settings_after
from tau_retail_env.statistics.passes import mean_of_tasks
from tau_retail_env.tasks import Task

Key = tuple[Any, ...]


class Run:
    """One run of the report.

    Args:
        name: as it was typed.
        stores: where its conversations go.
        tokenizer: the folder of the model's tokenizer; None to look where the run says.

    Raises:
        InvalidValueError: the name means nothing that is known.
    """

    def __init__(self, name: str, stores: Stores, tokenizer: Path | None) -> None:
        self.name = name
        self.rows: dict[Key, Json] = {}
        self._reader = reader_of(name)
        self._stores = stores
        self._settings = self._reader.settings if isinstance(self._reader, EvaluationReader) else None
        self._texts = token_texts([tokenizer] if tokenizer else self._reader.tokenizers())
        self._finder = TaskFinder(self._settings.tasks if self._settings else {})
        self._facts: dict[Key, Facts] = {}
        self._spent: list[Facts] = []
        self._tasks: dict[str, Task] = {}
        self._stamp: object = None

    def read_on(self, progress: Callable[[], object]) -> bool:
        """Take in what was written since; whether there was something.

        Args:
            progress: called after each episode.

        Raises:
            InvalidValueError: a record is damaged.
            Changed: what was read is not there any more.
        """
        before = self._stamp, len(self._facts) + len(self._spent)
        for found in self._reader.new():
            self._take(found)
            progress()
        self._number_trials()
        self._stamp = self._reader.stamp()
        return before != (self._stamp, len(self._facts) + len(self._spent))

    def about(self) -> Json:
        """What the page says of the run: name, kind, settings or curves, figures."""
        entry = {"name": self.name, "kind": self._reader.kind, **self._reader.about()}
        return entry | {"points": self._points(), "figures": self._figures()}

    def sides(self) -> list[Side]:
        """The run as `compare` takes one: of a training run its first and its last validation."""
        steps = self._validated()
        chosen = dict.fromkeys((steps[0], steps[-1])) if steps else {None: None}
        return [self._side(step) for step in chosen]

    def _side(self, step: int | None) -> Side:
        facts = self._judged(step)
        versions = {one.task_version for one in facts} - {None}
        version = self._settings.task_version if self._settings else versions.pop() if len(versions) == 1 else None
        name = self.name if step is None else f"{self.name}@{step}"
        digests = self._settings.tasks if self._settings else {}
        settings = [self._settings] if self._settings else [] if step is None else settings_after(Path(self.name), step)
        return Side(name, self._reader.kind, version or NOT_TOLD, digests, facts, settings)

    def _take(self, found: Found) -> None:
        key, one = found.key, found.episode.trajectory
        task = self._finder.of(one)
        facts = facts_of(found.episode, task)
        known = self._facts.get(key)
        if known is not None and found.part == EVALUATION and known.scorable:
            self._spent.append(facts)
            return
        if known is not None:
            self._spent.append(known)
        if task is not None:
            self._tasks[task.id] = task
        self._facts[key] = facts
        row = row_of(one, facts, task, part=found.part, step=found.step)
        self.rows[key] = row | self._stores.put(conversation_of(one, task), tokens_of(one, self._texts))

    def _number_trials(self) -> None:
        """Number a training run's episodes of a task by their sampling seeds: the same in every validation."""
        keys = defaultdict(list)
        for key in self._facts:
            if key[0] != EVALUATION:
                part, step, _, task_id, *_ = key
                keys[part, step, task_id].append(key)
        for of_task in keys.values():
            for trial, key in enumerate(sorted(of_task)):
                self.rows[key]["trial"] = trial
                self._facts[key] = dataclasses.replace(self._facts[key], trial=trial)

    def _validated(self) -> list[int]:
        """The steps of a training run that were validated."""
        return sorted({key[1] for key in self._facts if key[0] == "val"})

    def _judged(self, step: int | None) -> list[Facts]:
        """The episodes of the evaluation, or of one validation."""
        of_validation = ("val", step)
        return [one for key, one in self._facts.items() if step is None or key[:2] == of_validation]

    def _figures(self) -> Mapping[str, Any] | None:
        """The figures of the evaluation, or of the last validation; None where nothing was played."""
        steps = self._validated()
        facts = self._judged(steps[-1] if steps else None)
        if not facts or (not steps and self._reader.kind == "training"):
            return None
        ids = {one.task_id for one in facts}
        tasks = [task for task in self._tasks.values() if task.id in ids]
        if self._settings is not None:
            return figures(self._settings, facts, self._spent, tasks)
        one_source = tasks if len({task.source for task in tasks}) == 1 else []
        return {
            "task_version": " and ".join(sorted({one.task_version or "unknown" for one in facts})),
            "tasks": len(ids),
            "trials": _most_trials(facts),
            "episodes": {"scored": sum(one.scorable for one in facts), "asked": len(facts)},
            **measured(facts, [], one_source, _most_trials(facts)),
        }

    def _points(self) -> dict[str, list[list[float | None]]]:
        """Success by training step, with its interval over tasks: step, value, low, high, episodes; by part."""
        by_step: dict[tuple[str, int], list[Facts]] = defaultdict(list)
        for key, facts in self._facts.items():
            if key[0] in ("train", "val") and facts.scorable:
                by_step[key[0], key[1]].append(facts)
        found: dict[str, list[list[float | None]]] = defaultdict(list)
        for (part, step), episodes in sorted(by_step.items()):
            rates = [sum(trials) / len(trials) for trials in outcomes_of(episodes).values()]
            one = mean_of_tasks(rates)
            found[part].append([step, one.value, one.interval.low, one.interval.high, len(episodes)])
        return found


def _most_trials(facts: Sequence[Facts]) -> int:
    return max(len({one.trial for one in facts if one.task_id == task}) for task in {one.task_id for one in facts})
