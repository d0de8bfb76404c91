"""The gradient at the worst point nearby, in the place of the one here: sharpness-aware minimisation."""

import torch
from torch import Tensor, nn

from equipoise.fit.feed import Batch
from equipoise.fit.job import Job
from equipoise.fit.state import State


def look_uphill(job: Job, state: State, batch: Batch) -> None:
    """Replace the gradients that are there by those at the end of a step uphill; weights and buffers stay as they are.

    The step has the length `sharpness_radius` and the direction of the gradient. Dropout is drawn anew for the second
    pass; batch-norm statistics hear of the first one only.

    References:
        P. Foret, A. Kleiner, H. Mobahi, B. Neyshabur. Sharpness-aware minimization. ICLR 2021, arXiv:2010.01412.

    Args:
        job: Says the radius and the objective.
        state: Holds the gradients at the present weights.
        batch: What they were taken on.
    """
    moved = [parameter for parameter in state.stepper.parameters if parameter.grad is not None]
    weights = [parameter.detach().clone() for parameter in moved]
    buffers = [(buffer, buffer.clone()) for buffer in state.network.buffers()]
    _climb(moved, job.recipe.sharpness_radius)
    state.stepper.clear()
    loss, _ = job.objective(batch.features, batch.targets, state.draws)
    (loss * batch.share).backward()
    with torch.no_grad():
        for parameter, weight in zip(moved, weights, strict=True):
            parameter.copy_(weight)
        for buffer, value in buffers:
            buffer.copy_(value)


@torch.no_grad()
def _climb(parameters: list[nn.Parameter], radius: float) -> None:
    gradients: list[Tensor] = [parameter.grad for parameter in parameters if parameter.grad is not None]
    length = nn.utils.get_total_norm(gradients).clamp_min(torch.finfo(torch.float32).tiny)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.add_(gradient * (radius / length))
