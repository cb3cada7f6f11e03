"""The gradient of an update of fine-tuning: bf16 weights, flash attention, logits of the tokens that count alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from trl.kernels import ChunkedLogProbFunction

from tau_retail_env.models.rows import attend_without_mask, fuse_norms

COLUMNS = 32768
"""Words of the vocabulary whose logits are computed at a time."""

Pass = Mapping[str, Tensor]
"""What `batches.Collator` makes of the rows of one pass."""


class Learner:
    """Computes gradients of a model through a copy of its layers that is fast and only learns.

    The model keeps fp32 weights, and its own attention for playing; the copy shares them, or has them in bf16.

    Args:
        model: the model that is trained, on its device.
        bf16: whether all is computed in bf16. Gradients of the passes of an update are added up in fp32.
        checkpointing: whether layers are computed again for the gradient, which takes less memory and more time.
        cudnn: whether cuDNN's attention may be used: for passes of few different lengths.
        compiled: whether each layer is compiled (`torch.compile`), for any number of rows and tokens.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        bf16: bool,
        checkpointing: bool = False,
        cudnn: bool = False,
        compiled: bool = False,
    ) -> None:
        self.weights: list[nn.Parameter] = list(model.parameters())
        """The model's own, which get the gradients."""
        self.copies = [nn.Parameter(one.detach().bfloat16()) if bf16 else one for one in self.weights]
        """Those that gradients are computed with: the same, or theirs in bf16."""
        # deepcopy takes what the memo holds: the copy's layers get these weights, not copies of the model's.
        memo: dict[int, Any] = {id(one): other for one, other in zip(self.weights, self.copies, strict=True)}
        self._bf16 = bf16
        head: Any = model.get_output_embeddings()
        self._head, self._bias = memo[id(head.weight)], None if head.bias is None else memo[id(head.bias)]
        self._cap, self._scale = _of_logits(model.config)
        self.backbone: Any = copy.deepcopy(model.base_model, memo)
        if not compiled:  # which fuses norms, too, and would compile each layer anew for a norm of its own
            fuse_norms(self.backbone)
        if checkpointing:
            self.backbone.gradient_checkpointing_enable({"use_reentrant": False})
        attend_without_mask(self.backbone, cudnn=cudnn)
        if compiled:
            for layer in self.backbone.layers:
                layer.compile(dynamic=True)

    def gradients(self, passes: Sequence[Pass]) -> Tensor:
        """Add the gradient of an update's loss to the model's weights.

        Args:
            passes: of the update; their weights come to 1.

        Returns:
            The loss: the weighted mean of the tokens' negative log-probabilities. Nothing waits for the GPU.
        """
        self.refresh()
        return self.accumulate(passes)

    def accumulate(self, passes: Sequence[Pass]) -> Tensor:
        """Add the gradient of some passes' loss to the model's weights, computed with the copy as it is.

        Args:
            passes: of an update; none if it has fewer rows than there are processes.

        Returns:
            Their share of the update's loss.
        """
        self.backbone.train()
        losses = [torch.zeros((), device=self.weights[0].device)]
        for one in passes:
            loss = self.loss(one)
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            self._hand_over()
        return torch.stack(losses).sum()

    def loss(self, one: Pass) -> Tensor:
        """A pass's share of an update's loss."""
        states = self.backbone(input_ids=one["input_ids"], use_cache=False).last_hidden_state
        before = states.flatten(0, 1).index_select(0, one["places"])
        found = ChunkedLogProbFunction.apply(
            before, self._head, self._bias, one["labels"], 1.0, COLUMNS, self._cap, self._scale, ()
        )
        return -(found[0] * one["weights"]).sum()

    @torch.no_grad()
    def refresh(self) -> None:
        """The copy's weights as the last update left them."""
        if self._bf16:
            torch._foreach_copy_(self.copies, self.weights)

    @torch.no_grad()
    def _hand_over(self) -> None:
        """The copy's gradients to the model's weights, in fp32."""
        if not self._bf16:
            return
        for weight, copied in zip(self.weights, self.copies, strict=True):
            if copied.grad is None:
                continue
            if weight.grad is None:
                weight.grad = copied.grad.float()
            else:
                weight.grad += copied.grad
            copied.grad = None


def _of_logits(config: Any) -> tuple[float | None, float]:
    """What some families do to their logits: the cap of a tanh, and a factor."""
    names = ("logit_scale", "output_multiplier", "lm_head_multiplier")
    factors = [factor for name in names if (factor := getattr(config, name, None)) is not None]
    if not factors and (divisor := getattr(config, "logits_scaling", None)):
        factors = [1 / divisor]
    return getattr(config, "final_logit_softcapping", None), factors[0] if factors else 1.0
