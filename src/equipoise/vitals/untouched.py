"""Leaves a network exactly as it was found, whatever an experiment did to it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Put weights, buffers, gradients, modes and torch's random state back at the end, bit for bit."""
    tensors = [*network.parameters(), *network.buffers()]
    values = [one.detach().clone() for one in tensors]
    gradients = [(one, one.grad) for one in network.parameters()]
    modes = [(module, module.training) for module in network.modules()]
    with torch.random.fork_rng():
        try:
            yield
        finally:
            with torch.no_grad():
                for one, value in zip(tensors, values, strict=True):
                    one.copy_(value)
            for one, gradient in gradients:
                one.grad = gradient
            for module, training in modes:
                module.training = training
