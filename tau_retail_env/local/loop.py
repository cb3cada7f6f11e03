"""The course of a run, whatever it trains with: load, judge, train step by step, judge again, sum up."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tau_retail_env.blocks import raise_if
from tau_retail_env.config import to_yaml
from tau_retail_env.config.run import RunConfig
from tau_retail_env.episodes.plan import validation_plan
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError, TauRetailError, UserSetupError
from tau_retail_env.evaluation.validations import write_validation
from tau_retail_env.local import checkpoint, models
from tau_retail_env.local.config import LocalConfig, SftConfig
from tau_retail_env.local.config.workers import ModelArgs
from tau_retail_env.local.duration import Duration
from tau_retail_env.local.gradient_workers import DYING_S, WorkerError
from tau_retail_env.local.metrics import customer_row, validation_row
from tau_retail_env.local.rollouts import Rollouts
from tau_retail_env.local.run_folder import claim
from tau_retail_env.local.summary import summarise
from tau_retail_env.local.tensorboard import TensorBoard
from tau_retail_env.runs.bar import Bar
from tau_retail_env.runs.checkpoints import SCORE, keep_best
from tau_retail_env.runs.early_stop import EarlyStop, planned, reason_to_stop, stop_problems
from tau_retail_env.runs.files import WriteError
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.interruption import Interruption, resumable
from tau_retail_env.runs.metric_log import MetricLog, Tracker
from tau_retail_env.runs.progress import Journal, busy, in_words, step_line, validation_line
from tau_retail_env.runs.summary import Outcome, bill
from tau_retail_env.runs.trackers import HOSTED, Hosted, check_tracker
from tau_retail_env.runs.trajectories import write_trajectories
from tau_retail_env.statistics.comparison import success_of
from tau_retail_env.users import user_weights
from tau_retail_env.users.llm.budget import begin_run

Result = TypeVar("Result")


class RunStoppedError(TauRetailError):
    """A run that could not go on: no customer, a full disk, or a process that learnt with it died; resume it."""


class Run:
    """One run from its checked configuration to its summary; used as a context, which closes what was opened.

    Args:
        config: the run.
        values: the same as composed, for the run's folder.
        folder: the folder, claimed and not yet opened.
        model_args: the precision in which the model plays and learns.
        say: takes each line, and is opened with the folder.
        interruption: what signals have asked of it.
    """

    def __init__(
        self,
        config: LocalConfig | SftConfig,
        values: Mapping[str, Any],
        folder: RunFolder,
        model_args: ModelArgs,
        say: Journal,
        interruption: Interruption,
    ) -> None:
        self.config = config
        self.folder = folder
        self._values = values
        self._model_args = model_args
        self.say = say
        self._interruption = interruption
        self._loading_s: dict[str, float] = {}
        self._log: MetricLog | None = None
        self._bar: Any = None
        self._learning: Any = None
        self._steps_s: list[float] = []
        self._validation_s = 0.0
        self._duration: Duration | None = None
        self._trainer: Any = None
        self._num_steps = 0
        self._stopped: list[Trajectory] = []
        strategies = (user_weights(env.env_config.user_strategy) for env in config.custom_envs.values())
        self.has_mixed_customers = len(set().union(*strategies)) > 1

    def __enter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar and the trackers; say how to go on when the disk is full.

        Raises:
            RunStoppedError: in the place of a `WriteError`.
        """
        for bar in (self._learning, self._bar):
            if bar is not None:
                bar.close()
        if self._log is None:
            return
        with suppress(WriteError) if error is not None else nullcontext():
            self._log.close()
        if isinstance(error, WriteError):
            raise RunStoppedError(f"{error}. Fix that, then resume with: resume={self.folder.path}") from error

    def timed(self, phase: str, work: Callable[[], Result]) -> Result:
        """Do some work and note its seconds under a name."""
        start = time.perf_counter()
        result = work()
        self._loading_s[phase] = round(time.perf_counter() - start, 1)
        return result

    def load(
        self, loader: Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerBase]]
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Load the model onto its device, and see to it that its checkpoints will fit on the disk."""
        model, tokenizer = self.timed("model load", loader)
        existing = next(path for path in (self.folder.path, *self.folder.path.parents) if path.is_dir())
        num_weights = sum(weight.numel() for weight in model.parameters())
        checkpoint.check_space(existing, num_weights, keep=self.config.max_ckpt_to_keep)
        self._model, self._tokenizer = model.to(models.device()), tokenizer
        return self._model, self._tokenizer

    def begin(
        self,
        rollouts: Rollouts,
        *,
        num_steps: int,
        evaluate_before: bool = True,
        about: str = "",
        duration: Duration | None = None,
    ) -> None:
        """Open the folder, say what will be done, and judge the model as it is.

        Args:
            rollouts: where episodes are played.
            num_steps: steps of the whole run.
            evaluate_before: whether there is anything to judge before training.
            about: what a step is.
            duration: about how long a step and a validation take, None where nothing is known of it.
        """
        self._rollouts, self._num_steps, self._duration = rollouts, num_steps, duration
        judges = self.config.val_batch_size > 0
        self._episodes = validation_plan(rollouts.tasks, self.config.val_env_manager) if judges else []
        check_tracker(self.config.track_with)
        if self.folder.step > num_steps:
            raise InvalidValueError(
                f"max_steps: found {num_steps}, but {self.folder.checkpoint} holds {self.folder.step} steps; "
                f"give {self.folder.step} or more to resume this run"
            )
        limit, eval_steps = self.config.stop_after_worse, self.config.eval_steps
        raise_if(stop_problems(limit, eval_steps=eval_steps, last_step=num_steps))
        notes = self.folder.open(to_yaml(self._values))
        self._log = MetricLog(self.folder.metrics, trackers(self.folder, self.config))
        self.say.open(self.folder.log)
        is_judged = judges and evaluate_before and self.folder.step == 0 and not self._log.rows()
        for line in (self._headline(), *notes, self._plan(is_judged, about)):
            self.say(line)
        if is_judged:
            try:
                self._log.write(0, self._validate(0))
            except UserSetupError as error:
                raise self._stop(error, 0) from error

    def train(self, trainer: Any) -> None:
        """Train from the last checkpoint, or from the start, to the last step or to an early stop.

        Interrupted, it finishes the step that it learns from, or leaves the one that it plays, and writes a checkpoint
        of the last finished step. A second signal ends it without.

        Raises:
            KeyboardInterrupt, SystemExit: it was interrupted.
            RunStoppedError: no customer is available, or a process that learns died; the last finished step has its
                checkpoint.
            TauRetailError: a process that loads batches died.
        """
        self._trainer = trainer
        self._catch_up(trainer)
        if self.folder.step >= self._num_steps:
            return
        self._bar = tqdm(
            total=self._num_steps, initial=self.folder.step, desc="training", unit="step", leave=False, disable=None
        )
        self._step_start = time.perf_counter()
        last = self.folder.checkpoint
        try:
            with self._interruption.finishing():
                if reason := self._reason_to_stop():  # a resumed run had ended there
                    raise EarlyStop(reason)
                trainer.train(resume_from_checkpoint=str(last) if last else None)
                self._interruption.end_if_asked()
        except EarlyStop as stop:
            planned_steps, self._num_steps = self._num_steps, trainer.save_now() or self.folder.step
            self.say(f"stopped after step {self._num_steps} of {planned_steps}: {stop}")
        except (KeyboardInterrupt, SystemExit):
            if self._interruption.is_clean and (step := trainer.save_now()):
                self.say(f"saved after step {step} of {self._num_steps}")
            raise
        except UserSetupError as error:
            raise self._stop(error, trainer.save_now()) from error
        except WorkerError as error:
            step = trainer.save_now()
            raise RunStoppedError(
                f"{error} -- Stopped after step {step} of {self._num_steps}; everything so far is saved, resume with: "
                f"resume={self.folder.path}"
            ) from error
        except (RuntimeError, OSError, EOFError) as error:
            if not _is_of_a_loader(error):
                raise
            raise TauRetailError(
                f"A process that loads batches died ({_death(error)}): it was killed, or the machine ran out of "
                "memory. Go on with resume=true; dataloader_num_workers=0 needs no such process"
            ) from error
        self._bar.close()

    def _catch_up(self, trainer: Any) -> None:
        """Judge the last checkpoint if the run was stopped while that was done."""
        assert self._log is not None
        rows, last = self._log.rows(), self.folder.checkpoint
        if last is None or not rows or not self._owes_validation(rows[-1]):
            return
        trainer.load_weights(last)
        try:
            self._log.complete(self._validate(self.folder.step))
        except UserSetupError as error:
            raise self._stop(error, self.folder.step) from error

    @contextmanager
    def recording(self, step: int) -> Iterator[list[Trajectory]]:
        """A list for every episode that is played; where no customer is available, it is written before the run stops.

        Args:
            step: the step that the episodes are played for.
        """
        record: list[Trajectory] = []
        try:
            with self._interruption.leaving():
                yield record
        except UserSetupError:
            self._stopped = record
            write_trajectories(self.folder.trajectories("stopped", step), record)
            raise

    def learning(self, step: int, episodes: int) -> None:
        """Begin a bar of what is learnt from in a step.

        Args:
            step: the step.
            episodes: how many go through the model, each as often as it does.
        """
        self._learning = Bar(total=episodes, desc=f"step {step}: learning", unit="episode", leave=False)

    def batch_learnt(self, episodes: int) -> None:
        """Move that bar on by the episodes of a batch."""
        if self._learning is not None:
            self._learning.update(episodes)

    def step_done(self, step: int, numbers: Mapping[str, float], *, rollout_s: float = 0.0) -> None:
        """Write a step's row, with a validation where one is due; end the run after it where a signal has asked, or
        validations have been no better for long enough.

        Args:
            step: the step that has just ended.
            numbers: what was measured in it, by ROLL's name.
            rollout_s: seconds that it played.

        Raises:
            EarlyStop: the run ends here.
            KeyboardInterrupt, SystemExit: a signal has asked.
        """
        assert self._log is not None and self._bar is not None
        if self._learning is not None:
            self._learning.close()
        row = dict(numbers)
        row["time/step_rollout"] = rollout_s
        row["time/step_train"] = time.perf_counter() - self._step_start - rollout_s
        if self._is_validated(step) and not self._interruption.is_asked:  # a resumed run would make up for it
            try:
                row |= self._validate(step)
            except (UserSetupError, KeyboardInterrupt, SystemExit):
                self._log.write(step, row)
                raise
        row["time/step_total"] = time.perf_counter() - self._step_start
        self._log.write(step, row)
        self._steps_s.append(row["time/step_total"] - row.get("time/step_val", 0.0))
        reason = self._reason_to_stop()
        left_s = None if reason else self._left_s(step)
        self.say(step_line(f"step {step} of {self._num_steps}", row, left_s=left_s))
        self._bar.update()
        self._interruption.end_if_asked()
        if reason:
            raise EarlyStop(reason)
        self._step_start = time.perf_counter()

    def finish(self) -> Outcome:
        """Sum up, draw the curves, and say so."""
        assert self._log is not None
        rows = self._log.rows()
        about = models.describe(self._model)
        outcome = summarise(
            self.folder,
            rows,
            last_step=self._num_steps,
            model=about,
            loading_s=self._loading_s,
            title=self.config.exp_name,
        )
        self.say(outcome.text)
        return outcome

    def _validate(self, step: int) -> dict[str, float]:
        start = time.perf_counter()
        label = f"validation after step {step}"
        with self.recording(step) as record:
            trajectories = self._rollouts.play_scorable("val", self._episodes, step=step, label=label, record=record)
        write_trajectories(self.folder.trajectories("val", step), trajectories)
        assert self._log is not None
        self._log.show(step, trajectories)
        write_validation(self.folder.path, step, trajectories, self._values)
        tasks = {task.id: task for pool in self._rollouts.tasks.values() for task in pool}
        row = validation_row(trajectories, tasks, record, mixed=self.has_mixed_customers)
        if self._trainer is not None:
            keep_best(self.folder.checkpoints, step, row.get(SCORE), self._trainer.write_weights)
        self._validation_s = time.perf_counter() - start
        left_s = None if self._steps_s else self._left_s(step)
        self.say(validation_line(step, success_of(trajectories), self._validation_s, left_s=left_s))
        return row | {"time/step_val": self._validation_s}

    def _reason_to_stop(self) -> str | None:
        """Why the run ends early after its last row; None where it goes on, or ends there anyway."""
        if (limit := self.config.stop_after_worse) is None:
            return None
        assert self._log is not None
        scores = {row["step"]: row.get(SCORE) for row in self._log.rows()}
        return None if self._num_steps in scores else reason_to_stop(self.folder.checkpoints, scores, limit)

    def _is_validated(self, step: int) -> bool:
        return bool(self._episodes) and (step == self._num_steps or step % self.config.eval_steps == 0)

    def _owes_validation(self, row: Mapping[str, Any]) -> bool:
        """Whether the run was stopped in the validation after this row's step."""
        return self._is_validated(row["step"]) and "time/step_val" not in row

    def _stop(self, error: UserSetupError, step: int) -> RunStoppedError:
        """The last line of a run that has no customer any more."""
        assert self._log is not None
        rows = [*self._log.rows(), customer_row(self._stopped)]
        return RunStoppedError(
            f"{error} -- Stopped after step {step} of {self._num_steps}; the customers of this run {bill(rows)}; "
            f"everything so far is saved, resume with: resume={self.folder.path}"
        )

    def _headline(self) -> str:
        about = models.describe(self._model)
        return (
            f"{self.config.exp_name}: {about['architecture']} of {about['parameters'] / 1e6:.1f} M parameters on "
            f"{about['device']}; writing to {self.folder.path}"
        )

    def _plan(self, is_judged: bool, about: str) -> str:
        """What will be done, and about how long it takes."""
        first, last = self.folder.step + 1, self._num_steps
        if first > last:
            return f"nothing to do: all {last} steps are done"
        after = [step for step in range(first, last + 1) if self._is_validated(step)]
        validations = len(after) + is_judged
        held_out = f"{validations} validation{'s' * (validations > 1)} of {len(self._episodes)} held-out episodes"
        if not validations:
            return f"to do: steps {first} to {last}" + (f" of {about}" if about else "") + ", no validation"
        when = ", ".join(map(str, ([0] if is_judged else []) + after[:3])) + (" …" if len(after) > 3 else "")
        steps = f"steps {first} to {last}" + (f" of {about}" if about else "")
        how_long = ""
        if self._duration is not None:
            seconds = (last - first + 1) * self._duration.step_s + validations * self._duration.validation_s
            how_long = f"; about {in_words(seconds)} on an idle machine{busy()}"
        early = planned(self.config.stop_after_worse)
        return f"to do: {steps}, {held_out} (after step {when}){how_long}{early}"

    def _left_s(self, step: int) -> float | None:
        """Seconds that the rest will take at the pace so far; None where that is unknown."""
        validations = sum(self._is_validated(later) for later in range(step + 1, self._num_steps + 1))
        if self._steps_s:
            each = sum(self._steps_s) / len(self._steps_s)
        elif self._duration is not None and self._validation_s:  # slower or faster by as much as the validation was
            each = self._duration.step_s * self._validation_s / self._duration.validation_s
        else:
            return None
        return each * (self._num_steps - step) + validations * self._validation_s


def trackers(folder: RunFolder, config: RunConfig) -> list[Tracker]:
    """Who gets every row: TensorBoard, and W&B or trackio where asked.

    Args:
        folder: the run, opened.
        config: names the tracker.
    """
    hosted = [Hosted(config.track_with, folder.path, config.tracker_kwargs)] if config.track_with in HOSTED else []
    return [*hosted, TensorBoard(folder.tensorboard, step=folder.step)]


@contextmanager
def started(
    config: LocalConfig | SftConfig,
    values: Mapping[str, Any],
    model_args: ModelArgs,
    *,
    role: str,
    say: Callable[[str], None],
) -> Iterator[Run]:
    """A run whose folder this process holds, and which says how to resume it, whatever ends it.

    Args:
        config: the run.
        values: the same as composed, for the run's folder.
        model_args: the precision in which the model plays and learns.
        role: the block that `model_args` stands in.
        say: takes each line for the screen.

    Raises:
        TauRetailError: the folder belongs to another process, or the device lacks the precision.
    """
    models.quiet()
    models.check_precision(model_args, f"{role}.model_args")
    journal = Journal(say)
    with (
        claim(config, values) as folder,
        resumable(folder.path, journal) as interruption,
        Run(config, values, folder, model_args, journal, interruption) as run,
    ):
        begin_run()
        yield run


def _is_of_a_loader(error: Exception) -> bool:
    """Whether an error comes from a process that loads batches: torch says so, or its connection broke."""
    if isinstance(error, RuntimeError):
        return "DataLoader worker" in str(error)  # torch has no type of its own for it
    try:
        return any("dataloader" in frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__))
    except RuntimeError as told:  # by torch's signal handler, which speaks wherever this process is
        return _is_of_a_loader(told)


def _death(error: Exception) -> Exception:
    """What torch says of a dead process. It is raised by a signal handler, wherever this process is then, and the
    connection breaks a moment before the signal comes."""
    if not isinstance(error, RuntimeError):
        try:
            time.sleep(DYING_S)
        except RuntimeError as death:
            return death
    return error
