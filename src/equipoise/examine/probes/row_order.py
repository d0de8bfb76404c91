"""`row-order`: are the rows sorted by label while the loop takes them in order?"""

import math

import numpy as np
import torch

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.examine.probes.categories import categories_of
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.setup import Setup

NAME = "row-order"
_SURE = 1e-6


@probe(NAME)
def row_order(setup: Setup) -> Symptom:
    """Compare the labels' runs, in the order of the rows, with those of rows in random order.

    The number of places where neighbours have the same label is compared with its mean and deviation over all orders
    (Wald and Wolfowitz, 1940, for several kinds: Barton and David, 1957). What a batch then lacks is the diversity of
    its labels against that of all.
    """
    n = len(setup.train[1])
    size = min(setup.batch_size, n)
    if setup.shuffle:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim="Rows are drawn in a new order every epoch.")
    if size >= n or n < 20:
        raise InapplicableError("one batch holds all rows, or there are too few of them")
    labels = categories_of(setup)
    values = labels if labels is not None or setup.opaque else _bins(setup)
    if values is None or len(np.unique(values)) < 2:
        raise InapplicableError("the targets have no order to judge")
    score, p = _runs(values)
    diversity = _diversity(values, size)
    estimates = {"p of so few runs": exact(p, n=n), "diversity of a batch's labels": exact(diversity, n=n // size)}
    claim = (
        f"Rows come in a fixed order whose neighbours share their labels {score:.1f} deviations more often than "
        f"by chance (p {p:.1g}); a batch has {diversity:.0%} of the label diversity of a random one."
    )
    if p > _SURE or diversity > 0.8:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    weight = 6.0 if diversity < 0.4 else 3.5
    return Symptom(
        name=NAME,
        verdict=Verdict.FAIL if diversity < 0.6 else Verdict.WARN,
        claim=f"{claim} Shuffle the rows anew for every epoch.",
        where=("loop.order",),
        suggests={"no_shuffle": weight if labels is not None else 0.7 * weight},
        estimates=estimates,
    )


def _bins(setup: Setup) -> np.ndarray | None:
    """Return quantities of one column in eight classes of equal size."""
    targets = setup.train[1].detach().double()
    if targets.numel() != len(targets):
        return None
    flat = targets.reshape(-1).cpu().numpy()
    return np.searchsorted(np.quantile(flat, np.arange(1, 8) / 8), flat)


def _runs(values: np.ndarray) -> tuple[float, float]:
    """Return how many deviations more neighbours are alike than in random order, and the one-sided p-value."""
    n = len(values)
    counts = np.bincount(values).astype(float)
    alike = float((values[1:] == values[:-1]).sum())
    pairs = (counts * (counts - 1)).sum()
    mean = pairs / n
    triples = (counts * (counts - 1) * (counts - 2)).sum()
    quads = pairs**2 - 4 * triples - 2 * pairs
    # Neighbouring places share a row, or they do not.
    second = mean + 2 * (n - 2) * triples / (n * (n - 1) * (n - 2))
    second += (n - 2) * (n - 3) * quads / (n * (n - 1) * (n - 2) * (n - 3))
    spread = math.sqrt(max(second - mean**2, 1e-12))
    score = (alike - mean) / spread
    return score, 0.5 * math.erfc(score / math.sqrt(2))


def _diversity(values: np.ndarray, size: int) -> float:
    """Return the mean entropy of batches' labels in the order of the rows, relative to that in random order."""
    shuffled = values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0)).numpy()]
    ordered, random = _entropy(values, size), _entropy(shuffled, size)
    return ordered / random if random > 0 else 1.0


def _entropy(values: np.ndarray, size: int) -> float:
    found: list[float] = []
    for start in range(0, len(values) - size + 1, size):
        counts = np.bincount(values[start : start + size])
        shares = counts[counts > 0] / size
        found.append(float(-(shares * np.log(shares)).sum()))
    return float(np.mean(found)) if found else 0.0
