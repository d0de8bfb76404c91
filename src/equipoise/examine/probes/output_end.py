"""What a network's outputs can be, whatever its weights: how it ends, found out by changing weights and inputs."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from equipoise.examine.probes.task import Task, canonical
from equipoise.networks.foreign import first_tensor

End = Literal[
    "constant",
    "softmax",
    "softmax over samples",
    "log-softmax",
    "sigmoid",
    "tanh",
    "rectified",
    "positive",
    "non-positive",
    "unbounded",
]

_DRAWS = 14
_TOLERANCE = 2e-4


@dataclass(frozen=True, slots=True)
class OutputEnd:
    """How a network ends.

    Attributes:
        kind: `constant` (one value whatever weights and inputs are), `softmax` (rows sum to 1), `softmax over samples`
            (columns of a batch sum to 1), `log-softmax`, `sigmoid` (inside [0, 1]), `tanh` (inside [-1, 1]),
            `rectified` (no value below 0, many exactly 0), `positive`, `non-positive` or `unbounded`.
        low, high: Smallest and largest output seen.
    """

    kind: End
    low: float
    high: float


@torch.no_grad()
def output_end(network: nn.Module, inputs: Tensor, task: Task) -> OutputEnd:
    """Return how a network ends, in evaluation mode, over many changes of its weights and inputs.

    Args:
        network: A copy; its weights are used up.
        inputs: Some inputs (n, ...), at least 2.
        task: Says on which axis the classes lie.
    """
    network.eval()
    seen = [values for values in _draws(network, inputs) if bool(torch.isfinite(values).all())]
    if not seen:
        return OutputEnd("unbounded", float("nan"), float("nan"))
    flat = torch.cat([one.reshape(-1) for one in seen]).double()
    low, high = float(flat.min()), float(flat.max())
    return OutputEnd(_kind(seen, low, high, task), low, high)


def _draws(network: nn.Module, inputs: Tensor) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    parameters = [one for one in network.parameters() if one.is_floating_point()]
    born = [one.detach().clone() for one in parameters]
    found = [first_tensor(network(inputs)).detach().clone()]
    for draw in range(_DRAWS):
        size = (0.5, 2.0, 8.0)[draw % 3]
        for parameter, start in zip(parameters, born, strict=True):
            spread = float(start.std()) if start.numel() > 1 else 0.0
            noise = torch.randn(start.shape, generator=generator).to(start)
            parameter.copy_(start + size * (spread + 0.05) * noise)
        found.append(first_tensor(network(inputs)).detach().clone())
    for parameter, start in zip(parameters, born, strict=True):
        parameter.copy_(start)
    return found


def _kind(seen: list[Tensor], low: float, high: float, task: Task) -> End:
    if high - low < 1e-6 * max(1.0, abs(high)):
        return "constant"
    if low >= -_TOLERANCE and high <= 1 + _TOLERANCE:
        rows = [canonical(task, one) for one in seen]
        if rows[0].shape[2] > 1 and all(_ones(one.sum(2)) for one in rows):
            return "softmax"
        if len(seen[0]) > 1 and all(_ones(one.sum(0)) for one in seen):
            return "softmax over samples"
        return "sigmoid"
    if high <= _TOLERANCE:
        rows = [canonical(task, one) for one in seen]
        summing = rows[0].shape[2] > 1 and all(bool((one.double().logsumexp(2).abs() < 1e-3).all()) for one in rows)
        return "log-softmax" if summing else "non-positive"
    if low >= 0:
        return "rectified" if any(bool((one == 0).any()) for one in seen) else "positive"
    return "tanh" if low >= -1 - 1e-6 and high <= 1 + 1e-6 else "unbounded"


def _ones(sums: Tensor) -> bool:
    return bool(((sums.double() - 1).abs() < 1e-3).all())
