"""What several GPUs make of the same rows as one: python benchmarks/roll_ranks.py --ranks 2

In the environment of the engine roll, on GPUs or a CPU. ROLL's own actor and critic on FSDP2, as a run has them, with
random weights (benchmarks/roll_learning.py). One GPU and then several, each in processes of its own, take the same
rows: they compute log-probabilities and values, learn two updates, save a checkpoint and learn a third. Then each goes
on from the other's checkpoint, and learns the third. Printed is how far apart they are:

  numbers      log-probabilities or values before the first update: the greatest and the mean distance, over the tokens
               that count
  gradient     its norm in the first update, as a share of one GPU's
  weights      after that update: the distance as a share of how far it has moved them
  moved on     the third update, made from the other's checkpoint: the distance as a share of how far the weights have
               moved since the checkpoint

Beside it stands one GPU with micro-batches of half the size: what rounding alone does. Adam's first update moves a
weight by the learning rate, however small its gradient is, so one whose gradient is noise may go either way.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.roll_learning import SHAPES, make_batch, make_worker
from benchmarks.run_files import refuse

LEARNERS = {"actor": False, "critic": True}
"""And whether they compute values."""
UPDATES = (1, 2)
"""Seeds of the rows that are learnt from before the checkpoint."""
LAST = 3
"""That of the rows after it."""
HALVED = "1 GPU, micro-batches of half the size"


def main() -> None:
    """Run one GPU, several, and each from the other's checkpoint; print the distances."""
    options = _options()
    if options.folder:
        learn(options)
        return
    check(options)
    with tempfile.TemporaryDirectory() as folder:
        found = compare(options, Path(folder))
    print(
        f"{options.shape}: {options.rows} rows of {options.tokens} tokens (+-{options.spread:.0%}), computed in "
        f"{options.dtype}, learning rate {options.learning_rate:g}"
    )
    for learner, sides in found.items():
        for side, distances in sides.items():
            told = ", ".join(f"{name} {value:.2e}" for name, value in distances.items())
            print(f"{learner}, {side}: {told}")
    if options.json:
        Path(options.json).write_text(json.dumps({"options": vars(options), "distances": found}, indent=1) + "\n")


def check(options: argparse.Namespace) -> None:
    """Refuse numbers of GPUs and rows that cannot be.

    Args:
        options: those of the command line.

    Raises:
        SystemExit: with one line.
    """
    import torch

    if options.ranks < 2:
        refuse(f"--ranks: found {options.ranks}, expected 2 or more, which are compared with one")
    if options.rows < 1 or options.rows % options.ranks:
        refuse(f"--rows: found {options.rows}, expected a multiple of the {options.ranks} ranks, which share them")
    if torch.cuda.is_available() and (there := torch.cuda.device_count()) < options.ranks:
        refuse(f"--ranks: found {options.ranks}, but {there} GPUs are visible here")


def compare(options: argparse.Namespace, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """By learner and side: the distances from one GPU.

    Args:
        options: those of the command line.
        folder: an empty one, for checkpoints and weights.
    """
    import torch

    several = f"{options.ranks} GPUs"
    sides = {"1 GPU": (1, []), HALVED: (1, ["--halved"]), several: (options.ranks, [])}
    places = {side: folder / str(place) for place, side in enumerate(sides)}
    for side, (ranks, extra) in sides.items():
        places[side].mkdir()
        _in_processes(ranks, options, ["--folder", str(places[side]), *extra])
    for ranks, begun in ((options.ranks, "1 GPU"), (1, several)):
        _in_processes(ranks, options, ["--folder", str(places[begun]), "--resume"])
    found: dict[str, dict[str, dict[str, float]]] = {}
    for learner in LEARNERS:
        told = {side: torch.load(place / f"{learner}.pt") for side, place in places.items()}
        found[learner] = {side: _distances(told["1 GPU"], told[side]) for side in sides if side != "1 GPU"}
        for side, begun in ((several, "1 GPU"), ("1 GPU", several)):
            moved = torch.load(places[begun] / f"{learner}.resumed.pt")
            name = f"{side} from a checkpoint of {begun}"
            found[learner][name] = {"moved on": _share(told[begun]["last"], moved["last"], told[begun]["saved"])}
    return found


def learn(options: argparse.Namespace) -> None:
    """Two updates, a checkpoint and a third; or that one alone, from the checkpoint. In a process for each GPU."""
    import torch
    import torch.distributed as dist

    rank = int(os.environ["RANK"])
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    for learner in LEARNERS:
        told = _learner(options, learner)
        if rank == 0:
            torch.save(told, Path(options.folder) / f"{learner}{'.resumed' if options.resume else ''}.pt")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    dist.destroy_process_group()


def _learner(options: argparse.Namespace, learner: str) -> dict[str, Any]:
    import torch
    import torch.distributed as dist

    from tau_retail_env.roll import learning
    from tau_retail_env.roll.workers import load_checkpoint

    values = LEARNERS[learner]
    worker = make_worker(options, values=values, update=options.rows // dist.get_world_size())
    strategy = worker.strategy
    learning.still(strategy.model)
    size = learning.Sizes(options.microbatch // 2 if options.halved else options.microbatch)
    learning.trim_padding(strategy, train=size, infer=size, values=values)
    for group in strategy.optimizer.param_groups:
        group["lr"] = options.learning_rate
    strategy.scheduler = torch.optim.lr_scheduler.ConstantLR(strategy.optimizer, 1.0)
    strategy.async_save_strategy, strategy.checkpoint_future, strategy._dcp_process_group = False, None, None
    strategy.load_states = strategy.offload_states = lambda *_: None
    if not torch.cuda.is_available():
        strategy.get_rng_state = dict  # ROLL's own asks CUDA for it
    folder = Path(options.folder) / learner
    told: dict[str, Any] = {}
    if options.resume:
        load_checkpoint(strategy, folder)
    else:
        told["start"] = _weights(strategy)
        told["numbers"], told["counted"] = _numbers(worker, options, values=values)
        for seed in UPDATES:
            norm = _update(worker, options, seed)
            if seed == UPDATES[0]:
                told["norm"], told["first"] = norm, _weights(strategy)
        strategy._save_checkpoint_with_dcp(str(folder / "dcp"), is_last_step=True)
        told["saved"] = _weights(strategy)
    _update(worker, options, LAST)
    told["last"] = _weights(strategy)
    return told


def _rows(options: argparse.Namespace, seed: int) -> tuple[Any, Any]:
    """This GPU's share of the rows, and their places among all."""
    import torch
    import torch.distributed as dist

    rows = make_batch(options, options.rows, seed=seed)
    rows.meta_info["micro_batch_size"] = 1
    share = options.rows // dist.get_world_size()
    places = torch.arange(options.rows)[dist.get_rank() * share :][:share]
    return rows.select_idxs(places).to("cuda" if torch.cuda.is_available() else "cpu"), places


def _update(worker: Any, options: argparse.Namespace, seed: int) -> float:
    """One update; the norm of its gradient."""
    metrics = worker.strategy.train_step(batch=_rows(options, seed)[0], loss_func=worker.loss_func)
    norms = [value for name, value in metrics.items() if name.endswith("grad_norm")]
    return float(norms[0][0] if isinstance(norms[0], list) else norms[0])


def _numbers(worker: Any, options: argparse.Namespace, *, values: bool) -> tuple[Any, Any]:
    """Log-probabilities or values of all rows, in their order, and which of them count."""
    import torch
    import torch.distributed as dist

    rows, places = _rows(options, UPDATES[0])
    function = worker.forward_func_values if values else worker.forward_func_log_probs
    name = "values" if values else "log_probs"
    numbers = worker.strategy.forward_step(batch=rows, forward_func=function)[name].float().cpu()
    counted = rows.batch["response_mask"][:, 1:].bool().cpu()
    numbers = numbers[:, : counted.shape[1]]
    shares: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(shares, (places, numbers, counted))
    order = torch.cat([share[0] for share in shares]).argsort()
    return torch.cat([share[1] for share in shares])[order], torch.cat([share[2] for share in shares])[order]


def _weights(strategy: Any) -> Any:
    """All weights of a learner in one row, in fp32."""
    import torch

    return torch.cat([weight.full_tensor().detach().float().flatten().cpu() for weight in strategy.model.parameters()])


def _distances(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    apart = (one["numbers"] - other["numbers"])[one["counted"]].abs()
    return {
        "numbers, at most": float(apart.max()),
        "on average": float(apart.mean()),
        "gradient": abs(other["norm"] / one["norm"] - 1),
        "weights": _share(one["first"], other["first"], one["start"]),
    }


def _share(one: Any, other: Any, before: Any) -> float:
    """How far two rows of weights are apart, as a share of how far the first has moved."""
    return float((one - other).norm() / (one - before).norm())


def _in_processes(ranks: int, options: argparse.Namespace, extra: list[str]) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    chosen = [f"--{name.replace('_', '-')}={value}" for name, value in vars(options).items() if name in PASSED]
    command = [sys.executable, __file__, *chosen, *extra]
    with tempfile.TemporaryDirectory() as logs:
        # Without ROLL_LOG_DIR ROLL writes into the current folder.
        shared = {"ROLL_LOG_DIR": logs, **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        shared["WORLD_SIZE"] = str(ranks)
        processes = [subprocess.Popen(command, env={**shared, "RANK": str(rank)}) for rank in range(ranks)]
        ended = [process.wait() for process in processes]
    if any(ended):
        raise SystemExit(f"{' '.join(command)} on {ranks} GPUs ended with {ended}")


PASSED = ("shape", "rows", "tokens", "spread", "own", "sequence_length", "microbatch", "learning_rate", "dtype")


def options(**changed: Any) -> SimpleNamespace:
    """Those of the command line without arguments, with changes."""
    return SimpleNamespace(**(vars(_options([])) | changed))


def _options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2, help="GPUs, or processes on a CPU, beside one")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="small", help="of the model")
    parser.add_argument("--rows", type=int, default=32, help="of an update, all GPUs together")
    parser.add_argument("--tokens", type=int, default=1000, help="of a row, on average")
    parser.add_argument("--spread", type=float, default=0.6, help="share by which lengths differ from it at most")
    parser.add_argument("--own", type=int, default=200, help="tokens of a row that are the actor's")
    parser.add_argument("--sequence-length", type=int, default=2048, help="tokens of a padded row")
    parser.add_argument("--microbatch", type=int, default=4096, help="tokens of a micro-batch")
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="float32", help="computed in")
    parser.add_argument("--json", help="file for the numbers")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--halved", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
