"""What a step of ROLL costs besides what GPUs do: python benchmarks/roll_step.py

In the environment of the engine roll, or on any machine with ROLL and its Python packages; no GPU is needed. ROLL's own
loop runs over a batch of episodes as long as a run's, with real Ray, in whose processes stand-ins for the workers
answer at once: what remains is the way of the batch to them and back, what the loop computes itself, and what ROLL does
around each call. Sides, each in a Ray of its own:

  roll    ROLL's pipeline as it is
  ours    tau_retail_env/roll/pipeline.py, and workers and batches as in a run

By default the batch is that of the recorded run on four GPUs (docs/runs/roll_four_gpus). The median of the steps after
the first is told. On a machine with fewer cores than workers, or with other work, only the ratio means anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATHS = [path for path in (str(ROOT), os.environ.get("ROLL_PATH")) if path]
sys.path[:0] = PATHS

SIDES = ("roll", "ours")
PARTS = {
    "episodes to the loop": "time/step_rollout",
    "reference's log-probs": "time/step_ref_log_probs_values_reward",
    "actor's log-probs, values": "time/step_old_log_probs_values",
    "rewards": "time/step_cal_token_reward",
    "advantages": "time/step_adv",
    "training, actor and critic": "time/step_train",
    "metrics of the batch": "time/step_compute_data_metrics",
}
"""Parts of a step, by ROLL's name."""
TOTAL = "time/step_total"
PROMPT, TURNS, OWN = 1450, 12, 1390
"""Of an episode: tokens of its first prompt, the actor's turns, the actor's tokens, all about as recorded."""


def main() -> None:
    """Measure both sides and print a table."""
    options = _options()
    if options.side:
        print(json.dumps(measure(options)))
        return
    found = {side: _in_a_process(side) for side in SIDES}
    print(f"{options.rows} episodes, {options.tokens} tokens at most, {options.workers} workers a role; seconds")
    print(f"{'':32}{'ROLL':>9}{'ours':>9}{'ratio':>9}")
    for label in found["roll"]:
        theirs, ours = (found[side][label] for side in SIDES)
        print(f"{label:32}{theirs:9.3f}{ours:9.3f}{theirs / max(ours, 1e-9):8.1f}x")


def _in_a_process(side: str) -> dict[str, float]:
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side}: exit status {done.returncode}\n{done.stderr[-3000:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Run one side.

    Args:
        options: of the command line.

    Returns:
        Seconds by part.
    """
    os.environ.setdefault("ROLL_LOG_DIR", tempfile.mkdtemp(prefix="roll_logs."))
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import ray

    variables = {"PYTHONPATH": os.pathsep.join(PATHS), "ROLL_LOG_DIR": os.environ["ROLL_LOG_DIR"]}
    ray.init(
        namespace="roll",
        include_dashboard=False,
        runtime_env={"env_vars": variables},
        num_cpus=4,
        object_store_memory=options.store_gib * 2**30,
        log_to_driver=False,
    )
    pipeline, rows = _pipeline(options)
    pipeline.run()
    ray.shutdown()
    told = {label: statistics.median(row[name] for row in rows[1:]) for label, name in PARTS.items()}
    total = statistics.median(row[TOTAL] for row in rows[1:])
    return told | {"what no part names": total - sum(told.values()), "step": total}


def _pipeline(options: argparse.Namespace) -> tuple[Any, list[dict[str, float]]]:
    """ROLL's or our pipeline between stand-ins, and the list that will hold its metrics."""
    import ray
    from roll.distributed.scheduler.transfer_backend import init_transfer_backend
    from roll.pipeline.agentic.agentic_pipeline import AgenticPipeline
    from roll.utils.kl_controller import get_kl_controller
    from roll.utils.worker_state import WorkerState

    init_transfer_backend(None)
    kind = AgenticPipeline
    if options.side == "ours":
        from tau_retail_env.roll.pipeline import TauRetailPipeline

        kind = TauRetailPipeline

    class Pipeline(kind):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            self.pipeline_config = _config(options)

        def model_update(self, _: int) -> dict[str, Any]:
            return {}

        def do_checkpoint(self, *_: Any, **__: Any) -> None:
            pass

    one, rows = Pipeline(), []
    config = one.pipeline_config
    one.use_ref_model, one.partial_gpu_mode, one.reward = True, False, None
    one.kl_ctrl = get_kl_controller(config.init_kl_coef, config.target_kl, config.kl_horizon)
    one.state, one.executor = WorkerState(), ThreadPoolExecutor(1)
    one.tracker = SimpleNamespace(log=lambda values, step: rows.append(dict(values)))
    roles = {name: _role(name, getattr(config, name), options) for name in ("actor_train", "actor_infer", "critic")}
    one.actor_train, one.actor_infer, one.critic = roles.values()
    one.reference = _role("reference", config.reference, options)
    one.references = dict.fromkeys(config.reference_configs, one.reference)
    scheduler = ray.remote(_scheduler()).options(num_cpus=0)
    one.train_rollout_scheduler = scheduler.remote(_queue(options), config)
    one.val_rollout_scheduler = scheduler.remote(None, config)
    return one, rows


def _config(options: argparse.Namespace) -> Any:
    from tau_retail_env.config import compose
    from tau_retail_env.roll.run_folder import ENGINE
    from tau_retail_env.roll.settings import agentic_config
    from tau_retail_env.runs.folder import RunFolder

    overrides = {
        "pretrain": "small",
        "task_source": "generated",
        "num_gpus_per_node": options.workers,
        "sequence_length": options.tokens,
        "rollout_batch_size": options.rows,
        "max_steps": options.steps + 1,
        "critic_warmup": 0,
    }
    values = compose("tau_retail_smol_ppo", overrides=[f"{name}={value}" for name, value in overrides.items()])
    config = agentic_config(values, RunFolder(Path(tempfile.mkdtemp(prefix="roll_step.")) / "run", ENGINE))
    config.eval_steps = config.logging_steps = 0
    return config


def _role(name: str, worker_config: Any, options: argparse.Namespace) -> Any:
    """ROLL's cluster of some stand-ins, without placement groups."""
    import ray
    from roll.distributed.executor.cluster import Cluster

    role = Cluster.__new__(Cluster)
    role.cluster_name, role.worker_config, role.world_size = name, worker_config, options.workers
    role.worker_cls = ray.remote(_worker())
    made = role.worker_cls.options(num_cpus=0)
    role.workers = [made.remote(rank, options.workers, options.side) for rank in range(options.workers)]
    role._worker_rank_info, role.initialized = None, True
    role._bind_worker_method()
    return role


def _worker() -> Any:
    """The class of a worker that has imported what ROLL's learners import, and answers at once."""
    import torch
    from roll.distributed.executor.worker import RankInfo, Worker
    from roll.distributed.scheduler.decorator import Dispatch, register
    from roll.distributed.scheduler.protocol import DataProto

    class StandIn(Worker):
        def __init__(self, rank: int, number: int, side: str) -> None:
            import roll.distributed.strategy.fsdp2_strategy
            import roll.pipeline.agentic.agentic_actor_worker  # noqa: F401

            self.worker_name = f"worker {rank}"
            self.rank_info = RankInfo(world_size=number, dp_size=number, rank=rank, dp_rank=rank)
            if side == "ours":
                from tau_retail_env.roll.workers import freeze_heap

                freeze_heap()

        def get_rank_info(self) -> Any:
            return self.rank_info

        @register(dispatch_mode=Dispatch.ONE_TO_ALL)
        def load_states(self, *_: Any, **__: Any) -> None:
            pass

        @register(dispatch_mode=Dispatch.ONE_TO_ALL)
        def offload_states(self, *_: Any, **__: Any) -> None:
            pass

        @register(dispatch_mode=Dispatch.DP_MP_COMPUTE)
        def get_metrics(self, metric_names: Any = None) -> Any:
            return DataProto(meta_info={"metrics": {}})

        @register(dispatch_mode=Dispatch.DP_MP_DISPATCH_FIRST)
        def compute_log_probs(self, data: Any) -> Any:
            found = data.batch["response_mask"][:, 1:] * -0.01
            return DataProto.from_dict({"log_probs": found, "entropy": -found}, meta_info={"metrics": {}})

        @register(dispatch_mode=Dispatch.DP_MP_COMPUTE)
        def compute_values(self, data: Any) -> Any:
            found = data.batch["response_mask"][:, 1:] * 0.7
            return DataProto.from_dict({"values": found}, meta_info={"metrics": {}})

        @register(dispatch_mode=Dispatch.DP_MP_DISPATCH_FIRST)
        def train_step(self, data: Any) -> Any:
            assert isinstance(data.batch["advantages"], torch.Tensor)
            return DataProto(meta_info={"metrics": {}})

    return StandIn


def _queue(options: argparse.Namespace) -> Any:
    """A process that holds the step's episodes, each sent to it by itself, as ROLL's queue does."""
    import time

    import ray

    class Queue:
        def __init__(self) -> None:
            self.rollouts: list[Any] = []

        def put(self, rollout: Any) -> None:
            self.rollouts.append(rollout)

        def get_batch(self, *_: Any) -> list[Any]:
            for one in self.rollouts:
                one.meta_info["get_batch_return_start_time"] = time.time()
            return self.rollouts

        def advance_step(self, _: int) -> None:
            pass

        def collect_metrics(self) -> dict[str, float]:
            return {}

        def resume(self) -> None:
            pass

    queue = ray.remote(Queue).options(num_cpus=0).remote()
    for rollout in _rollouts(options):
        ray.get(queue.put.remote(rollout))
    return queue


def _scheduler() -> Any:
    """The class of ROLL's rollout scheduler without environments and a router."""
    from roll.distributed.scheduler.rollout_scheduler import RolloutScheduler

    class Scheduler(RolloutScheduler):  # type: ignore[misc]
        def __init__(self, queue: Any, config: Any) -> None:
            self.env_output_queue = self.router_manager = queue
            self.config, self.mode, self.rollout_task = config, "train", None
            self.es_manager = SimpleNamespace(
                update_step=lambda *_, **__: [asyncio.sleep(0)], run_rollout_loop=lambda *_, **__: [asyncio.sleep(1e6)]
            )
            self._init_rollout_mock()

        async def suspend(self) -> None:
            pass

        async def shutdown(self) -> None:
            pass

    return Scheduler


def _rollouts(options: argparse.Namespace) -> list[Any]:
    """A step's episodes as our env manager hands them over."""
    import numpy as np

    from tau_retail_env.roll.batch import to_batch

    random = np.random.default_rng(0)
    said = random.lognormal(0.0, 0.75, options.rows)
    said = np.clip(OWN * said / said.mean(), 10 * TURNS, 0.45 * options.tokens).astype(int)
    heard = np.clip(random.lognormal(7.95, 0.35, options.rows), TURNS, 0.45 * options.tokens).astype(int)
    rollouts = []
    for number, (own, other) in enumerate(zip(said.tolist(), heard.tolist(), strict=True)):
        mask = [0] * PROMPT + ([0] * (other // TURNS) + [1] * (own // TURNS)) * TURNS
        episode: Any = SimpleNamespace(
            token_ids=random.integers(5, 49_000, len(mask)).tolist(),
            response_mask=mask,
            logprobs=[-0.01 * one for one in mask],
            prompt_length=PROMPT,
            scorable=True,
            reward=float(number % 5 > 0),
            rewards=[0.0] * TURNS,
            with_logprobs=True,
        )
        group = f"train_{number // 2}_0_1"
        places = {"env_id": number, "group_id": number // 2, "tag": "train"}
        one = to_batch(episode, **places, sequence_length=options.tokens, pad_token_id=0)
        one.non_tensor_batch["traj_group_id"] = np.array([group], dtype=object)
        one.non_tensor_batch["traj_id"] = np.array([f"{group}_{number}"], dtype=object)
        one.meta_info = {"metrics": {f"env/train/metric_{metric}": 1.0 for metric in range(40)}}
        rollouts.append(one)
    return rollouts


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=256, help="episodes of a step")
    parser.add_argument("--tokens", type=int, default=12_288, help="sequence_length")
    parser.add_argument("--workers", type=int, default=4, help="of each role")
    parser.add_argument("--steps", type=int, default=4, help="that are measured, after one that is not")
    parser.add_argument("--store-gib", type=int, default=4, help="of Ray's object store")
    parser.add_argument("--side", choices=SIDES, help="measure this side alone and print its numbers as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
