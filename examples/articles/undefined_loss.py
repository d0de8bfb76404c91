"""A dense network 784-32-10 whose loop calls a `criterion` that nobody has defined.

`equipoise diagnose examples/articles/undefined_loss.py:as_printed --trust` names the fault; `mended` is without it.
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


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return what the printed loop calls its loss."""
    return criterion(outputs, targets)


def as_printed() -> Mapping[str, object]:
    """Return the program with its fault, trained in batches so that this fault stands alone."""
    torch.manual_seed(0)
    train, validation = pictures()
    return {
        "network": nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10)),
        "loss": loss,
        "optimizer": partial(torch.optim.Adam, lr=1e-3),
        "train": train,
        "validation": validation,
        "epochs": 20,
    }


def mended() -> Mapping[str, object]:
    """Return it with the loss that the network's logits ask for."""
    return {**as_printed(), "loss": nn.CrossEntropyLoss()}
