"""Some samples of a part, or more than it had, as a part of their own."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from equipoise.data.samples import Samples, Splits, TensorSamples


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """Samples of another part at some positions, read when they are asked for."""

    samples: Samples
    index: Tensor

    @property
    def resident(self) -> bool:
        """Whether all samples lie in memory as tensors."""
        return self.samples.resident

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.index)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return raw inputs and targets of the samples at `index`."""
        return self.samples.batch(self.index[index.cpu()])

    def announce(self, index: Tensor) -> None:
        """Say in which order samples will be asked for, so that streamed ones are decoded ahead."""
        announce = getattr(self.samples, "announce", None)
        if announce is not None:
            announce(self.index[index.cpu()])

    def close(self) -> None:
        """Stop decoding ahead."""
        close = getattr(self.samples, "close", None)
        if close is not None:
            close()


def select(samples: Samples, index: Tensor) -> Samples:
    """Return the samples at `index` (int64, 1-d, a sample may come twice) as a part."""
    if isinstance(samples, TensorSamples):
        return TensorSamples(*samples.batch(index))
    return Selected(samples, index)


def train_on(splits: Splits, index: Tensor, note: str) -> Splits:
    """Return a data set whose training part holds only the samples at `index`; numbers fitted on it stay.

    Args:
        splits: The data set.
        index: Positions in the training part (int64, 1-d); a sample may come twice.
        note: What was done, in one sentence.
    """
    where = index.numpy()
    return replace(
        splits,
        train=select(splits.train, index),
        rows={**splits.rows, "train": splits.rows["train"][where]},
        groups={name: one[where] if name == "train" else one for name, one in splits.groups.items()},
        notes=(*splits.notes, note),
    )


def with_added(splits: Splits, inputs: Tensor, targets: Tensor, like: Tensor, note: str) -> Splits:
    """Return a data set with samples added to its training part, which is brought into memory.

    Args:
        splits: The data set.
        inputs: Their raw inputs, as in `Samples`.
        targets: Their targets, as in `Samples`.
        like: For each of them, the training sample that it goes with, from which it takes its group.
        note: What was done, in one sentence.
    """
    old = splits.train.batch(torch.arange(len(splits.train)))
    train = TensorSamples(torch.cat([old[0], inputs.to(old[0].dtype)]), torch.cat([old[1], targets.to(old[1].dtype)]))
    made = np.full(len(inputs), -1, dtype=np.int64)
    where = like.numpy()
    return replace(
        splits,
        train=train,
        rows={**splits.rows, "train": np.concatenate([splits.rows["train"], made])},
        groups={
            name: np.concatenate([one, one[where]]) if name == "train" else one for name, one in splits.groups.items()
        },
        notes=(*splits.notes, note),
    )
