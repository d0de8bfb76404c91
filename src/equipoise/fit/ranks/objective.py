"""The loss of a rank, whose backward pass leaves the gradients of the whole batch."""

import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from equipoise.fit.objectives import Objective
from equipoise.fit.ranks.piece import Turn


class _Loss(nn.Module):
    """An objective as a module, so that whatever it calls of the body is within one forward pass."""

    def __init__(self, body: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.body = body
        self.objective = objective

    def forward(self, features: Tensor, targets: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return loss and scores."""
        return self.objective(features, targets, draws)


@dataclass(frozen=True, slots=True, eq=False)
class Replicated:
    """An objective whose gradients are averaged over ranks that each hold all weights (DDP).

    The batches of one step before its last are not averaged by themselves.
    """

    module: DistributedDataParallel
    turn: Turn

    def __call__(self, features: Tensor, targets: Tensor, draws: torch.Generator, /) -> tuple[Tensor, Tensor]:
        """Return loss and scores of this rank's part."""
        with contextlib.nullcontext() if self.turn.completes else self.module.no_sync():
            loss, scores = self.module(features, targets, draws)
        return loss, scores


@dataclass(frozen=True, slots=True, eq=False)
class Sharded:
    """An objective whose body is divided among the ranks (FSDP2)."""

    body: FSDPModule
    objective: Objective
    turn: Turn

    def __call__(self, features: Tensor, targets: Tensor, draws: torch.Generator, /) -> tuple[Tensor, Tensor]:
        """Return loss and scores of this rank's part."""
        self.body.set_requires_gradient_sync(self.turn.completes)
        return self.objective(features, targets, draws)


def replicated(body: nn.Module, objective: Objective, turn: Turn, *, foreign: bool) -> Replicated:
    """Return an objective whose gradients are averaged.

    Args:
        body: What is trained.
        objective: The loss of a batch.
        turn: Says of each batch whether it is the last of its step.
        foreign: Whether the body was made elsewhere, and may hold parameters that a forward pass leaves out.
    """
    module = DistributedDataParallel(
        _Loss(body, objective), forward_sync_buffers=False, find_unused_parameters=foreign, gradient_as_bucket_view=True
    )
    return Replicated(module, turn)
