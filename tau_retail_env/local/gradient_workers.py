"""Fine-tuning on several GPUs of one host: a process for each further GPU computes its share of every gradient.

The first process is the run: it alone has the optimizer, the conversations, checkpoints, metrics and validations. For
each update it hands every worker its rows, sends the weights in the precision that is computed in, and adds the
workers' gradients to its own in fp32. A worker knows no more than the model's shape, so a run may be resumed with any
number of them.

An update moves each weight once (bf16: 2 bytes, fp32: 4) and each gradient once (4 bytes), both in one piece. PyTorch's
DistributedDataParallel would overlap buckets of gradients with the backward pass, but only of the last pass, only where
gradients are not gathered in fp32 over passes, and with a whole trainer in every process.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from transformers import AutoModelForCausalLM, PreTrainedModel

from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.local import models
from tau_retail_env.local.batches import Arrays, as_tensors
from tau_retail_env.local.learner import Learner, Pass
from tau_retail_env.runs.interruption import end_with_parent, signals_held_back

HOST = "127.0.0.1"
END_S = 30.0
"""Seconds that a worker has to end when there is nothing more to learn."""
DYING_S = 5.0
"""Seconds that a process may take to die after its connection has broken."""


class WorkerError(TauRetailError, RuntimeError):
    """A process that computed a share of the gradients has failed; the weights are those of the last update."""


def num_processes(wanted: int | None, rows: int) -> int:
    """How many processes learn: one for each GPU.

    Args:
        wanted: `num_gpus_per_node`; None for all that are visible, at most one for each row. Without a GPU so many
            processes share the processor, one where it is None.
        rows: of an update.

    Raises:
        InvalidValueError: fewer GPUs are visible.
    """
    if models.device().type == "cpu":
        return wanted or 1
    visible = torch.cuda.device_count()
    if wanted is not None and wanted > visible:
        raise InvalidValueError(
            f"num_gpus_per_node: found {wanted}, but {visible} GPUs are visible here (CUDA_VISIBLE_DEVICES); give "
            f"{visible} or fewer, or null for all of them"
        )
    return wanted or min(visible, rows)


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What a worker is told when it begins."""

    config: Any
    arithmetic: Mapping[str, bool]
    rank: int
    processes: int
    port: int


@dataclass(frozen=True)
class _Worker:
    """A worker as the first process sees it."""

    process: SpawnProcess
    line: Connection


class GradientWorkers:
    """All processes that learn, seen from the first; used as a context, at whose end the others have ended.

    Args:
        processes: that learn, this one included. With 1 none is started.
    """

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._workers: list[_Worker] = []
        self._store: Any = None
        self._has_joined = False

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def start(self, model: PreTrainedModel, **arithmetic: bool) -> None:
        """Start the workers; they get ready while this process does other things.

        Args:
            model: of the shape that they learn with.
            arithmetic: the other arguments of `Learner`.
        """
        if self.processes == 1:
            return
        self._store = dist.TCPStore(HOST, 0, self.processes, is_master=True, wait_for_workers=False)
        spawning = multiprocessing.get_context("spawn")
        resource_tracker.ensure_running()  # as it starts it lets signals through again
        for rank in range(1, self.processes):
            settings = _Settings(
                config=model.config,
                arithmetic=arithmetic,
                rank=rank,
                processes=self.processes,
                port=self._store.port,
            )
            ours, theirs = spawning.Pipe()
            process = spawning.Process(target=_work, args=(settings, theirs), daemon=True)
            with signals_held_back():  # and for good: the first process ends the others
                process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))

    def gradients(self, learner: Learner, passes: Sequence[Pass], others: Sequence[Sequence[Arrays]]) -> Tensor:
        """Add the gradient of an update's loss to the weights, as `Learner.gradients` does with all passes alone.

        Args:
            learner: of this process.
            passes: of this process.
            others: passes of each worker; the weights of all passes come to 1.

        Returns:
            The loss of the whole update.

        Raises:
            WorkerError: a worker has failed.
        """
        if not self._workers:
            return learner.gradients(passes)
        if not self._has_joined:
            self._join()
        for worker, share in zip(self._workers, others, strict=True):
            with self._naming_the_dead():
                worker.line.send(share)
        learner.refresh()
        with self._naming_the_dead():
            dist.broadcast(_flat(learner.copies), src=0)
        loss = learner.accumulate(passes)
        # A worker answers once its gradient is there, and not before: in the exchange itself a death is hard to see.
        loss = loss + sum(self._answer(worker) for worker in self._workers)
        gradient = _flat_gradient(learner.weights)
        with self._naming_the_dead():
            dist.reduce(gradient, dst=0)
        _take_gradient(learner.weights, gradient)
        return loss

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers: at once where something went wrong."""
        for worker in self._workers:
            if error is not None:
                worker.process.kill()
            else:
                with suppress(OSError):
                    worker.line.send(None)
        if self._has_joined:
            _leave(torn=error is not None)
        for worker in self._workers:
            worker.process.join(END_S)
            worker.process.kill()
            worker.process.join()
            worker.line.close()

    def _join(self) -> None:
        for worker in self._workers:
            self._answer(worker)
        with self._naming_the_dead():
            _join(self._store, 0, self.processes)
        self._has_joined = True

    def _answer(self, worker: _Worker) -> float:
        """What a worker says: its share of the loss, 0 when it is ready to begin."""
        with self._naming_the_dead():
            said: float | str = worker.line.recv()
        if isinstance(said, str):
            raise WorkerError(f"{self._name(worker)} failed: {said}")
        return said

    @contextmanager
    def _naming_the_dead(self) -> Iterator[None]:
        """Say which worker has died where the connection to it breaks."""
        try:
            yield
        except (EOFError, OSError, RuntimeError) as error:
            ended = wait([worker.process.sentinel for worker in self._workers], timeout=DYING_S)
            dead = next((worker for worker in self._workers if worker.process.sentinel in ended), None)
            if dead is None:
                raise  # of something else, such as a process that loads batches
            dead.process.join()
            status = dead.process.exitcode or 0
            how = f"it was killed by signal {-status}" if status < 0 else f"it ended with status {status}"
            raise WorkerError(f"{self._name(dead)} died: {how}") from error

    def _name(self, worker: _Worker) -> str:
        return f"Process {self._workers.index(worker) + 2} of {self.processes} that learn"


def _work(settings: _Settings, line: Connection) -> None:
    """A worker, from its start to its end; SIGINT and SIGTERM, which may reach all processes, are held back."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        _learn(settings, line.recv, line.send)
    except (EOFError, BrokenPipeError):
        return  # the first process has ended
    except Exception as error:
        with suppress(OSError):
            line.send(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from error


def _learn(settings: _Settings, hear: Callable[[], list[Arrays] | None], answer: Callable[[float], None]) -> None:
    """Compute this worker's share of one gradient after another."""
    models.quiet()
    device = _device(settings.rank)
    torch.set_num_threads(max(1, torch.get_num_threads() // settings.processes))
    model = AutoModelForCausalLM.from_config(
        settings.config, dtype=torch.float32, attn_implementation=settings.config._attn_implementation
    ).to(device)
    learner = Learner(model, **settings.arithmetic)
    answer(0.0)
    store = dist.TCPStore(HOST, settings.port, settings.processes, is_master=False, wait_for_workers=False)
    _join(store, settings.rank, settings.processes)
    weights = _flat(learner.copies)
    while (passes := hear()) is not None:
        dist.broadcast(weights, src=0)
        vector_to_parameters(weights, learner.copies)
        answer(learner.accumulate([as_tensors(one, device) for one in passes]).item())
        dist.reduce(_flat_gradient(learner.weights), dst=0)
        model.zero_grad()
    _leave()


def _device(rank: int) -> torch.device:
    first = models.device()
    return first if first.type == "cpu" else torch.device(first.type, rank)


def _join(store: Any, rank: int, processes: int) -> None:
    """Meet the other processes: through NCCL on GPUs, through gloo on a processor."""
    device = _device(rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", store=store, rank=rank, world_size=processes, device_id=device)
    else:
        dist.init_process_group("gloo", store=store, rank=rank, world_size=processes)


def _leave(*, torn: bool = False) -> None:
    """Part from the other processes.

    Args:
        torn: whether some may be gone already, for whom NCCL would wait.
    """
    group = dist.group.WORLD
    if torn and group is not None and dist.get_backend() == "nccl":
        group.abort()
    else:
        dist.destroy_process_group()


@torch.no_grad()
def _flat(weights: Sequence[nn.Parameter]) -> Tensor:
    """All weights, one after another ``[weights]``."""
    return parameters_to_vector(weights)


def _flat_gradient(weights: Sequence[nn.Parameter]) -> Tensor:
    """The gradients of all weights, one after another ``[weights]``; 0 where a weight has none."""
    return parameters_to_vector([torch.zeros_like(one) if one.grad is None else one.grad for one in weights])


def _take_gradient(weights: Sequence[nn.Parameter], gradient: Tensor) -> None:
    """Put gradients in the place of the weights' own."""
    for weight, part in zip(weights, gradient.split([one.numel() for one in weights]), strict=True):
        if weight.grad is not None:
            weight.grad = part.view_as(weight)
