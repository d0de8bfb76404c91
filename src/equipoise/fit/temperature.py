"""Temperature scaling: one number that makes the probabilities of a trained network honest."""

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from equipoise.core.signature import TaskKind
from equipoise.data.samples import IGNORED
from equipoise.networks.network import Network

RANGE = (0.02, 50.0)
"""Temperatures that are tried."""


@torch.no_grad()
def scale_temperature(network: Network, scores: Tensor, targets: Tensor) -> float:
    """Set the head's temperature to the one with the smallest negative log-likelihood; return it.

    References:
        C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger. On calibration of modern neural networks. ICML 2017, section 4.2.

    Args:
        network: A classifier whose head has a `temperature`; changed in place.
        scores: The body's scores on validation samples.
        targets: Their targets as in `Samples`.

    Raises:
        ValueError: The head has no temperature.
    """
    temperature = getattr(network.head, "temperature", None)
    if not isinstance(temperature, Tensor):
        raise ValueError(
            f"finish: got 'temperature' for a task of kind {network.signature.task.kind!r}; expected a task with "
            "classes. Leave it out."
        )
    best = best_temperature(scores, targets, network.signature.task.kind)
    temperature.fill_(best)
    return best


def best_temperature(scores: Tensor, targets: Tensor, kind: TaskKind) -> float:
    """Return the temperature with the smallest negative log-likelihood; 1 where none is smaller than that of 1."""
    scores = scores.double()

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(scores * float(torch.tensor(-logarithm).exp()), targets, kind)

    low, high = (float(torch.tensor(bound).log()) for bound in RANGE)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    # The bound of the search or rounding must never make the probabilities worse than they were.
    return float(torch.tensor(float(found.x)).exp()) if found.fun < loss(0.0) else 1.0


def negative_log_likelihood(scores: Tensor, targets: Tensor, kind: TaskKind) -> float:
    """Return the mean negative log-likelihood of targets in nats, from the body's scores."""
    if kind in ("binary", "multilabel"):
        truth = targets.reshape(len(targets), -1).to(scores.dtype)
        return float(functional.binary_cross_entropy_with_logits(scores, truth))
    flat = scores.reshape(-1, scores.shape[-1])
    return float(functional.cross_entropy(flat, targets.reshape(-1), ignore_index=IGNORED))
