"""What TheDeepChecker knows about data: classes, their balance, samples that are even over classes, and its F-test."""

import math

import torch
from benchmarks.diagnosis_programs import Batch, Subject
from benchmarks.diagnosis_rules import watching
from torch import Tensor

F_CRITICAL = 2.70554
"""Critical value of the tool's F-test at alpha = 0.1."""


def labels(targets: Tensor) -> Tensor:
    """Return classes (n,) of targets: integers, one-hot rows, or zeros and ones."""
    if targets.dim() > 1 and targets.shape[1] > 1:
        return targets.argmax(1)
    return targets.reshape(len(targets)).long()


def sample(given: Subject, size: int) -> Batch:
    """Return training rows drawn by a fixed seed, the same number of every class."""
    inputs, targets = given.train
    draw = torch.Generator().manual_seed(42)
    if not watching.classifies(targets):
        rows = torch.randint(len(inputs), (size,), generator=draw)
        return inputs[rows], targets[rows]
    classes = labels(targets)
    each = max(1, size // len(classes.unique()))
    rows = torch.cat([_drawn((classes == one).nonzero().flatten(), each, draw) for one in classes.unique()])
    return inputs[rows], targets[rows]


def _drawn(rows: Tensor, size: int, draw: torch.Generator) -> Tensor:
    return rows[torch.randint(len(rows), (size,), generator=draw)]


def balance(targets: Tensor) -> float:
    """Return (perplexity of the labels - 1) / (number of labels - 1), 1 when all are equally frequent."""
    if targets.dim() > 1 and targets.shape[1] > 1:
        shares = targets.double().mean(0)
    else:
        shares = torch.bincount(labels(targets), minlength=2).double()
    shares = shares[shares > 0] / shares.sum()
    count = max(2, targets.shape[1] if targets.dim() > 1 else int(labels(targets).max()) + 1)
    return (math.exp(float(-(shares * shares.log()).sum())) - 1) / (count - 1)


def f_test(values: Tensor, deviation: float) -> bool:
    """Return whether the variance of values may be that of `deviation`, by the tool's test."""
    one, other = float(values.std(correction=0)) ** 2, deviation**2
    return max(one, other) <= F_CRITICAL * min(one, other)
