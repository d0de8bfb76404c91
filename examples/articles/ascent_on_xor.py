"""Exclusive or on 2-4-1: the update adds the gradient, and targets (4,) meet outputs (4, 1).

`equipoise diagnose examples/articles/ascent_on_xor.py:as_printed --trust` names both faults; `mended` is without them.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

INPUTS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = torch.tensor([0.0, 1.0, 1.0, 0.0])


def begin() -> tuple[nn.Module, Optimizer]:
    """Return the network 2-4-1, tanh then sigmoid, and the step size of its update."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Sigmoid())
    return network, torch.optim.SGD(network.parameters(), lr=0.1)


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy; (4, 1) against (4,) becomes (4, 4)."""
    return -(targets * torch.log(outputs) + (1 - targets) * torch.log(1 - outputs)).mean()


def step(network: nn.Module, optimizer: Optimizer, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Take one step by hand: the gradient is added, which is the fault."""
    inputs, targets = batch
    network.zero_grad()
    value = loss(network(inputs), targets)
    value.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += optimizer.param_groups[0]["lr"] * parameter.grad
    return value.detach()


def as_printed() -> Mapping[str, object]:
    """Return the program with its faults."""
    network, optimizer = begin()
    return {
        "network": network,
        "loss": loss,
        "optimizer": optimizer,
        "train": (INPUTS, TARGETS),
        "batch_size": 4,
        "epochs": 1000,
        "shuffle": False,
        "begin": begin,
        "step": step,
    }


def mended() -> Mapping[str, object]:
    """Return it with targets (4, 1), a step downhill, and one long enough for a thousand steps."""
    network, _ = begin()
    return {
        "network": network,
        "loss": nn.BCELoss(),
        "optimizer": torch.optim.SGD(network.parameters(), lr=1.0),
        "train": (INPUTS, TARGETS.unsqueeze(1)),
        "batch_size": 4,
        "epochs": 1000,
        "shuffle": False,
    }
