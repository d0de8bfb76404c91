"""A dense network 784-32-10 that sees its training data five times, as one batch: five steps of Adam.

`equipoise diagnose examples/articles/five_full_batch_steps.py:as_printed --trust` names it; `mended` is without it.
"""

from collections.abc import Mapping
from functools import partial

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


def pictures() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return 400 digits for training and 200 held out: pixels (n, 784) in 0 to 1, and labels (n,)."""
    digits = load_digits()
    small = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)
    pixels, labels = nn.functional.interpolate(small, (28, 28)).flatten(1), torch.tensor(digits.target)
    return (pixels[:400], labels[:400]), (pixels[400:600], labels[400:600])


def as_printed() -> Mapping[str, object]:
    """Return the program with its fault, once its loss is defined."""
    torch.manual_seed(0)
    train, validation = pictures()
    return {
        "network": nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10)),
        "loss": nn.CrossEntropyLoss(),
        "optimizer": partial(torch.optim.Adam, lr=1e-3),
        "train": train,
        "validation": validation,
        "batch_size": 400,
        "epochs": 5,
        "shuffle": False,
    }


def mended() -> Mapping[str, object]:
    """Return it with batches of 32, drawn anew in each of twenty epochs."""
    return {**as_printed(), "batch_size": 32, "epochs": 20, "shuffle": True}
