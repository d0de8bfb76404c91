"""Views of a window's parameters: totals over the network, the weights that carry a layer, their order by depth."""

from dataclasses import dataclass

import numpy as np

from equipoise.vitals.window import Window

_NOT_CARRYING = ("Norm", "Embedding", "PReLU", "Scale")


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """Sums over all parameters that are trained, each (S,); NaN where nothing was measured.

    Attributes:
        gradient: Norm of the gradient of all of them together.
        weight: Norm of the weights.
        update_ratio: Norm of the step over the norm of the weights before it.
        cosine: Cosine of the gradient with that of the step before, weighted by the squared gradient norms of this
            step: exact when the parameters' shares of the norm did not change between the two.
    """

    gradient: np.ndarray
    weight: np.ndarray
    update_ratio: np.ndarray
    cosine: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Depth:
    """The layers of a network that carry its signal.

    Attributes:
        layers: Name of each layer and indices of its weights among the parameters, from input to output.
        carrying: Indices of all those weights.
    """

    layers: tuple[tuple[str, np.ndarray], ...]
    carrying: np.ndarray


def trained(window: Window) -> np.ndarray:
    """Return which parameters (P,) require a gradient and are held by the optimiser."""
    return np.array([one.trainable and one.optimized for one in window.weights], dtype=bool)


def totals(window: Window) -> Totals:
    """Return the totals over all trained parameters."""
    kept = trained(window)
    everything = bool(kept.all())
    gradient, cosine, weight, ratio = (
        one if everything else one[:, kept]
        for one in (
            window.gradient["norm"],
            window.gradient["cosine"],
            window.weight["norm"],
            window.weight["update_ratio"],
        )
    )
    with np.errstate(all="ignore"):
        power = np.where(np.isfinite(cosine), np.square(gradient, dtype=np.float64), 0.0)
        size = np.square(weight, dtype=np.float64)
        known = np.isfinite(ratio)
        moved = np.where(known, ratio**2 * size, 0.0).sum(1) / np.where(known, size, 0.0).sum(1)
        return Totals(
            gradient=_root_sum(gradient),
            weight=_root_sum(weight),
            update_ratio=np.sqrt(moved),
            cosine=np.where(np.isfinite(cosine), power * cosine, 0.0).sum(1) / power.sum(1),
        )


def carrying(window: Window) -> np.ndarray:
    """Return which parameters (P,) carry a layer's signal: trained weights, no biases, no scales, no embeddings."""
    kinds = {one.name: one.kind for one in window.layers}
    return trained(window) & np.array(
        [
            "bias" not in one.name.rsplit(".", 1)[-1]
            and one.count > 1
            and not any(word in kinds.get(one.layer, "") for word in _NOT_CARRYING)
            for one in window.weights
        ],
        dtype=bool,
    )


def by_depth(window: Window) -> Depth:
    """Return the layers that carry the signal, from input to output, each with the indices of its weights.

    Depth is the position in the computation; a module that was called without being seen (as attention calls its
    output projection) counts where its parent is, or else where its neighbour in the list of parameters is.
    """
    place: dict[str, int] = {}
    for k, layer in enumerate(window.layers):
        place.setdefault(layer.name, k)
    kept, last = carrying(window), -1
    found: dict[str, tuple[int, list[int]]] = {}
    for p, one in enumerate(window.weights):
        path = one.layer
        while path and path not in place:
            path = path.rpartition(".")[0]
        last = place.get(path, last)
        if kept[p]:
            found.setdefault(one.layer, (last, []))[1].append(p)
    ordered = sorted(found.items(), key=lambda item: item[1][0])
    return Depth(tuple((name, np.array(indices)) for name, (_, indices) in ordered), np.flatnonzero(kept))


def _root_sum(values: np.ndarray) -> np.ndarray:
    """Return the root of the sum of squares (S,) over what was measured; NaN where nothing was."""
    known = ~np.isnan(values)
    total: np.ndarray = np.sqrt(np.where(known, np.square(values, dtype=np.float64), 0.0).sum(1))
    total[~known.any(1)] = np.nan
    return total
