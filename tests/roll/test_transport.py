"""How batches travel: whatever a process gets is what ROLL's own way would have brought it."""

from __future__ import annotations

import copyreg
import pickle
import subprocess
import sys

import pytest


@pytest.fixture
def transport(roll):
    from tau_retail_env.roll import transport

    return transport


def a_batch(rows=3, **more):
    """A batch with tensors of all kinds that ROLL has."""
    import numpy as np
    import torch
    from roll.distributed.scheduler.protocol import DataProto

    tensors = {
        "input_ids": torch.arange(rows * 7).view(rows, 7),
        "response_mask": torch.arange(rows * 7).view(rows, 7) % 3 == 1,
        "old_log_probs": torch.randn(rows, 8)[:, 1:],  # a part of other memory
        "half": torch.randn(rows, 2).bfloat16(),
        "reward": torch.randn(rows),
        "nothing": torch.zeros(rows, 0),
    }
    names = {"traj_id": np.array([f"episode {row}" for row in range(rows)], dtype=object)}
    meta = {"metrics": {"env/success": 1.0}, "global_step": 4, "tensor": torch.ones(2)}
    batch = DataProto.from_dict(tensors | more)
    batch.non_tensor_batch, batch.meta_info = names, meta
    return batch


def rolls_own_way(batch):
    """The batch after a trip by ROLL's own serialization."""
    made, arguments, state = object.__reduce_ex__(batch, 4)[:3]
    other = made(*arguments)
    other.__setstate__(pickle.loads(pickle.dumps(state)))
    return other


def same(one, other):
    """Whether two batches hold the same."""
    import torch

    mine, theirs = dict(one._batch.items()), dict(other._batch.items())
    assert list(mine) == list(theirs) and one._batch.batch_size == other._batch.batch_size
    for name, tensor in mine.items():
        assert tensor.dtype == theirs[name].dtype and torch.equal(tensor, theirs[name]), name
    assert {name: list(column) for name, column in one._non_tensor_batch.items()} == {
        name: list(column) for name, column in other._non_tensor_batch.items()
    }
    assert torch.equal(one.meta_info.pop("tensor"), other.meta_info.pop("tensor"))
    assert one.meta_info == other.meta_info and vars(one).keys() == vars(other).keys()
    return True


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("protocol", [4, 5])
def test_a_batch_arrives_as_by_rolls_own_way(transport, rows, protocol):
    batch = a_batch(rows)
    data = pickle.dumps(batch, protocol=protocol)
    assert b"tau_retail_env.roll.transport" in data
    assert same(pickle.loads(data), rolls_own_way(a_batch_like(batch)))


def a_batch_like(batch):
    """A copy that shares nothing."""
    import copy

    other = batch.clone()
    other.meta_info = copy.deepcopy(batch.meta_info)
    return other


def test_what_arrives_may_be_changed_though_rays_memory_may_not(transport):
    """Ray hands out its store's memory, which nobody may write to, in place of buffers that are sent beside."""
    import ray.cloudpickle

    batch, beside = a_batch(), []
    data = ray.cloudpickle.dumps(batch, protocol=5, buffer_callback=beside.append)
    assert len(data) < 4000 and len(beside) >= 5
    memory = [bytes(one.raw()) for one in beside]
    first, second = (pickle.loads(data, buffers=memory) for _ in range(2))
    first.batch["input_ids"].zero_()
    assert first.batch["input_ids"].sum() == 0
    assert same(second, rolls_own_way(batch))


def test_a_part_of_a_batch_takes_its_own_rows_alone(transport):
    import torch

    batch = a_batch(1024, wide=torch.zeros(1024, 500))
    assert len(pickle.dumps(batch[:4])) < 30_000
    assert same(pickle.loads(pickle.dumps(batch[:4])), rolls_own_way(batch[:4]))


def test_a_batch_without_tensors_arrives(transport):
    """Workers answer so after training, and the others of a pipeline stage are asked so."""
    from roll.distributed.scheduler.protocol import DataProto

    back = pickle.loads(pickle.dumps(DataProto(meta_info={"metrics": {"actor/lr": 0.5}})))
    assert back._batch is None and len(back) == 0 and back.meta_info == {"metrics": {"actor/lr": 0.5}}


def test_what_does_not_simply_lie_in_memory_goes_rolls_way(transport):
    import torch

    batch = a_batch(weights=torch.zeros(3, 2, requires_grad=True))
    data = pickle.dumps(batch)
    assert b"tau_retail_env" not in data
    assert pickle.loads(data)._batch["weights"].shape == (3, 2)


def test_a_batch_still_answers_as_rolls(transport):
    """Joined, divided, moved: nothing of it tells that it has travelled."""
    from roll.distributed.scheduler.protocol import DataProto

    parts = [pickle.loads(pickle.dumps(one)) for one in a_batch(4).chunk(2)]
    joined = DataProto.concat(parts)
    assert joined.batch["input_ids"].flatten().tolist() == list(range(28))
    joined.to("cpu").reorder(joined.batch["reward"].argsort())
    joined.check_consistency()


def test_a_process_that_gets_a_batch_sends_it_on_the_same_way(transport, tmp_path, roll, repository):
    """ROLL's queue and scheduler have processes of their own, which import nothing of ours by themselves."""
    (tmp_path / "batch").write_bytes(pickle.dumps(a_batch()))
    program = (
        "import pickle, sys\n"
        "batch = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(b'tau_retail_env.roll.transport' in pickle.dumps(batch))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "batch"],
        env={"PYTHONPATH": f"{repository}:{roll}", "ROLL_LOG_DIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1:] == ["True"], done.stderr


@pytest.mark.parametrize("module", ["pipeline", "workers", "env_manager"])
def test_every_process_of_ours_sends_so(transport, module):
    import importlib

    from roll.distributed.scheduler.protocol import DataProto

    imported = importlib.import_module(f"tau_retail_env.roll.{module}")
    assert copyreg.dispatch_table[DataProto] is transport.packed
    assert hasattr(imported, "transport") or module == "env_manager"
