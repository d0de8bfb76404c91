"""Targets as one category a sample, for probes that count."""

import numpy as np
import torch
from torch import Tensor

from equipoise.examine.probes.setup import Setup

_FEW = 100


def categories(targets: Tensor) -> np.ndarray | None:
    """Return the category of each sample as numbers from 0 (n,), or None when targets are no categories.

    Class indices, labels of two kinds, one-hot rows, and columns of a few whole numbers count.
    """
    values = targets.detach().cpu()
    if values.dim() == 2 and values.shape[1] > 1:
        double = values.double()
        one_hot = bool(((double == 0) | (double == 1)).all()) and bool((double.sum(1) == 1).all())
        return double.argmax(1).numpy() if one_hot else None
    if values.numel() != len(values):
        return None
    flat = values.reshape(-1)
    if flat.is_floating_point() and not bool((flat == flat.round()).all()):
        return None
    found, index = torch.unique(flat, return_inverse=True)
    if len(found) > min(_FEW, max(2, len(flat) // 3)):
        return None
    return index.numpy()


def categories_of(setup: Setup) -> np.ndarray | None:
    """Return the category of each training sample, in the order of the rows, or None; see `categories`."""
    return None if setup.opaque else categories(setup.train[1])
