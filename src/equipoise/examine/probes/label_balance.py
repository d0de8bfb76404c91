"""`label-balance`: are there classes so rare that a network can ignore them?"""

import numpy as np
import torch

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.examine.probes.categories import categories_of
from equipoise.examine.probes.contract import contract
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.setup import Setup, running
from equipoise.networks.foreign import first_tensor
from equipoise.stats.intervals import proportion

NAME = "label-balance"


@probe(NAME)
def label_balance(setup: Setup) -> Symptom:
    """Count the classes. Imbalance alone is no fault: it becomes one when rare classes are not learned.

    The evidence grows with the ratio of the largest class to the smallest beyond 10, and with a perplexity of the
    labels below half of the number of classes.
    """
    labels = categories_of(setup)
    if labels is None:
        raise InapplicableError("the targets are no classes")
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    n = int(counts.sum())
    if len(counts) == 1 or counts.max() > 10 * counts.min():
        task = contract(setup).task
        if not task.of_labels:  # counts of things, or numbers that only the loss can read
            raise InapplicableError("the loss does not read the targets as classes")
    if len(counts) == 1:
        claim = f"All {n} samples have one and the same label: there is nothing to tell apart. Check the labels."
        suggests = {"wrong_labels": 5.0, "class_imbalance": 1.0} if n >= 8 else {}
        verdict = Verdict.FAIL if n >= 8 else Verdict.UNSURE
        return Symptom(name=NAME, verdict=verdict, claim=claim, where=("targets",), suggests=suggests)
    shares = counts / n
    perplexity = float(np.exp(-(shares * np.log(shares)).sum()))
    rarest, ratio = proportion(int(counts.min()), n), float(counts.max() / counts.min())
    estimates = {
        "share of the rarest class": rarest,
        "largest to smallest class": exact(ratio, n=n),
        "perplexity of classes": exact(perplexity / len(counts), n=n),
    }
    claim = (
        f"The rarest of {len(counts)} classes has {rarest.value:.1%} of {n} samples; the largest is "
        f"{ratio:.3g} times as large."
    )
    # Few rows say little about how rare a class is.
    weight = 0.0 if rarest.high > 0.12 else max(0.0, min(2.5, 1.0 + np.log10(ratio / 10)))
    if weight >= 0.5:
        pull = _pull_of_rarest(setup, labels)
        if pull is not None and pull > 0.2 * ratio:
            claim += f" The loss pulls {pull:.3g} times as hard for the rarest, which makes up for it."
            weight = 0.0
    if weight < 0.5:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    extreme = ratio > 100 and rarest.high < 0.02
    return Symptom(
        name=NAME,
        verdict=Verdict.WARN if extreme else Verdict.UNSURE,
        claim=f"{claim} Watch the recall of each class; weight the loss if one is not learned.",
        where=("targets",),
        suggests={"class_imbalance": float(weight)},
        estimates=estimates,
    )


def _pull_of_rarest(setup: Setup, labels: np.ndarray) -> float | None:
    """Return how much harder the loss pulls at a sample of the rarest class than at one of the largest; None unknown.

    Both samples get the same outputs, the same for every class.
    """
    counts = np.bincount(labels).astype(float)
    rarest = int(np.where(counts > 0, counts, np.inf).argmin())
    picked = torch.tensor([int((labels == kind).argmax()) for kind in (rarest, int(counts.argmax()))])
    network = running(setup).network.eval()
    with torch.no_grad():
        shape = first_tensor(network(setup.train[0][picked])).shape
    columns = shape[-1] if len(shape) > 1 else 1
    outputs = torch.full(shape, 1 / columns if columns > 1 else 0.5).to(setup.train[0].device).requires_grad_()
    (slope,) = torch.autograd.grad(setup.loss(outputs, setup.train[1][picked]), outputs)
    rare, large = (float(one.norm()) for one in slope)
    return rare / large if large > 0 else None
