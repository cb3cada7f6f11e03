"""What ROLL's Megatron strategies lack without transformer-engine, and get wrong with transformers 5: attention, rotary
frequencies, the type of a norm, and rows that are computed with their padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from megatron.core.transformer.dot_product_attention import DotProductAttention
from roll.distributed.strategy import megatron_strategy
from roll.pipeline import base_worker
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from tau_retail_env.models.rows import rounded


@contextmanager
def mended() -> Iterator[None]:
    """Have ROLL's worker, which makes its model and optimizer meanwhile, get ones that compute what transformers' model
    does and that can be resumed.

    Raises:
        NotImplementedError: the model's rotary embedding also scales attention.
    """
    make, optimize = base_worker.default_actor_model_provider, megatron_strategy.get_megatron_optimizer
    arguments = megatron_strategy.TrainingArguments

    def make_and_mend(*given: Any, model_args: Any, **named: Any) -> Any:
        models = make(*given, model_args=model_args, **named)
        config = AutoConfig.from_pretrained(model_args.model_name_or_path)
        for model in models.get_models():
            attend_without_mask(model)
            rotate_as(model, config)
            model.to(model.config.params_dtype)  # the last norm is made in fp32: mixed types cannot be saved
        return models

    base_worker.default_actor_model_provider = make_and_mend
    megatron_strategy.get_megatron_optimizer = lambda *given: with_moments(optimize(*given))
    megatron_strategy.TrainingArguments = lambda **given: arguments(**with_warm_up(given))
    try:
        yield
    finally:
        base_worker.default_actor_model_provider, megatron_strategy.get_megatron_optimizer = make, optimize
        megatron_strategy.TrainingArguments = arguments


def prepare(strategy: Any, *, train: int, infer: int) -> None:
    """Have a Megatron strategy compute no more tokens than a micro-batch has, and learn from its first update on.

    Args:
        strategy: ROLL's, initialized.
        train: the multiple to which rows are padded that a gradient is taken of.
        infer: that of other rows.
    """
    trim_padding(strategy, train=train, infer=infer)
    if (scheduler := getattr(strategy, "scheduler", None)) is not None:
        start_above_zero(scheduler)


def with_warm_up(given: Mapping[str, Any]) -> dict[str, Any]:
    """ROLL's training arguments as those of transformers 5, which have one number for the warm-up: updates, or below 1
    a share of all.

    Up to 5.14 a `warmup_ratio`, which ROLL always hands over, takes the place of `warmup_steps`, also if it is 0: there
    is no warm-up. Since 5.15 it is an error.

    Args:
        given: ROLL's.
    """
    kept = {name: value for name, value in given.items() if name != "warmup_ratio"}
    return kept | {"warmup_steps": given.get("warmup_steps") or given.get("warmup_ratio", 0.0)}


def with_moments(optimizer: Any) -> Any:
    """Give PyTorch's Adam its moments before the first step, and each weight a count of its steps of its own.

    Megatron asks an optimizer that is to be loaded for its count, which PyTorch's has not before its first step (there
    it stops); and from a checkpoint it takes the moments, but leaves the count of steps at 0.

    Args:
        optimizer: Megatron's; another one than PyTorch's Adam within it is left alone.

    Returns:
        The same.
    """
    for one in getattr(optimizer, "chained_optimizers", [optimizer]):
        if isinstance(one.optimizer, torch.optim.Adam):
            for group in one.optimizer.param_groups:
                for weight in group["params"]:
                    moments = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
                    one.optimizer.state[weight] = {"step": torch.tensor(0.0), **moments}
            one.load_state_dict = _Loading(one)
    return optimizer


class _Loading:
    def __init__(self, optimizer: Any) -> None:
        self.load, self.adam = optimizer.load_state_dict, optimizer.optimizer

    def __call__(self, state: Any) -> None:
        counts = [group.get("step") for group in state["optimizer"]["param_groups"]]
        with torch.no_grad():  # weights in fp32 are views of those that learn
            self.load(state)
        for kept in self.adam.state.values():
            kept["step"] = torch.tensor(float(kept["step"] if counts[0] is None else counts[0]))


def attend_without_mask(model: torch.nn.Module) -> None:
    """Compute Megatron's own attention (`transformer_impl: local`) with PyTorch's SDPA, causal and without a mask.

    Megatron's own wants a mask of rows x tokens x tokens, true where a token is hidden. ROLL hands it the mask of
    padding, 1 where a token counts, at which it stops. It also keeps all scores of all heads, tokens x tokens.

    Args:
        model: Megatron's; attention of another kind is left alone.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)  # it would plan its kernel anew for each length
    for module in model.modules():
        if isinstance(module, DotProductAttention):
            module.forward = _Attention(module.softmax_scale)


class _Attention:
    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *_: Any, **named: Any) -> Tensor:
        """From (tokens, rows, heads, width) each to (tokens, rows, heads x width)."""
        if named.get("packed_seq_params") is not None:
            raise NotImplementedError(
                "use_sequence_packing: attention would go from one row to another; set it to false"
            )
        grouped = query.shape[2] != key.shape[2]
        query, key, value = (one.permute(1, 2, 0, 3) for one in (query, key, value))
        found = scaled_dot_product_attention(query, key, value, is_causal=True, scale=self.scale, enable_gqa=grouped)
        return found.permute(2, 0, 1, 3).flatten(2)


def rotate_as(model: Any, config: Any) -> None:
    """Give a Megatron model the rotary frequencies that transformers computes.

    mcore_adapter takes any Llama whose configuration has `rope_parameters` for a Llama 3.1 and stretches its low
    frequencies by 8; in transformers 5 every configuration has them.

    Args:
        model: Megatron's.
        config: transformers' of the same model.

    Raises:
        NotImplementedError: attention would have to be scaled, too.
    """
    kind = config.rope_parameters.get("rope_type", "default")
    if kind == "default":
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        width = int(width * config.rope_parameters.get("partial_rotary_factor", 1.0))
        places = torch.arange(0, width, 2, dtype=torch.float32) / width
        frequencies, scale = 1.0 / config.rope_parameters["rope_theta"] ** places, 1.0
    else:
        frequencies, scale = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"))
    if scale != 1.0:
        raise NotImplementedError(
            f"actor_train with strategy_name megatron_train: found rope_type {kind}, which scales attention by "
            f"{scale:g}, expected one that does not: choose train=fsdp2"
        )
    device = model.rotary_pos_emb.inv_freq.device
    model.rotary_pos_emb.inv_freq = frequencies.to(device)


def trim_padding(strategy: Any, *, train: int, infer: int) -> None:
    """Have the strategy run its model over a micro-batch's longest row, where ROLL's own pads to `sequence_length`.

    ROLL's `use_dynamic_batching_in_train` also does, but sorts a whole step's episodes by length, so that the updates
    of a step learn from short and from long ones.

    Args:
        strategy: ROLL's, initialized.
        train: the multiple to which rows are padded that a gradient is taken of.
        infer: that of other rows.
    """
    compute = strategy.inner_forward_step
    parallel = strategy.worker.rank_info
    if parallel.pp_size > 1:
        strategy.model.config.variable_seq_lengths = True  # each stage is told how long the next micro-batch is

    def trimmed(loss_func: Callable[..., Any], micro_batches: Iterator[Any], model: Any) -> Any:
        rows = next(micro_batches)
        longest = rows.batch["input_ids"].shape[-1]
        multiple = (train if torch.is_grad_enabled() else infer) * parallel.tp_size
        length = min(rounded(_longest_row(rows.batch["attention_mask"]), multiple), longest)
        for name, tensor in rows.batch.items():
            if tensor.dim() == 2 and tensor.shape[1] in (longest, longest - 1):
                rows.batch[name] = tensor[:, : tensor.shape[1] - longest + length]

        def whole_length(rows: Any, output: Tensor) -> tuple[Tensor, dict[str, Any]]:
            loss, found = loss_func(rows, output)
            return loss, {name: _padded(one, longest - length) for name, one in found.items()}

        return compute(whole_length, iter([rows]), model)

    strategy.inner_forward_step = trimmed


def _longest_row(mask: Tensor) -> int:
    counted = mask.bool()
    ends = (counted * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(dim=1)
    longest, gaps = torch.stack([ends.max(), (ends - counted.sum(dim=1)).sum()]).tolist()
    if gaps:
        raise ValueError(
            "rows: found padding before or between tokens, expected it at the end alone, as the env manager of this "
            "package leaves it: attention is computed without a mask"
        )
    return int(longest)


def _padded(found: Any, columns: int) -> Any:
    """A row's numbers up to ROLL's length; a metric stays as it is."""
    return pad(found, (0, columns)) if isinstance(found, Tensor) and found.dim() == 2 else found


def start_above_zero(scheduler: Any) -> None:
    """Have the first update of a warm-up change the weights, as `models/warm_up.py` does for transformers' schedulers.

    Args:
        scheduler: Megatron's, at its start or loaded from a checkpoint.
    """
    rate = scheduler.get_lr

    def of_the_next_step(group: Mapping[str, Any]) -> float:
        early = scheduler.num_steps < scheduler.lr_warmup_steps
        scheduler.num_steps += early
        try:
            return float(rate(group))
        finally:
            scheduler.num_steps -= early

    scheduler.get_lr = of_the_next_step
    scheduler.step(0)
