"""Early stop: a run ends when its validations are no longer above the best one, whose weights are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tau_retail_env.runs.checkpoints import BEST, best_in


class EarlyStop(Exception):
    """Raised after a finished step to end a run there; no error. Its text says why."""


def reason_to_stop(checkpoints: Path, scores: Mapping[int, float | None], limit: int | None) -> str | None:
    """Why a run ends with its last validation; None where it goes on.

    What counts follows from the best weights that are kept and from the run's metrics, so a resumed run counts on.

    Args:
        checkpoints: where the run's checkpoints lie.
        scores: of the steps done, in their order, by the step whose weights a validation would have judged, as
            `keep_best` counts; None where there was none, or nothing could be scored.
        limit: `stop_after_worse`.
    """
    best = best_in(checkpoints)
    if limit is None or best is None or not scores or list(scores.values())[-1] is None:
        return None
    since = (score for step, score in scores.items() if step > best["step"] and score is not None)
    worse = sum(score <= best["score"] for score in since)
    if worse < limit:
        return None
    return (
        f"{worse} validation{'s in a row were' if worse > 1 else ' was'} not above the best, {best['score']:.3f} after "
        f"step {best['step']}, whose weights are {checkpoints / BEST} (stop_after_worse: {limit})"
    )


def planned(limit: int | None) -> str:
    """What to add to the words on what will be done; nothing where a run never stops early."""
    if limit is None:
        return ""
    some = "a validation that is" if limit == 1 else f"{limit} validations in a row that are"
    return f"; it ends early after {some} not above the best"


def stop_problems(limit: int | None, *, eval_steps: int, last_step: int, idle_steps: int = 0) -> list[str]:
    """What is wrong with `stop_after_worse` beside a run's lengths: that it could never end it.

    Args:
        limit: `stop_after_worse`.
        eval_steps: steps between validations.
        last_step: after which the run ends anyway, as the validations count.
        idle_steps: first steps in which the model that is judged does not learn: what judges it then may be the best
            one, and is no worse one.
    """
    if limit is None:
        return []
    earliest = eval_steps * (max(1, idle_steps // eval_steps) + limit)
    if earliest < last_step:
        return []
    return [
        f"stop_after_worse: {limit} with eval_steps {eval_steps} could end the run after step {earliest} at the "
        f"earliest, and it ends after step {last_step} anyway; give less, a smaller eval_steps or more max_steps, "
        "or remove it"
    ]
