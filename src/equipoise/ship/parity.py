"""Whether an exported file answers as the network that it was made from."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from equipoise.core.estimate import Estimate
from equipoise.core.record import Record
from equipoise.core.signature import Task
from equipoise.stats.intervals import proportion

Format = Literal["onnx", "pt2", "safetensors"]

RELATIVE_TOLERANCE = 1e-4
"""Largest difference allowed, as a share of 1 (probabilities) or of the spread of the answers (values)."""

FLOAT32_TOLERANCE = 1e-6
"""Added for values: about eight roundings of float32 at the largest answer, for targets far from zero."""


class Parity(Record):
    """An exported file, opened in its own runtime and compared with the network on the same inputs.

    Attributes:
        format: The kind of file.
        path: The file.
        run: The run that the file says it comes from, as read back from it.
        n: Number of samples compared.
        largest_difference: Largest absolute difference between the two answers, in probability or the user's units;
            infinite when one is not a number where the other is, or when the shapes differ.
        tolerance: Largest difference that passes, in the same unit.
        agreement: Share of samples whose predictions agree (classes; labels; values within the tolerance).
        runtime: What opened the file.
        versions: Versions of the libraries that wrote and opened it.
        file_bytes: Size of the file.
        passed: Whether the largest difference is within the tolerance. A file that does not pass is not kept.
    """

    format: Format
    path: str
    run: str
    n: int
    largest_difference: float
    tolerance: float
    agreement: Estimate
    runtime: str
    versions: dict[str, str]
    file_bytes: int
    passed: bool

    def sentence(self) -> str:
        """Return what was found, in one sentence."""
        judged = "agrees" if self.passed else "does not agree"
        return (
            f"{self.runtime} {judged} with the network on {self.n} samples: largest difference "
            f"{self.largest_difference:.2g} (allowed {self.tolerance:.2g}), {self.agreement.value:.2%} "
            f"[{self.agreement.low:.2%}, {self.agreement.high:.2%}] of predictions the same."
        )


def answer_in_batches(answer: Callable[[Tensor], Tensor], inputs: Tensor, *, batch_size: int = 64) -> Tensor:
    """Return the answers of a runtime: the first sample alone, the rest in batches, so that the batch size varies."""
    chunks = [inputs[:1], *inputs[1:].split(batch_size)]
    return torch.cat([answer(chunk) for chunk in chunks if len(chunk)])


def allowed_difference(expected: Tensor, task: Task) -> float:
    """Return the largest absolute difference that rounding explains.

    Probabilities: `RELATIVE_TOLERANCE`. Values: that share of their spread, plus `FLOAT32_TOLERANCE` of the largest.
    """
    if task.kind not in ("regression", "reconstruction"):
        return RELATIVE_TOLERANCE
    finite = expected[expected.isfinite()]
    if not len(finite):
        return RELATIVE_TOLERANCE
    spread = (finite.max() - finite.min()).item()
    return RELATIVE_TOLERANCE * spread + FLOAT32_TOLERANCE * max(1.0, finite.abs().max().item())


def differences(expected: Tensor, got: Tensor) -> Tensor:
    """Return the largest absolute difference of each sample, shape (n,); infinite where only one is not finite."""
    if expected.shape != got.shape:
        return torch.full((len(expected),), float("inf"))
    both_nan = expected.isnan() & got.isnan()
    same = both_nan | (expected == got)
    apart = torch.where(same, 0.0, (expected.double() - got.double()).abs())
    return apart.nan_to_num(nan=float("inf"), posinf=float("inf")).flatten(1).amax(1)


def agreement(expected: Tensor, got: Tensor, task: Task, tolerance: float) -> Estimate:
    """Return the share of samples whose predictions agree, with its Wilson interval."""
    if expected.shape != got.shape:
        return proportion(0, len(expected))
    if task.kind in ("binary", "multiclass", "sequence-labelling", "clustering"):
        same = (expected.argmax(-1) == got.argmax(-1)).reshape(len(expected), -1).all(1)
    elif task.kind == "multilabel":
        same = ((expected > 0.5) == (got > 0.5)).all(1)
    else:
        same = differences(expected, got) <= tolerance
    return proportion(int(same.sum()), len(expected))
