"""Parts of a data set, as a loop sees them: a length, and batches by index."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from equipoise.core.preprocessing import Preprocessing
from equipoise.core.signature import Signature

IGNORED = -100
"""Target of a padded step in sequence labelling; it counts neither in the loss nor in a score."""


@runtime_checkable
class Samples(Protocol):
    """One part of a data set.

    Targets by task: binary and multiclass int64 (n,); multilabel float32 (n, labels) of 0 and 1; regression float32
    (n, targets) in the user's units; sequence labelling int64 (n, steps) with `IGNORED` for padding; reconstruction and
    generation float32 (n, 0); clustering int64 (n,) when true labels are known, else (n,) of -1.
    """

    @property
    def resident(self) -> bool:
        """Whether all samples lie in memory as tensors."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return raw inputs and targets of the samples at `index` (int64, 1-d), on the samples' device."""


@dataclass(frozen=True, slots=True, eq=False)
class TensorSamples:
    """Samples that lie in memory; `inputs` (n, ...) raw, `targets` (n, ...) as in `Samples`."""

    inputs: Tensor
    targets: Tensor
    resident: bool = True

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.inputs)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the samples at `index`; one gather each."""
        return self.inputs.index_select(0, index), self.targets.index_select(0, index)

    def to(self, device: torch.device) -> "TensorSamples":
        """Return the same samples on another device."""
        return TensorSamples(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """A data set in three parts, with everything a network or a reader must know about it.

    Attributes:
        name: Short name of the data.
        train, validation, test: The parts; none is empty.
        signature: What goes in and what comes out.
        preprocessing: Numbers fitted on the training part only.
        rows: For each part (`train`, `validation`, `test`): the position of each sample in the source, int64.
        notes: Every repair and choice made while reading, with its count, one sentence each.
        groups: For each part, the group of each sample, when split by group; else empty.
        digest: SHA-256 over the raw inputs and targets of all parts (streamed: over names, sizes and times of files).
        prepared: Whether the training part is as a plan wants it, so that nothing more is done to it.
    """

    name: str
    train: Samples
    validation: Samples
    test: Samples
    signature: Signature
    preprocessing: Preprocessing
    rows: dict[str, np.ndarray]
    notes: tuple[str, ...]
    digest: str
    groups: dict[str, np.ndarray] = field(default_factory=dict)
    prepared: bool = False

    def part(self, name: str) -> Samples:
        """Return the part called `train`, `validation` or `test`."""
        parts: dict[str, Samples] = {"train": self.train, "validation": self.validation, "test": self.test}
        if name not in parts:
            raise ValueError(f"got part {name!r}; expected one of train, validation, test. Use one of these.")
        return parts[name]


def take(samples: Samples, limit: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs, targets and positions of at most `limit` samples, drawn without replacement, in order."""
    n = len(samples)
    index = torch.arange(n)
    if n > limit:
        index = torch.randperm(n, generator=generator)[:limit].sort().values
    inputs, targets = samples.batch(index)
    return inputs, targets, index
