"""A run that is resumed with another number of GPUs: weights and moments of FSDP2's checkpoint, on CPUs with gloo."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.roll_learning import make_batch, make_worker

OPTIONS = SimpleNamespace(shape="toy", tokens=60, spread=0.6, own=25, sequence_length=128, dtype="float32")
ROWS = 4
PORT = 29631


def main(folder: Path, part: str) -> None:
    """Two updates, a checkpoint and one update more; or that one alone, from the checkpoint."""
    import torch
    import torch.distributed as dist

    from tau_retail_env.roll import learning
    from tau_retail_env.roll.workers import load_checkpoint

    dist.init_process_group("gloo")
    size = dist.get_world_size()
    worker = make_worker(OPTIONS, values=False, update=ROWS // size)
    strategy = worker.strategy
    learning.still(strategy.model)
    learning.trim_padding(strategy, train=learning.Sizes(150), infer=learning.Sizes(150))
    for group in strategy.optimizer.param_groups:
        group["lr"] = 1e-3
    strategy.scheduler = torch.optim.lr_scheduler.ConstantLR(strategy.optimizer, 1.0)
    strategy.async_save_strategy, strategy.checkpoint_future, strategy._dcp_process_group = False, None, None
    strategy.get_rng_state = dict  # ROLL's own asks CUDA for it
    strategy.load_states = strategy.offload_states = lambda *_: None
    if part == "begin":
        for seed in (1, 2):
            learn(worker, seed)
        strategy._save_checkpoint_with_dcp(str(folder / "dcp"), is_last_step=True)
    else:
        load_checkpoint(strategy, folder)
    learn(worker, 3)
    weights = [weight.full_tensor().detach().flatten() for weight in strategy.model.parameters()]
    if dist.get_rank() == 0:
        torch.save(torch.cat(weights), folder / f"{part}.pt")


def learn(worker, seed):
    """One update from this GPU's share of the rows."""
    import torch
    import torch.distributed as dist

    rows = make_batch(OPTIONS, ROWS, seed=seed)
    rows.meta_info["micro_batch_size"] = 1
    share = ROWS // dist.get_world_size()
    own = rows.select_idxs(torch.arange(ROWS)[dist.get_rank() * share :][:share])
    worker.strategy.train_step(batch=own, loss_func=worker.loss_func)


def on(gpus, roll, folder, part, port):
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), str(roll), *sys.path])
    shared = {**os.environ, "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": str(gpus), "ROLL_LOG_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(folder), part]
    ranks = [subprocess.Popen(command, env=shared | {"RANK": str(rank)}, cwd=root) for rank in range(gpus)]
    assert [rank.wait(600) for rank in ranks] == [0] * gpus


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_checkpoint_goes_on_with_another_number_of_gpus(roll, tmp_path, before, after):
    """The update after it changes the weights as it would have with the GPUs that the run began with."""
    import torch

    on(before, roll, tmp_path, "begin", PORT + before)
    on(after, roll, tmp_path, "go_on", PORT + 10 + after)
    there, here = (torch.load(tmp_path / f"{part}.pt") for part in ("begin", "go_on"))
    torch.testing.assert_close(here, there, rtol=1e-4, atol=2e-5)  # an update is up to 1e-3


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
