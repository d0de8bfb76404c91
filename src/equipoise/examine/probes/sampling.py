"""Drawing rows of a training for experiments: at random, so that sorted data do not mislead."""

import torch
from torch import Tensor

from equipoise.examine.probes.setup import Batch, Setup


def sample(setup: Setup, n: int, seed: int = 0) -> Batch:
    """Return at most n training rows, drawn without replacement by a generator of their own; copies."""
    return draw(setup.train, n, seed)


def draw(data: Batch, n: int, seed: int = 0) -> Batch:
    """Return at most n rows of inputs and targets, drawn without replacement; copies."""
    picked = torch.randperm(len(data[0]), generator=torch.Generator().manual_seed(seed))[:n]
    return data[0][picked].clone(), data[1][picked].clone()


def sample_batches(setup: Setup, count: int, seed: int = 0, size: int | None = None) -> list[Batch]:
    """Return `count` batches of the training's own size, each of rows drawn anew.

    Batches have at least two rows where there are two, so that layers that normalise over the batch run.
    """
    size = min(max(size or setup.batch_size, 2), len(setup.train[0]))
    return [sample(setup, size, seed + k) for k in range(count)]


def targets_of(setup: Setup, most: int = 4096) -> Tensor:
    """Return at most that many training targets, drawn at random."""
    n = len(setup.train[1])
    if n <= most:
        return setup.train[1]
    return setup.train[1][torch.randperm(n, generator=torch.Generator().manual_seed(0))[:most]]
