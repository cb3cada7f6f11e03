"""How ROLL's batches travel between processes: their tensors as they lie in memory. Imported, it is in use."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from roll.distributed.scheduler.protocol import DataProto
from tensordict import TensorDict  # type: ignore[import-not-found]

Column = tuple[torch.dtype, tuple[int, ...], np.ndarray]
"""A tensor: its type, its shape and its bytes."""
Columns = tuple[dict[str, Column], tuple[int, ...]]
"""The tensors of a batch by name, and the batch's own shape."""


def packed(data: DataProto) -> Any:
    """A batch as pickle takes it; the same batch comes out as by ROLL's own way.

    ROLL's writes all tensors into a file in memory by `torch.save`, which pickle then copies into its stream, and Ray
    from there into its store: on the way back again. Here pickle is given the tensors' memory itself (its protocol 5),
    which Ray copies once, and once out of its store, where nothing may be changed.

    Args:
        data: with tensors of any kind; those that do not simply lie in this machine's memory go ROLL's way.
    """
    state = dict(vars(data))
    tensors = {name: value for name, value in state.items() if isinstance(value, TensorDict)}
    if not all(_simple(one) for batch in tensors.values() for one in batch.values()):
        return object.__reduce_ex__(data, 4)
    return unpacked, (
        {name: value for name, value in state.items() if name not in tensors},
        {name: _columns(batch) for name, batch in tensors.items()},
    )


def unpacked(state: Mapping[str, Any], tensors: Mapping[str, Columns]) -> DataProto:
    """A batch of what `packed` has made of it.

    Args:
        state: its attributes without tensors.
        tensors: its attributes with them.
    """
    data = DataProto.__new__(DataProto)
    vars(data).update(state)
    for name, (columns, shape) in tensors.items():
        source = {key: _tensor(column) for key, column in columns.items()}
        vars(data)[name] = TensorDict(source, batch_size=shape)
    return data


def _simple(value: Any) -> bool:
    if type(value) is not torch.Tensor or value.requires_grad:
        return False
    return value.device.type == "cpu" and value.layout is torch.strided and not value.is_quantized


def _columns(batch: TensorDict) -> Columns:
    return {name: _column(value) for name, value in batch.items()}, tuple(batch.batch_size)


def _column(value: torch.Tensor) -> Column:
    return value.dtype, tuple(value.shape), value.contiguous().flatten().view(torch.uint8).numpy()


def _tensor(column: Column) -> torch.Tensor:
    dtype, shape, data = column
    made = torch.empty(shape, dtype=dtype)
    made.flatten().view(torch.uint8).numpy()[...] = data
    return made


copyreg.pickle(DataProto, packed)  # type: ignore[arg-type]
