"""What networks say of training samples that they were not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from equipoise.core.plan import Plan
from equipoise.core.progress import Listener
from equipoise.data.samples import Splits
from equipoise.data.select import train_on
from equipoise.fit.feed import targets_on_scale
from equipoise.fit.seeds import derive
from equipoise.fit.validation import BATCH, all_targets
from equipoise.networks.network import Network


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Scores for the training part from networks that have not seen the sample.

    Attributes:
        scores: (plans, n, ...), the body's own scale.
        targets: Prepared targets (n, ...): on the scale of the scores.
        head: A network whose head turns scores into answers.
        steps, seconds: What the trainings took.
    """

    scores: Tensor
    targets: Tensor
    head: Network
    steps: int
    seconds: float


def held_out(
    plans: Sequence[Plan], seed: int, splits: Splits, folds: int, *, trust: bool, on_progress: Listener
) -> HeldOut:
    """Return cross-validated scores of the training part: each plan is trained `folds` times, without one fold each.

    Args:
        plans: Plans of single networks, without steps after training.
        seed: Draws the folds (each class is divided evenly) and the seeds of the trainings.
        splits: The data, prepared.
        folds: Number of folds, at least 2.
        trust: Whether a foreign network's file may be unpickled.
        on_progress: Told how many are trained.
    """
    from equipoise.fit.cohort import Member, fit_members  # which needs `fit`, which needs this

    truth = all_targets(splits.train)
    fold_of = assign_folds(truth.numpy() if splits.signature.task.classifies else None, len(truth), folds, seed)
    members = [
        Member(plan=plan, seed=derive(seed, "fold", i, fold), splits=_without(splits, fold_of, fold))
        for i, plan in enumerate(plans)
        for fold in range(folds)
    ]
    trained = fit_members(members, trust=trust, on_progress=on_progress).members
    rows: list[Tensor] = []
    for i in range(len(plans)):
        scores: Tensor | None = None
        for fold in range(folds):
            where = torch.from_numpy(np.flatnonzero(fold_of == fold))
            found = _scores(trained[i * folds + fold].network, splits, where)
            scores = found.new_empty((len(truth), *found.shape[1:])) if scores is None else scores
            scores[where] = found
        if scores is not None:
            rows.append(scores)
    head = trained[0].network
    return HeldOut(
        scores=torch.stack(rows),
        targets=targets_on_scale(head)(truth),
        head=head,
        steps=sum(one.steps for one in trained),
        seconds=sum(one.seconds for one in trained),
    )


def assign_folds(labels: np.ndarray | None, n: int, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each of n samples, of even sizes; with labels (n,), each class is divided evenly too."""
    generator = np.random.default_rng(derive(seed, "folds"))
    order = generator.permutation(n)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    fold_of = np.empty(n, dtype=np.int64)
    fold_of[order] = np.arange(n) % folds
    return fold_of


def _without(splits: Splits, fold_of: np.ndarray, fold: int) -> Splits:
    kept = torch.from_numpy(np.flatnonzero(fold_of != fold))
    part = train_on(splits, kept, f"fold {fold} was left out")
    return replace(part, digest=f"{splits.digest}-{fold}")


@torch.no_grad()
def _scores(network: Network, splits: Splits, where: Tensor) -> Tensor:
    return torch.cat([network.scores(splits.train.batch(chunk)[0]) for chunk in where.split(BATCH)])
