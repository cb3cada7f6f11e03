"""The ROLL engine: from a checked configuration to outputs/<run>/, by ROLL's AgenticPipeline."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from tau_retail_env.config import to_yaml
from tau_retail_env.config.environments import message_limits
from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.roll import tracking
from tau_retail_env.roll.config.check import RollConfig, fit_groups
from tau_retail_env.roll.devices import onto_visible_gpus
from tau_retail_env.roll.nodes import together
from tau_retail_env.roll.preflight import (
    check_cluster,
    check_memory,
    import_what_workers_import,
    preflight,
    with_engines,
)
from tau_retail_env.roll.ray_cluster import QUIET, RayAhead, python_path, ray_ahead, ray_of_its_own
from tau_retail_env.roll.run_folder import claim, remove_empty_folders, scores_of
from tau_retail_env.roll.run_tasks import Loaded
from tau_retail_env.roll.settings import agentic_config
from tau_retail_env.roll.start_times import StartTimes, since_command
from tau_retail_env.roll.summary import record_validations, summarise
from tau_retail_env.roll.trajectory_writer import trajectories_folder
from tau_retail_env.runs import early_stop
from tau_retail_env.runs.files import WriteError, read_rows
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.interruption import Interruption, resumable
from tau_retail_env.runs.interruption import say as say_line
from tau_retail_env.runs.progress import Journal
from tau_retail_env.users.llm.budget import begin_run


def train(config: RollConfig, values: Mapping[str, Any], *, say: Callable[[str], None] = say_line) -> None:
    """Train with ROLL, from a new folder or from a checkpoint.

    Args:
        config: the configuration, checked.
        values: the same as composed; ROLL reads it.
        say: takes each line for the screen.

    Raises:
        TauRetailError: something that the run needs is not here, and no GPU has been touched; or the disk is full.
    """
    journal = Journal(say)
    with claim(config, values) as folder, resumable(folder.path, journal) as interruption, ray_ahead() as ahead:
        try:
            _train_in(folder, config, values, journal, interruption, ahead)
        except WriteError as error:
            if not folder.config.is_file():
                raise
            raise TauRetailError(f"{error}. Fix that, then resume with: resume={folder.path}") from error


def _train_in(
    folder: RunFolder,
    config: RollConfig,
    values: Mapping[str, Any],
    say: Journal,
    interruption: Interruption,
    ahead: RayAhead,
) -> None:
    reached = StartTimes(say)
    begin_run()
    os.environ.update(QUIET)
    attention = ((values.get("actor_train") or {}).get("model_args") or {}).get("attn_implementation")
    loaded = preflight(config, attention=attention, begin=partial(ahead.begin, values))
    counts = {tag: one.number for tag, one in loaded.items()}
    check_memory(values)
    for words, tags in (("training", config.train_tags), ("validation", config.val_tags)):
        say(f"[tau-retail] {words}: {', '.join(f'{tag} ({counts[tag]} tasks)' for tag in tags)}")
    reached("all is looked at")
    os.environ["PYTHONPATH"] = python_path()
    os.environ["ROLL_LOG_DIR"] = str(folder.path / "logs")
    placed = with_engines(values if os.environ.get("RAY_ADDRESS") else onto_visible_gpus(values))
    roll_config = agentic_config(fit_groups(placed, counts), folder)
    import_what_workers_import()
    notes = folder.open(to_yaml(values))
    say.open(folder.log)
    from tau_retail_env.models.checks import cut_messages  # late: preflight has imported transformers beside its work

    cut: list[str] = []
    with suppress(InvalidValueError):  # a model that is not here yet: ROLL fetches it, from another hub perhaps
        cut = cut_messages(checkpoint(config.pretrain), message_limits(values))
    to_do = (*planned(roll_config, config.stop_after_worse), *unjudged(roll_config), *cut)
    for line in (*notes, f"writing to {folder.path}", *to_do):
        say(f"[tau-retail] {line}")
    if reason := ended_early(folder, config, roll_config):
        say(f"[tau-retail] nothing to do: {reason}")
    else:
        tracking.register(lambda line: say(f"[tau-retail] {line}"))
        with ray_of_its_own(say, ahead) as resources:
            check_cluster(config, resources)
            reached("Ray is up")
            with together(config, values, folder.path, say, interruption.end_lost):
                run_pipeline(roll_config, config, say, interruption, loaded)
    remove_empty_folders(folder.path)
    for line in summarise(folder, trajectories_folder(roll_config), title=config.exp_name):
        say(line)
    record_validations(folder.path, trajectories_folder(roll_config), values)
    say(f"everything lies in {folder.path}")


def ended_early(folder: RunFolder, config: RollConfig, roll_config: Any) -> str | None:
    """Why a run that is resumed had ended before its last step; None where it goes on.

    Args:
        folder: the run's, opened.
        config: the run.
        roll_config: ROLL's AgenticConfig.
    """
    rows = ((row["step"], row) for row in read_rows(folder.metrics))
    scores = scores_of(rows, roll_config.critic_warmup)
    return early_stop.reason_to_stop(folder.checkpoints, scores, config.stop_after_worse)


def planned(roll_config: Any, limit: int | None = None) -> list[str]:
    """What will be done.

    Args:
        roll_config: ROLL's AgenticConfig.
        limit: `stop_after_worse`.
    """
    judged = f"a validation of {roll_config.val_batch_size} held-out episodes every {roll_config.eval_steps} steps"
    return [
        f"to do: steps 0 to {roll_config.max_steps - 1} of {roll_config.rollout_batch_size} episodes each, "
        + (judged if roll_config.eval_steps > 0 else "no validation")
        + "; the first step says how long the others will take"
        + early_stop.planned(limit)
    ]


def unjudged(roll_config: Any) -> list[str]:
    """A line where the intervals leave checkpoints without a validation.

    Args:
        roll_config: ROLL's AgenticConfig.
    """
    saved, judged = roll_config.save_steps, roll_config.eval_steps
    if judged <= 0 or saved % judged == 0:
        return []
    return [
        f"save_steps {saved} is no multiple of eval_steps {judged}: a validation judges every checkpoint of "
        f"{math.lcm(saved, judged)} updates and its multiples, and checkpoints/best is one of these"
    ]


def run_pipeline(
    roll_config: Any,
    config: RollConfig,
    say: Callable[[str], None],
    interruption: Interruption,
    loaded: dict[str, Loaded],
) -> None:
    """Make ROLL's pipeline and run it to its last step or an early stop; its tracker is closed whatever happens.

    From the second step on the first signal lets the step end, which is saved then: ROLL saves none after step 0.

    Args:
        roll_config: ROLL's AgenticConfig.
        config: the run.
        say: takes each line for the screen.
        interruption: what signals have asked of the run.
        loaded: the tasks of each tag; empty when they are handed out.

    Raises:
        KeyboardInterrupt, SystemExit: it was interrupted.
    """
    from tau_retail_env.roll.pipeline import TauRetailPipeline

    began = since_command()
    pipeline = TauRetailPipeline(pipeline_config=roll_config, loaded=loaded, reached=StartTimes(say))
    now = since_command()
    say(f"[tau-retail] all roles are up, {now - began:.0f} s after Ray, {now:.0f} s after the command")
    pipeline.min_success, pipeline.filter_groups = config.least_success, config.filter_groups
    pipeline.say, pipeline.interruption = say, interruption
    pipeline.stop_after_worse = config.stop_after_worse
    interruption.finishes = pipeline.state.step >= 0
    try:
        pipeline.run()
    except early_stop.EarlyStop as stop:
        say(f"[tau-retail] stopped early: {stop}")
    except Exception as error:
        if not interruption.is_asked:
            raise
        say(f"[tau-retail] the step could not be finished: {error}")  # such as by a signal that has ended Ray's, too
        interruption.end_if_asked()
    finally:
        interruption.finishes = False
        pipeline.executor.shutdown(wait=False, cancel_futures=True)
        pipeline.tracker.finish()
