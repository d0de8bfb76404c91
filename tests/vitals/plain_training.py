"""A training written out by hand, which the adapters' measurements are compared with."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


def data(n=32):
    """Return inputs (n, 4) and targets (n, 3) of a noisy linear map."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(n, 4, generator=generator)
    targets = inputs @ torch.randn(4, 3, generator=generator) + 0.1 * torch.randn(n, 3, generator=generator)
    return inputs, targets


def network():
    """Return the network that every framework trains."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


@dataclass(frozen=True)
class Course:
    """What happened at each of S steps: losses, gradient norms (S, P), means of the first layer, update ratios."""

    losses: list[float]
    gradients: list[list[float]]
    means: list[float]
    ratios: list[list[float]]
    weights: list[Tensor]


def train(module, batches, *, rate=0.1):
    """Train by the formula of gradient descent, no optimiser and no hook, and return its course."""
    course = Course([], [], [], [], [])
    for inputs, targets in batches:
        first = module[0](inputs)
        loss = ((module[2](module[1](first)) - targets) ** 2).mean()
        gradients = torch.autograd.grad(loss, list(module.parameters()))
        course.losses.append(loss.item())
        course.gradients.append([one.double().norm().item() for one in gradients])
        course.means.append(first.double().mean().item())
        row = []
        with torch.no_grad():
            for parameter, gradient in zip(module.parameters(), gradients, strict=True):
                row.append((rate * gradient.double().norm() / parameter.double().norm()).item())
                parameter -= rate * gradient
        course.ratios.append(row)
    course.weights.extend(one.detach().clone() for one in module.parameters())
    return course


def agrees(windows, course):
    """Whether windows hold exactly the steps of a course, and its numbers."""
    import numpy as np

    steps = np.concatenate([one.steps for one in windows])
    assert steps.tolist() == list(range(1, len(course.losses) + 1))
    np.testing.assert_allclose(np.concatenate([one.loss for one in windows]), course.losses, rtol=1e-5)
    gradients = np.concatenate([one.gradient["norm"] for one in windows])
    np.testing.assert_allclose(gradients, course.gradients, rtol=1e-4)
    means = np.concatenate([one.activation["mean"][:, 0] for one in windows])
    np.testing.assert_allclose(means, course.means, rtol=1e-4, atol=1e-6)
    ratios = np.concatenate([one.weight["update_ratio"] for one in windows])[1:]
    np.testing.assert_allclose(ratios, course.ratios[1:], rtol=1e-3)
    return True
