"""Leaving out training rows whose label is very likely wrong."""

import numpy as np
import torch

from equipoise.core.data_plan import TrainingPart
from equipoise.core.plan import Plan
from equipoise.core.progress import Listener
from equipoise.data.samples import Splits
from equipoise.data.select import train_on
from equipoise.fit.held_out import held_out
from equipoise.fit.validation import all_targets
from equipoise.stats.confident import suspects

FOLDS = 4
"""Each row is judged by a network trained on three quarters of the others."""


def without_wrong_labels(plan: Plan, seed: int, splits: Splits, *, trust: bool, on_progress: Listener) -> Splits:
    """Return the data set without the training rows that confidently belong to another class than their label's.

    A class of which nothing would be left keeps all its rows.

    References:
        C. Northcutt, L. Jiang, I. Chuang. Confident learning: estimating uncertainty in dataset labels. JAIR 70, 2021.
    """
    single = plan.replace(members=1, finish=(), data__training=TrainingPart())
    judged = held_out([single], seed, splits, FOLDS, trust=trust, on_progress=on_progress)
    labels = all_targets(splits.train).numpy()
    probabilities = judged.head.head.answer(judged.scores[0]).double().numpy()
    wrong = np.zeros(len(labels), dtype=bool)
    wrong[suspects(labels, probabilities)] = True
    for label in np.unique(labels):
        if wrong[labels == label].all():
            wrong[labels == label] = False
    note = f"{int(wrong.sum()):,} of {len(labels):,} training rows with a label that is very likely wrong were removed"
    return train_on(splits, torch.from_numpy(np.flatnonzero(~wrong)), note)


def check_pruning(splits: Splits) -> None:
    """Refuse pruning where it makes no sense.

    Raises:
        ValueError: Samples have no one class.
    """
    kind = splits.signature.task.kind
    if not splits.signature.task.classifies:
        raise ValueError(
            f"data.training.prune_labels: got a task of kind {kind!r}; expected one class a sample. Leave it out."
        )
