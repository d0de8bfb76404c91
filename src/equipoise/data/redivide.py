"""Other training parts out of the same samples: some rows, or another division of all that is not the test part."""

import dataclasses
import hashlib

import numpy as np
import torch

from equipoise.data.numbers import fit_numbers
from equipoise.data.samples import Splits, TensorSamples
from equipoise.data.select import train_on


def with_rows(splits: Splits, rows: np.ndarray, note: str) -> Splits:
    """Return a data set whose training part is some rows of the old one, in this order, under a digest of its own.

    The pre-processing stays that of the whole training part, so that networks differ in their samples alone.

    Args:
        splits: The data set.
        rows: Positions in its training part (n,); one may come more than once.
        note: What was done, in one sentence.
    """
    positions = np.ascontiguousarray(rows, dtype=np.int64)
    chosen = train_on(splits, torch.from_numpy(positions), note)
    return dataclasses.replace(chosen, digest=_digest(splits.digest, positions))


MOST_BYTES = 128 * 1024**2
"""Larger data are not divided anew: every division is a copy."""


def can_redivide(splits: Splits) -> bool:
    """Return whether training and validation part may be mixed: small, in memory, and no group must stay together."""
    if not (splits.train.resident and splits.validation.resident) or splits.groups:
        return False
    one, _ = splits.train.batch(torch.zeros(1, dtype=torch.int64))
    return one.nbytes * (len(splits.train) + len(splits.validation)) <= MOST_BYTES


def redivided(splits: Splits, seed: int, labels: np.ndarray | None = None) -> Splits:
    """Return a data set whose training and validation parts are drawn anew from both; the test part stays untouched.

    Both parts keep their sizes, and the numbers of the pre-processing are fitted on the new training part.

    Args:
        splits: Data that `can_redivide`.
        seed: Draws the division.
        labels: Class of each sample of the training part, then of the validation part; shares of classes are kept.
    """
    held_out = len(splits.validation)
    order = stratified_order(len(splits.train) + held_out, np.random.default_rng(seed), labels)
    rows = {"validation": np.sort(order[:held_out]), "train": np.sort(order[held_out:])}
    both = [part.batch(torch.arange(len(part))) for part in (splits.train, splits.validation)]
    inputs, targets = torch.cat([one[0] for one in both]), torch.cat([one[1] for one in both])
    source = np.concatenate([splits.rows["train"], splits.rows["validation"]])
    parts = {name: TensorSamples(inputs[torch.from_numpy(where)], targets[where]) for name, where in rows.items()}
    numbers = fit_numbers(parts["train"], splits.signature)
    return dataclasses.replace(
        splits,
        train=parts["train"],
        validation=parts["validation"],
        preprocessing=numbers.replace(reduction=splits.preprocessing.reduction),
        rows={**splits.rows, **{name: source[where] for name, where in rows.items()}},
        digest=_digest(splits.digest, rows["validation"]),
    )


def stratified_order(n: int, rng: np.random.Generator, labels: np.ndarray | None = None) -> np.ndarray:
    """Return a random order of n samples of which every beginning holds each class by about its share (n,)."""
    order = rng.permutation(n)
    if labels is None:
        return order
    place = np.empty(n)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(place, kind="stable")


def _digest(before: str, rows: np.ndarray) -> str:
    return hashlib.sha256(before.encode() + np.ascontiguousarray(rows, dtype=np.int64).tobytes()).hexdigest()
