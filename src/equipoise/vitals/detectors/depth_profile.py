"""How gradients change from layer to layer on the way back to the input."""

import re
from dataclasses import dataclass

import numpy as np

from equipoise.vitals.detectors.parameters import Depth
from equipoise.vitals.window import Window

FEWEST, MOST = 4, 24
"""Layers that a profile needs, and how many of a deeper network (evenly spaced) are looked at."""
STEPS = 16
"""So many steps of a window (evenly spaced) are looked at."""

MATCHING = re.compile(r"(^|[._])(query|key|q|k|q_proj|k_proj|q_lin|k_lin)$")
"""Projections whose product goes through a softmax: their gradient starts near zero in every healthy transformer."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The picked layers and steps of a window.

    Attributes:
        names: The L layers from input to output.
        ratios: Update ratio of each layer's weights (s, L).
        decay: By how much the gradient decays from output to input (k,), in nats, at the steps where it is known.
    """

    names: tuple[str, ...]
    ratios: np.ndarray
    decay: np.ndarray


def profile(window: Window, depth: Depth) -> Profile:
    """Return the profile of log(|gradient| / |weight|) over the layers of a window."""
    layers = tuple(layer for layer in depth.layers if not MATCHING.search(layer[0]))
    if len(layers) > MOST:
        layers = tuple(layers[k] for k in np.linspace(0, len(layers) - 1, MOST).round().astype(int))
    names = tuple(name for name, _ in layers)
    if len(layers) < FEWEST or not len(window.steps):
        return Profile(names, np.empty((0, len(layers))), np.empty(0))
    picked = np.unique(np.linspace(0, len(window.steps) - 1, STEPS).round().astype(int))
    order = np.concatenate([indices for _, indices in layers])
    starts = np.cumsum([0, *(len(indices) for _, indices in layers[:-1])])
    cells = np.ix_(picked, order)
    weight, gradient = window.weight["norm"][cells] ** 2, window.gradient["norm"][cells] ** 2
    moved = window.weight["update_ratio"][cells] ** 2 * weight
    with np.errstate(all="ignore"):
        size, slope, step = (np.add.reduceat(one, starts, axis=1) for one in (weight, gradient, moved))
        logs = 0.5 * np.log(slope / size)
        ratios = np.sqrt(step / size)
    logs[~np.isfinite(logs)] = np.nan
    total = decay(logs)
    return Profile(names, ratios, total[np.isfinite(total)])


def decay(logs: np.ndarray) -> np.ndarray:
    """Return by how much (S,), in nats, the gradient decays from the output to the input, as the whole profile says.

    The median of the slopes of all pairs of layers (Theil 1950; Sen, JASA 1968) times the number of layers between
    first and last; one odd layer, such as a last layer at another scale, does not move it. Negative when gradients
    grow towards the input. NaN where fewer than half of the layers, or fewer than `FEWEST`, had a gradient.

    Args:
        logs: Log of gradient over weight norm (S, L), layers from input to output.
    """
    steps, layers = logs.shape
    out = np.full(steps, np.nan)
    if layers < FEWEST:
        return out
    i, j = np.triu_indices(layers, 1)
    slopes = (logs[:, j] - logs[:, i]) / (j - i)
    enough = np.isfinite(logs).sum(1) >= max(FEWEST, (layers + 1) // 2)
    median = np.median if np.isfinite(slopes[enough]).all() else np.nanmedian
    if enough.any():
        out[enough] = median(slopes[enough], axis=1) * (layers - 1)
    return out
