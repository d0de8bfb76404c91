"""L1 and L2 penalties on weights."""

from collections.abc import Sequence

import torch
from torch import nn


@torch.no_grad()
def add_penalties(weights: Sequence[nn.Parameter], l1: float, l2: float) -> None:
    """Add the gradients of l1 * sum |w| + l2 / 2 * sum w**2 to those that are there.

    This is what adding the penalties to the loss gives, without building their graph. So the recorded loss is that of
    the data alone and can be compared with the validation loss.
    """
    for weight in weights:
        if weight.grad is None:
            continue
        if l2:
            weight.grad.add_(weight, alpha=l2)
        if l1:
            weight.grad.add_(weight.sign(), alpha=l1)
