"""Averages of the weights over training steps, and the network with the average in it."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

TAIL_SHARE = 0.25
"""Share of the planned steps, at the end, over which the tail average runs."""


@dataclass(slots=True, eq=False)
class Average:
    """A running average of weights.

    `exponential`: a <- d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)) at the t-th step, so that the first
    weights are forgotten quickly. `tail`: the mean of the weights after each step of the last quarter of the planned
    steps (Jain et al., JMLR 2018).

    Attributes:
        kind: `exponential` or `tail`.
        parameters: The trained parameters.
        decay: For `exponential`.
        start: Step after which averaging begins.
        count: Weights averaged so far.
        values: The average, one tensor a parameter; empty until averaging begins.
    """

    kind: Literal["exponential", "tail"]
    parameters: tuple[nn.Parameter, ...]
    decay: float
    start: int = 0
    count: int = 0
    values: list[Tensor] = field(default_factory=list)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1."""
        if step <= self.start:
            return
        self.count += 1
        if not self.values:
            self.values = [parameter.detach().clone() for parameter in self.parameters]
            return
        share = 1 / self.count
        if self.kind == "exponential":
            share = 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        for value, parameter in zip(self.values, self.parameters, strict=True):
            value.lerp_(parameter, share)

    @contextlib.contextmanager
    def in_place(self, network: nn.Module, batches: Iterable[Tensor]) -> Iterator[None]:
        """Put the average into the network for a while; weights and statistics return bit for bit.

        Args:
            network: The network that is trained.
            batches: Features of training samples, from which batch-norm statistics are estimated anew for the average.
        """
        if not self.values:
            yield
            return
        kept = [parameter.detach().clone() for parameter in self.parameters]
        buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
        try:
            with torch.no_grad():
                for parameter, value in zip(self.parameters, self.values, strict=True):
                    parameter.copy_(value)
            estimate_statistics(network, batches)
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self.parameters, kept, strict=True):
                    parameter.copy_(value)
                for buffer, value in buffers:
                    buffer.copy_(value)


@torch.no_grad()
def estimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the running mean and variance of every batch norm to the mean over batches of features.

    Everything else (dropout) stays in evaluation mode; the network is left in evaluation mode.
    """
    network.eval()
    norms = [
        module
        for module in network.modules()
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)) and module.track_running_stats
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
        norm.train()
    body = getattr(network, "body", network)
    for features in batches:
        body(features)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
