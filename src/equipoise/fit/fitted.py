"""The handle of a finished fit: the network, how it got there, and how to ask it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.core.act import Act
from equipoise.core.plan import Plan
from equipoise.core.record import Record
from equipoise.core.stop import StopReason
from equipoise.core.vital import Vital
from equipoise.data.decode import decode
from equipoise.data.samples import Splits
from equipoise.networks.network import Network, answers


class Execution(Record):
    """How a training was executed: with the same plan and seed, the same execution gives the same bits.

    Attributes:
        device: `cpu`, `cuda:0`, `mps`; with the reason it was chosen in `reason`.
        reason: Why this device and thread count.
        threads: Torch threads.
        channels_last: Whether four-dimensional tensors were laid out channels last.
        fused: Whether the optimiser's fused form was used.
        precision: `float32` or `bfloat16`.
        torch: Version of torch.
        machine: Processor and operating system.
        lane: How steps are taken: `eager`, or `plan` with the instruction set of its kernel.
        lane_reason: Why, with the timings.
        learning_rate: What a range test found, where the recipe asked for one.
        ranks: Processes that trained the network together.
        sharded: Whether its weights were divided among them (FSDP2), instead of held by each (DDP).
    """

    device: str
    reason: str
    threads: int
    channels_last: bool
    fused: bool
    precision: str
    torch: str
    machine: str
    learning_rate: float | None = None
    lane: str = "eager"
    lane_reason: str = ""
    ranks: int = 1
    sharded: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A trained network with its history.

    Attributes:
        network: The network that was kept, in evaluation mode, on the CPU.
        plan: The plan it was trained by.
        seed: The seed it was trained with.
        splits: The data, as split for this fit.
        stopped: Why the training stopped.
        execution: How it was executed.
        vitals: The history: `loss`, `learning_rate`, `gradient_norm` (part `train`), `loss` and `score` (part
            `validation`), bounded in size.
        epochs: Epochs run.
        steps: Optimiser steps taken.
        best_epoch: Epoch (from 1) of the kept network; 0 when not trained.
        seconds: Wall-clock time of the training, over all resumes.
        acts: What the governor did, in order; empty for a healthy training.
        score: Score of the kept network on the validation part, as it was kept; NaN when not trained.
    """

    network: Network
    plan: Plan
    seed: int
    splits: Splits
    stopped: StopReason
    execution: Execution
    vitals: tuple[Vital, ...]
    epochs: int
    steps: int
    best_epoch: int
    seconds: float
    acts: tuple[Act, ...] = ()
    score: float = math.nan

    def predict(self, raw: Any) -> np.ndarray:
        """Return the answer in the user's words and units for raw inputs; see `predict`."""
        return predict(self.network, raw)

    def probabilities(self, raw: Any) -> np.ndarray:
        """Return class probabilities, shape (n, classes), for raw inputs as `predict` takes them."""
        return probabilities(self.network, raw)


def predict(network: Network, raw: Any) -> np.ndarray:
    """Return the network's answer for raw inputs.

    Args:
        network: A network with its signature.
        raw: What the user has: a DataFrame or a list of dicts (table), paths or arrays (images, sound), strings (text),
            or an array in raw units.

    Returns:
        Class names (n,) for classification; a 0/1 array (n, labels) for multilabel; values in the user's units (n,) or
        (n, targets) for regression; class names (n, steps) for sequence labelling; cluster indices (n,) for clustering;
        reconstructed inputs otherwise.
    """
    task = network.signature.task
    answer = answers(network, decode(network.signature, raw)).cpu().numpy()
    if task.kind in ("binary", "multiclass", "sequence-labelling"):
        return np.asarray(task.classes, dtype=object)[answer.argmax(-1)]
    if task.kind == "clustering":
        clusters: np.ndarray = answer.argmax(-1)
        return clusters
    if task.kind == "multilabel":
        return (answer > 0.5).astype(np.int64)
    if task.kind == "regression" and answer.shape[1] == 1:
        values: np.ndarray = answer[:, 0]
        return values
    return answer


def probabilities(network: Network, raw: Any) -> np.ndarray:
    """Return class probabilities for raw inputs.

    Raises:
        ValueError: The task has no classes.
    """
    task = network.signature.task
    if not task.classes:
        raise ValueError(f"got a network for {task.kind}; expected one with classes. Use `predict` for its values.")
    return answers(network, decode(network.signature, raw)).cpu().numpy()
