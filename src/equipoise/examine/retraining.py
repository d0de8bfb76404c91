"""Training a subject's plan again: with other seeds, on other rows, or changed; for questions that need a cohort."""

import time
from collections.abc import Sequence

import numpy as np
import torch

from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.plan import Plan
from equipoise.core.progress import Listener
from equipoise.core.stop import StopReason
from equipoise.data.redivide import can_redivide, redivided
from equipoise.data.samples import Splits
from equipoise.examine.question import Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.fit.cohort import Member, fit_members
from equipoise.fit.fitted import Fit
from equipoise.fit.validation import all_targets
from equipoise.networks.network import answers

FEWEST, MOST = 3, 8
"""Networks that a cohort has at least, and at most."""

ON_REQUEST_S = 60.0
"""What a question that trains costs at least: more than a default examination, which must not train anything again."""

SPARE = 0.8
"""Share of the budget that trainings may take; they take longer than the first one when the machine is busy."""


def own_fit(subject: Subject) -> Fit:
    """Return the fit that made a subject, whose plan can be trained again.

    Raises:
        InapplicableError: The network was trained elsewhere, or is one that cannot be made anew.
    """
    fit = subject.fit
    if fit is None or fit.stopped is StopReason.NOT_TRAINED:
        raise InapplicableError("the network was trained elsewhere, so it cannot be trained again")
    network = fit.plan.network
    if isinstance(network, ForeignNetwork) and not (network.path or network.factory):
        raise InapplicableError("the network came as an object from Python, so it cannot be made anew")
    return fit


def cost_of_trainings(subject: Subject, trainings: float) -> float:
    """Return about how many seconds so many trainings take, at least `ON_REQUEST_S`; 0 where none is possible."""
    try:
        return max(ON_REQUEST_S, trainings * own_fit(subject).seconds / SPARE)
    except InapplicableError:
        return 0.0


def affordable_seeds(fit: Fit, context: Context, *, each: float = 1.0, fewest: int = FEWEST, most: int = MOST) -> int:
    """Return how many seeds the budget allows.

    Args:
        fit: The training that each seed repeats.
        context: Its budget counts.
        each: Trainings of a seed, in the length of that one.
        fewest: Never fewer.
        most: Never more.
    """
    can = SPARE * context.budget_s / max(each * fit.seconds, 1e-3)
    return int(min(most, max(fewest, can)))


def train(members: Sequence[Member], on_progress: Listener) -> tuple[Fit, ...]:
    """Return the members, trained.

    Raises:
        InapplicableError: One of them cannot be trained, such as a network from a file that needs trust.
        KeyboardInterrupt: A training was interrupted.
    """
    try:
        fits = fit_members(members, on_progress=on_progress).members
    except ValueError as reason:
        raise InapplicableError(f"it cannot be trained again: {reason}") from None
    if len(fits) < len(members) or any(one.stopped is StopReason.INTERRUPTED for one in fits):
        raise KeyboardInterrupt
    return fits


def train_within(members: Sequence[Member], fewest: int, context: Context) -> tuple[Fit, ...]:
    """Return as many of the members, in their order and at least `fewest`, as the budget's time allows, trained."""
    start = time.perf_counter()
    fits = train(members[:fewest], context.on_progress)
    took = time.perf_counter() - start
    more = members[fewest:]
    can = int((SPARE * context.budget_s - took) / max(took / fewest, 1e-6))
    return (*fits, *train(more[:can], context.on_progress)) if more and can > 0 else fits


def other_seeds(fit: Fit, count: int, *, after: int = 0) -> tuple[int, ...]:
    """Return seeds that are not the fit's own, leaving out the first `after` of them."""
    first = fit.seed + 1 + after
    return tuple(range(first, first + count))


def labels_of(splits: Splits) -> np.ndarray | None:
    """Return the class of each sample of the training part, then of the validation part; None without classes."""
    if not splits.signature.task.classifies:
        return None
    parts = (splits.train, splits.validation)
    labels: np.ndarray = torch.cat([all_targets(one) for one in parts]).numpy()
    return labels


def training_labels(splits: Splits) -> np.ndarray | None:
    """Return the class of each sample of the training part; None for tasks without classes."""
    labels = labels_of(splits)
    return None if labels is None else labels[: len(splits.train)]


def divisions(fit: Fit, seeds: Sequence[int]) -> tuple[tuple[Splits, ...], str]:
    """Return the data as each seed divides them into training and validation part, and what was done in words.

    The test part is in none of them. Where rows must not be mixed (groups, time, streamed data) all seeds share the
    division of the fit.
    """
    splits = fit.splits
    if fit.plan.data.split.method in ("group", "time") or not can_redivide(splits):
        return (splits,) * len(
            seeds
        ), "All seeds share one division of the data, whose rows must not be mixed or are too many to copy."
    labels = labels_of(splits)
    made = tuple(redivided(splits, seed, labels) for seed in seeds)
    return made, "Each seed draws first weights, order, and the division into training and validation part anew."


def said_by(fits: Sequence[Fit], subject: Subject, part: str = "test") -> tuple[np.ndarray, np.ndarray]:
    """Return what networks answer on the samples of `subject.answers(part)` (members, n, ...), and targets (n, ...).

    Raises:
        InapplicableError: Answers that are not finite.
    """
    asked = subject.answers(part)
    said = np.stack([answers(one.network, asked.inputs).cpu().numpy() for one in fits])
    broken = int((~np.isfinite(said.reshape(len(said), -1)).all(1)).sum())
    if broken:
        raise InapplicableError(f"{broken} of {len(fits)} trainings end with answers that are not finite")
    return said, asked.targets


def longer(plan: Plan, share: float) -> Plan:
    """Return a plan that takes as many steps on a share of the samples: all that is counted in epochs grows alike."""
    counts = {name: getattr(plan.recipe, name) for name in ("epochs", "patience", "step_every", "plateau_patience")}
    grown = {f"recipe__{name}": max(1, round(n / share)) for name, n in counts.items() if n is not None}
    return plan.replace(**grown)
