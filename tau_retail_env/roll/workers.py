"""ROLL's workers: learners that skip padding and resume whole, rollout workers that answer environments directly."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from roll.distributed.executor.worker import Worker
from roll.distributed.scheduler.decorator import Dispatch, register
from roll.distributed.scheduler.protocol import DataProto
from roll.pipeline.agentic.agentic_actor_worker import ActorWorker
from roll.pipeline.base_worker import ActorWorker as PlainActorWorker
from roll.pipeline.base_worker import CriticWorker, InferWorker

from tau_retail_env.models.warm_up import start_above_zero
from tau_retail_env.roll import transport  # noqa: F401 — batches are sent by it
from tau_retail_env.roll.engine_ahead import engine_process
from tau_retail_env.roll.engines import set_up_updates
from tau_retail_env.roll.learning import Rows, Sizes, explained_variance, start_at_zero, still, trim_padding
from tau_retail_env.roll.preload import compile_kernels, import_engine, in_background
from tau_retail_env.roll.ranks import TakesItsPort, started_at_once
from tau_retail_env.roll.requests import Requests
from tau_retail_env.roll.value_head import ValueHead, mean_error

FSDP2 = "fsdp2_train"
FSDP2_INFER = "fsdp2_infer"
MEGATRON = ("megatron_train", "megatron_infer")

AS_ROLLS_OWN: Mapping[str, Any] = MappingProxyType(
    {name: True for name in ("trace", "prefetch", "to_remote") if name in inspect.signature(register).parameters}
)
"""How ROLL registers its critic's `train_step`; v0.2.1 knows none of these."""

COUNTERS = {
    "vllm:prefix_cache_queries": "vllm/prefix_cache_queries",
    "vllm:prefix_cache_hits": "vllm/prefix_cache_hits",
    "vllm:generation_tokens": "vllm/generation_tokens",
}
"""What vLLM counts from its start on, in tokens, and the metrics that tell its growth: prompt tokens looked up in the
prefix cache, those found there, and tokens generated."""
HIT_RATE = "vllm/prefix_cache_hit_rate"


class Reference(PlainActorWorker):
    """The model that KL is measured against stays the one that the run began with.

    ROLL's own loads the actor's checkpoint into it when a run is resumed, and KL begins again at 0.
    """

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def initialize(self, pipeline_config: Any) -> None:
        """Load the model.

        Args:
            pipeline_config: ROLL's AgenticConfig.
        """
        with megatron(self):
            super().initialize(from_the_beginning(pipeline_config))
        if self.worker_config.strategy_args.strategy_name == FSDP2_INFER:
            sizes = micro_batches(self.worker_config)
            trim_padding(self.strategy, train=sizes["infer"], infer=sizes["infer"])
        freeze_heap()


class Learner(Worker):
    """What actor and critic have in common: a resumed one gets its optimizer's moments back."""

    part = ""
    """Its folder in a checkpoint."""
    values = False
    """Whether its model is a critic."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def initialize(self, pipeline_config: Any) -> None:
        """Load model and optimizer, from the checkpoint where the run is resumed.

        Args:
            pipeline_config: ROLL's AgenticConfig.
        """
        if self.worker_config.strategy_args.strategy_name != FSDP2:
            with megatron(self):
                super().initialize(pipeline_config)
            freeze_heap()
            return
        super().initialize(from_the_beginning(pipeline_config))
        training = self.worker_config.training_args
        start_above_zero(self.strategy.scheduler, training.get_warmup_steps(training.max_steps))
        self.prepare(self.strategy.model)
        if pipeline_config.resume_from_checkpoint:
            load_checkpoint(self.strategy, Path(pipeline_config.resume_from_checkpoint) / self.part)
        rows = trim_padding(self.strategy, **micro_batches(self.worker_config), values=self.values)
        if rows is not None:
            self.learn_by(rows)
        freeze_heap()

    def prepare(self, model: Any) -> None:
        """Change what ROLL made of the first weights.

        Args:
            model: sharded.
        """
        still(model)

    def learn_by(self, rows: Rows) -> None:
        """Change how the model learns; here nothing.

        Args:
            rows: what runs it.
        """


class LearningActor(Learner, ActorWorker):
    """The actor's learner, whose weights stand at the top of a checkpoint and go to every engine on its GPU."""

    def setup_model_update(self, infer_cluster: Any, model_update_name: str) -> None:
        """Prepare to hand weights on.

        Args:
            infer_cluster: of the rollout workers.
            model_update_name: ROLL's.
        """
        devices = infer_cluster.worker_config.device_mapping
        if len(set(devices)) < len(devices):
            set_up_updates(self.strategy, infer_cluster, model_update_name)
        else:
            super().setup_model_update(infer_cluster, model_update_name)


class LearningCritic(Learner, CriticWorker):
    """The critic's learner: no dropout, a head that is fitted first, gradient checkpointing where it is asked for."""

    part = "critic"
    values = True
    head: ValueHead | None = None
    """None where ROLL's own strategy learns."""

    def prepare(self, model: Any) -> None:
        """As for every learner, and what ROLL's value model lacks.

        Args:
            model: for token classification.
        """
        super().prepare(model)
        start_at_zero(model)
        if not self.worker_config.model_args.disable_gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def learn_by(self, rows: Rows) -> None:
        """During critic_warmup only the head learns, in closed form; then all weights, by gradient.

        Args:
            rows: what runs the model.
        """
        self.head = head = ValueHead(rows)
        learn = self.strategy.train_step

        def train_step(batch: Any, loss_func: Any) -> dict[str, Any]:
            return head.fit(batch) if self.warms_up(batch) else learn(batch, loss_func)

        self.strategy.train_step = train_step

    def warms_up(self, batch: Any) -> bool:
        """Whether a batch is of a step in which only the critic learns."""
        return bool(batch.meta_info["global_step"] < self.pipeline_config.critic_warmup)

    @register(dispatch_mode=Dispatch.DP_MP_COMPUTE, **AS_ROLLS_OWN)
    def train_step(self, data: DataProto) -> DataProto:
        """Learn from a batch, and tell how well it was foreseen.

        Args:
            data: the rows of this GPU, with values and returns.

        Returns:
            ROLL's metrics, and `critic/explained_variance` of the values before the update.
        """
        said, came = data.batch["values"], data.batch["returns"]
        mask = data.batch["response_mask"][:, 1:]
        explained = explained_variance(said, came, mask)
        if self.head is not None and not self.warms_up(data):
            # All values are shifted to the mean that came: gradient steps would overshoot it, by Adam's momentum.
            self.head.shift(above := mean_error(said, came, mask))
            data.batch["values"] = said + above
        # Without ROLL's decorator, which is around this method already.
        answer: DataProto = CriticWorker.train_step.__wrapped__(self, data)
        if explained is not None:
            answer.meta_info["metrics"]["critic/explained_variance"] = explained
        return answer


class RolloutWorker(TakesItsPort, InferWorker):
    """The engine's worker: answers environments itself, and counts each step's tokens.

    While the engine sleeps or its weights change, requests wait here. With another engine than vLLM it is ROLL's own.

    Args:
        worker_config: ROLL's.
    """

    def __init__(self, worker_config: Any) -> None:
        super().__init__(worker_config)
        os.setpgrp()  # for engines that have no process started ahead, too
        self.requests = Requests()
        process = engine_process()
        self.importing = in_background(lambda: import_engine(worker_config.strategy_args.strategy_name, process))
        self.compiling = in_background(lambda: compile_kernels(worker_config, self.importing))

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    async def initialize(self, pipeline_config: Any) -> None:
        """Start the engine, which has been imported meanwhile.

        Args:
            pipeline_config: ROLL's AgenticConfig.
        """
        await asyncio.to_thread(self.importing.join)
        await super().initialize(pipeline_config)
        freeze_heap()

    async def answer(self, prompt_ids: list[int], generation_config: dict[str, Any]) -> tuple[list[int], list[float]]:
        """Go on after a prompt.

        What is broken off goes on when the engine is awake again, with its new weights. Drawn anew, as in ROLL, long
        messages would become rarer than the model makes them, since they are the ones under way.

        Args:
            prompt_ids: its tokens.
            generation_config: ROLL's, with `max_new_tokens`.

        Returns:
            The new tokens, the one that ended them included, and their log-probabilities, each by the weights that drew
            it.
        """
        tokens: list[int] = []
        logprobs: list[float] = []
        while room := generation_config["max_new_tokens"] - len(tokens):
            parameters = sampling(generation_config | {"max_new_tokens": room}, self.tokenizer)
            request = {"input_ids": prompt_ids + tokens, "sampling_params": parameters}
            answer = await self.requests.ask(partial(self._generate, request))
            tokens += next(iter(answer.get("output_token_ids", ())), ())
            logprobs += next(iter(answer.get("output_logprobs", ())), ())
            if "abort" not in answer["finish_reasons"]:
                break
        return tokens, logprobs

    async def _generate(self, request: Mapping[str, Any], name: str) -> dict[str, Any]:
        answer: dict[str, Any] = await self.strategy.generate_request({**request, "rid": name})
        return answer

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    async def load_states(self, *args: Any, **kwargs: Any) -> None:
        """Wake the engine up, then let requests in.

        Args:
            args: ROLL's.
            kwargs: ROLL's.
        """
        await self.strategy.load_states(*args, **kwargs)
        self.requests.let_in()

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    async def offload_states(self, *args: Any, **kwargs: Any) -> None:
        """Break off the requests under way, which go on when it wakes up, then put the engine to sleep.

        Args:
            args: ROLL's.
            kwargs: ROLL's.
        """
        await self.requests.break_off(self.strategy.abort_requests)
        await self.strategy.offload_states(*args, **kwargs)

    @register(dispatch_mode=Dispatch.DP_MP_COMPUTE)
    def get_metrics(self, metric_names: list[str] | None = None) -> DataProto:
        """The engine's metrics since the last call.

        Args:
            metric_names: which of ROLL's own, None for all.

        Returns:
            `meta_info["metrics"]` by name; of several workers ROLL takes the mean.
        """
        answer = super().get_metrics(metric_names)
        counted = engine_counters()
        answer.meta_info["metrics"] |= growth(getattr(self, "_counted", {}), counted)
        self._counted = counted
        return answer


RolloutWorkers = started_at_once(RolloutWorker)
"""What ROLL makes the role of."""


def sampling(generation_config: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """Sampling parameters of vLLM as ROLL makes them, but that no text is made: only tokens are used.

    vLLM otherwise decodes each token twice, for the text and beside its log-probability, in the one process through
    which all answers of an engine go.

    Args:
        generation_config: ROLL's.
        tokenizer: the engine's.
    """
    from roll.distributed.strategy.vllm_strategy import create_sampling_params_for_vllm

    ends = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    made: dict[str, Any] = create_sampling_params_for_vllm(generation_config | {"eos_token_id": ends})
    return made | {"detokenize": bool(made["stop"])}


def micro_batches(worker_config: Any) -> dict[str, Sizes]:
    """What a role's configuration says of its micro-batches, `train` and `infer`.

    Args:
        worker_config: ROLL's; its `use_dynamic_batching_…` are not asked for.
    """
    return {
        kind: Sizes(
            getattr(worker_config, f"max_tokens_per_microbatch_in_{kind}"),
            getattr(worker_config, f"sequence_length_round_in_{kind}"),
        )
        for kind in ("train", "infer")
    }


@contextmanager
def megatron(worker: Any) -> Iterator[None]:
    """Mend ROLL's strategy on Megatron while a worker is initialized; another one stays as it is.

    Args:
        worker: a learner or a reference.
    """
    if worker.worker_config.strategy_args.strategy_name not in MEGATRON:
        yield
        return
    from tau_retail_env.roll.megatron import mended, prepare  # Megatron is not in every environment

    with mended():
        yield
    sizes = micro_batches(worker.worker_config)
    prepare(worker.strategy, train=sizes["train"].multiple, infer=sizes["infer"].multiple)


def freeze_heap() -> None:
    """Have Python's garbage collector leave alone all objects that there are now, as vLLM does in its own processes.

    ROLL collects garbage after each call of a worker, and the call ends when all of the process's objects have been
    looked at: some 500,000, most of them of imported modules.
    """
    gc.collect()
    gc.freeze()


def from_the_beginning(pipeline_config: Any) -> Any:
    """The configuration as of a run that is not resumed."""
    fresh = copy.copy(pipeline_config)
    fresh.resume_from_checkpoint = False
    return fresh


def load_checkpoint(strategy: Any, folder: Path) -> None:
    """Load a checkpoint whole into an FSDP2 strategy.

    PyTorch's distributed checkpoint fills in what is there: into an optimizer that has not stepped yet, as ROLL gives
    it, it loads the learning rate and no moment.

    Args:
        strategy: ROLL's, initialized and offloaded; it is offloaded again.
        folder: of the role, with `dcp/` in it.
    """
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    strategy.load_states()
    get_optimizer_state_dict(strategy.model, strategy.optimizer)  # gives the optimizer its moments, still empty
    strategy.load_checkpoint(load_dir=str(folder), tag="checkpoint")
    strategy.offload_states()


def engine_counters() -> dict[str, float]:
    """The counters of the vLLM in this process, under our names; empty without vLLM."""
    try:
        from vllm.v1.metrics.reader import get_metrics_snapshot  # type: ignore[import-not-found]
    except ImportError:
        return {}
    return add_up(get_metrics_snapshot())


def add_up(snapshot: Iterable[Any]) -> dict[str, float]:
    """Add up the counters that we tell over their labels.

    Args:
        snapshot: vLLM's metrics, each with `name`, and `value` where it is a counter.
    """
    sums: dict[str, float] = {}
    for metric in snapshot:
        if (name := COUNTERS.get(metric.name)) is not None:
            sums[name] = sums.get(name, 0.0) + float(metric.value)
    return sums


def growth(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """What was counted since the last look.

    Args:
        before: the counters then; one that is missing was 0.
        now: the counters now.

    Returns:
        The differences, and the share of the looked-up prompt tokens that the cache had, where there were any.
    """
    grown = {name: value - before.get(name, 0.0) for name, value in now.items()}
    if queries := grown.get("vllm/prefix_cache_queries"):
        grown[HIT_RATE] = grown["vllm/prefix_cache_hits"] / queries
    return grown
