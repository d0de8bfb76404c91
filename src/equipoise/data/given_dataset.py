"""Torch datasets: read into memory when they fit, else item by item."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from equipoise.core.signature import Signature
from equipoise.data.arrays import array_splits, steps_of
from equipoise.data.assemble import coverage_notes
from equipoise.data.axes import Axes, array_spec, numeric
from equipoise.data.memory import fits
from equipoise.data.numbers import fit_numbers
from equipoise.data.samples import Splits
from equipoise.data.split import PARTS, Division
from equipoise.data.streamed import StreamedSamples, stream_dataset
from equipoise.data.targets import named_classes, strata
from equipoise.data.task import Aim

PEEKED = 64
"""Of a dataset that is streamed, so many items are looked at to find the pixel range."""


def dataset_splits(
    dataset: Dataset[Any],
    aim: Aim,
    division: Division,
    *,
    axes: Axes | None = None,
    name: str = "data",
    streamed: bool | None = None,
) -> Splits:
    """Return a map-style dataset in three parts; every item is read once for its target.

    Class names are taken from the dataset's attribute `classes`, where it has one.

    Args:
        dataset: Items (input, target) of one shape.
        aim: What is predicted.
        division: How to divide.
        axes: What the axes of an input mean, or None to choose it.
        name: Short name of the data.
        streamed: Whether items are read batch by batch; without it, by their size and the free memory.

    Raises:
        ValueError: No length, no items, items of different shapes or that cannot be read.
    """
    samples = stream_dataset(dataset, name=type(dataset).__name__)
    answers = _answers(samples, dataset)
    first, _ = samples.batch(torch.arange(1))
    if fits(len(samples) * first.numel() * 4, streamed):
        inputs, _ = samples.batch(torch.arange(len(samples)))
        return array_splits(inputs.numpy(), answers, aim, division, axes=axes, name=name)
    return _streamed(samples, answers, aim, division, axes, name)


def dataset_arrays(dataset: Dataset[Any]) -> tuple[np.ndarray, Any]:
    """Return inputs and targets of a dataset that fits into memory.

    Raises:
        ValueError: It does not fit, or cannot be read.
    """
    samples = stream_dataset(dataset, name=type(dataset).__name__)
    first, _ = samples.batch(torch.arange(1))
    size = len(samples) * first.numel() * 4
    if not fits(size, None):
        raise ValueError(
            f"got a part of {size / 2**30:.1f} GiB; expected parts that fit into memory. Hand over one dataset instead "
            "of parts, which is then streamed."
        )
    return samples.batch(torch.arange(len(samples)))[0].numpy(), _answers(samples, dataset)


def _answers(samples: StreamedSamples, dataset: Dataset[Any]) -> Any:
    """Return the targets, as class names where the dataset has them; None without targets."""
    targets = samples.targets.numpy()
    if targets.ndim == 2 and targets.shape[1] == 0:
        return None
    classes = getattr(dataset, "classes", None)
    named = isinstance(classes, (list, tuple)) and len(set(map(str, classes))) == len(classes)
    if not named or targets.ndim != 1 or targets.min() < 0 or targets.max() >= len(classes):
        return targets
    return named_classes(targets, classes, "class")


def _streamed(
    samples: StreamedSamples, answers: Any, aim: Aim, division: Division, axes: Axes | None, name: str
) -> Splits:
    n = len(samples)
    peeked = samples.batch(torch.linspace(0, n - 1, min(n, PEEKED), dtype=torch.float64).long())[0].numpy()
    spec, raw, why = array_spec(numeric(peeked, "inputs"), axes)
    if raw.shape[1:] != peeked.shape[1:]:
        raise ValueError(
            f"got streamed inputs of shape {peeked.shape[1:]}; expected {raw.shape[1:]} (channels first). Let the "
            "dataset return them so."
        )
    task, encoded, reason = aim.encode(answers, n, steps=steps_of(spec))
    positions = division.positions(n, strata(task, encoded))
    told = samples.with_targets(torch.from_numpy(encoded))
    parts = {part: told.select(positions[part]) for part in PARTS}
    signature = Signature(inputs=spec, task=task)
    digest = hashlib.sha256(f"{name} {n} {encoded.shape};".encode())
    digest.update(np.ascontiguousarray(encoded).data)
    digest.update(np.ascontiguousarray(peeked).data)
    return Splits(
        name=name,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        signature=signature,
        preprocessing=fit_numbers(parts["train"], signature),
        rows=positions,
        notes=(f"{n:,} items are streamed", why, reason, *coverage_notes(task, encoded, positions)),
        digest=digest.hexdigest(),
    )
