"""Puts decoded inputs and encoded targets together to a data set in three parts."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from equipoise.core.signature import InputSpec, Signature, Task
from equipoise.data.numbers import fit_numbers
from equipoise.data.samples import IGNORED, Splits, TensorSamples
from equipoise.data.split import PARTS


def assemble(
    name: str,
    inputs: Tensor,
    targets: np.ndarray,
    *,
    positions: dict[str, np.ndarray],
    rows: np.ndarray,
    spec: InputSpec,
    task: Task,
    notes: tuple[str, ...],
    groups: dict[str, np.ndarray] | None = None,
) -> Splits:
    """Return the data set: parts cut, numbers fitted on the training part, digest taken.

    Args:
        name: Short name of the data.
        inputs: Raw inputs of all samples, (n, ...).
        targets: Encoded targets of all samples, as `Samples` defines them.
        positions: Positions of each part among the n samples.
        rows: Position of each sample in the source, int64 (n,).
        spec: What the inputs are.
        task: What is predicted.
        notes: Repairs and choices so far.
        groups: Groups of each part, when split by group.

    Raises:
        ValueError: The training part holds one class only.
    """
    encoded = torch.from_numpy(np.ascontiguousarray(targets))
    parts = {}
    for part in PARTS:
        index = torch.from_numpy(positions[part])
        parts[part] = TensorSamples(inputs.index_select(0, index), encoded.index_select(0, index))
    signature = Signature(inputs=spec, task=task)
    return Splits(
        name=name,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        signature=signature,
        preprocessing=fit_numbers(parts["train"], signature),
        rows={part: rows[positions[part]] for part in PARTS},
        notes=(*notes, *coverage_notes(task, targets, positions)),
        digest=digest_of(parts),
        groups=groups or {},
    )


def digest_of(parts: dict[str, TensorSamples]) -> str:
    """Return the SHA-256 over name, shapes, types and bytes of the parts' raw inputs and targets, in hexadecimal."""
    digest = hashlib.sha256()
    for name in PARTS:
        for tensor in (parts[name].inputs, parts[name].targets):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def coverage_notes(task: Task, targets: np.ndarray, positions: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Return a note for each part in which classes have no sample.

    Args:
        task: What is predicted.
        targets: Encoded targets of all samples.
        positions: Positions of each part.

    Raises:
        ValueError: The training part holds fewer than two classes.
    """
    if task.kind not in ("binary", "multiclass", "sequence-labelling", "multilabel"):
        return ()
    notes = []
    for part, where in positions.items():
        counts = _class_counts(task, targets[where])
        absent = [task.classes[i] for i in np.flatnonzero(counts == 0)]
        if part == "train" and task.kind != "multilabel" and (counts > 0).sum() < 2:
            raise ValueError(
                f"got a training part with {(counts > 0).sum()} class(es) out of {len(task.classes)}; expected at "
                "least 2, since nothing can be told apart otherwise. Choose split.method = 'stratified'."
            )
        if absent:
            shown = ", ".join(map(repr, absent[:5])) + (", …" if len(absent) > 5 else "")
            notes.append(f"the {part} part has no sample of {len(absent)} of {len(task.classes)} classes: {shown}")
    return tuple(notes)


def _class_counts(task: Task, targets: np.ndarray) -> np.ndarray:
    if task.kind == "multilabel":
        counts: np.ndarray = targets.sum(0)
        return counts
    flat = targets.reshape(-1)
    return np.bincount(flat[flat != IGNORED], minlength=len(task.classes))
