"""Ten inputs, five hidden units, one output: every use makes new random variables, so nothing is ever trained.

`equipoise diagnose examples/articles/remade_variables.py:as_printed --trust` names the fault; `mended` is without it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def variables() -> tuple[Tensor, Tensor]:
    """Return weights (10, 5) and biases (5,): new ones at every call, which is the fault."""
    return torch.randn(10, 5, requires_grad=True), torch.randn(5, requires_grad=True)


class Remade(nn.Module):
    """The network as printed: it asks for its variables whenever it needs them."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the prediction, (n, 5) although one number a sample was meant."""
        weights, biases = variables()
        return torch.relu(inputs @ weights + biases)


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return half the mean squared error, with a penalty on weights that are again new ones."""
    weights, _ = variables()
    return ((outputs - targets) ** 2).mean() / 2 + 0.01 / 200 * (weights**2).sum()


def rows(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return n rows of noise with a target that is noise as well."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 10, generator=generator), torch.rand(n, 1, generator=generator)


def as_printed() -> Mapping[str, object]:
    """Return the program with its faults: the optimiser, too, gets variables that nothing else uses."""
    return {
        "network": Remade(),
        "loss": loss,
        "optimizer": torch.optim.SGD(variables(), lr=0.01),
        "train": rows(100, seed=0),
        "validation": rows(20, seed=1),
        "batch_size": 100,
        "epochs": 1000,
        "shuffle": False,
    }


def mended() -> Mapping[str, object]:
    """Return it with weights that are made once, an output a sample, and targets that depend on the inputs."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(10, 5), nn.Tanh(), nn.Linear(5, 1))
    return {
        "network": network,
        "loss": nn.MSELoss(),
        "optimizer": torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=1e-4),
        "train": learnable(100, seed=0),
        "validation": learnable(20, seed=1),
        "batch_size": 10,
        "epochs": 60,
    }


def learnable(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return n rows whose target (n, 1) is a weighted sum of the inputs with a little noise, of deviation about 1."""
    inputs, noise = rows(n, seed)
    centred = (inputs - 0.5) * 12**0.5
    return centred, centred @ torch.linspace(-0.5, 0.5, 10).unsqueeze(1) + 0.2 * (noise - 0.5)
