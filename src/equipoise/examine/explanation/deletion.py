"""Deletion and insertion curves: what is left of an answer when what an attribution points to is taken or given."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equipoise.examine.explanation.explained import Explained, Sheet
from equipoise.networks.network import Network


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Curves of one ranking.

    Attributes:
        deletion: Belief left when the first players are taken away, (n, steps).
        insertion: Belief reached when only the first players are there, (n, steps).
    """

    deletion: np.ndarray
    insertion: np.ndarray

    @property
    def faithfulness(self) -> np.ndarray:
        """Area under the insertion curve minus that under the deletion curve, a sample, (n,), in [-1, 1]."""
        return area(self.insertion) - area(self.deletion)


def area(curves: np.ndarray) -> np.ndarray:
    """Return the area (n,) under curves (n, steps) over evenly spaced shares from 0 to 1, by the trapezoid rule."""
    areas: np.ndarray = np.trapezoid(curves, np.linspace(0.0, 1.0, curves.shape[1]), axis=1)
    return areas


@torch.no_grad()
def course(network: Network, sheet: Sheet, ranking: Tensor, *, steps: int = 9) -> Course:
    """Return the curves of a ranking (Petsiuk, Das and Saenko, BMVC 2018).

    Args:
        network: The network.
        sheet: The samples.
        ranking: What each player is worth (n, players); the largest goes first, ties in their order.
        steps: Points on each curve, from none to all players.
    """
    explained = Explained(network)
    original = explained(sheet.features, sheet.decided)
    spread = float(original.std(correction=0))
    first = ranking.argsort(dim=1, descending=True, stable=True).argsort(1)
    of = sheet.players.of.to(first.device)
    taken: list[np.ndarray] = []
    given: list[np.ndarray] = []
    for share in torch.linspace(0.0, 1.0, steps):
        chosen = first < (share * sheet.lengths).round().to(first.device)[:, None]
        marked = chosen[:, of.flatten()].reshape(sheet.features.shape)
        without = torch.where(marked, sheet.baseline, sheet.features)
        only = torch.where(marked, sheet.features, sheet.baseline)
        for where, features in ((taken, without), (given, only)):
            where.append(explained.belief(features, sheet.decided, original, spread).double().cpu().numpy())
    return Course(np.stack(taken, 1), np.stack(given, 1))


def worth(attributions: Tensor, sheet: Sheet, *, regression: bool) -> Tensor:
    """Return what a ranking goes by: the attribution, its size for a value; padding comes last.

    Args:
        attributions: (n, players).
        sheet: The samples.
        regression: Whether a value is explained, which features move either way.
    """
    valued = attributions.abs() if regression else attributions
    if not sheet.tokens:
        return valued
    return valued.masked_fill(sheet.features == 0, -torch.inf)
