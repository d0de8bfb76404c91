"""What a training is judged by: its targets where they have a plain meaning, else its own loss."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.examine.diagnosis.scoring import Score, class_weights, score, threshold
from equipoise.examine.probes.contract import reading
from equipoise.examine.probes.sampling import draw, sample
from equipoise.examine.probes.setup import Batch, Loss, Setup, plain_step, rows
from equipoise.examine.probes.task import Task, aligned, task_of
from equipoise.networks.foreign import first_tensor

EVALUATED_AT_ONCE = 512
MOST_JUDGED = 2000
"""Rows that a network is judged on, at most."""
MOST_PARTS = 32
LEAST_PARTS = 16
"""Parts of the judged rows whose losses are compared, at most and, where there are as many rows, at least."""
_ROWS, _STEPS, _SECONDS = 64, 120, 0.6
_WORST = -20.0

Answer = Callable[[Tensor], object]


@dataclass(frozen=True, slots=True, eq=False)
class OwnLoss:
    """A training's own loss as its score.

    Attributes:
        loss: The loss as its user wrote it.
        size: Rows in each part that it is asked about.
        blank: A network that learned its best without looking at its inputs, in evaluation mode.
        constant: Its loss.
        floor: About how low the loss can go.
    """

    loss: Loss
    size: int
    blank: nn.Module
    constant: float = 0.0
    floor: float = 0.0

    def of(self, answer: Answer, data: Batch) -> np.ndarray:
        """Return the loss of each part of the data; NaN where it is not finite."""
        with torch.no_grad():
            parts = [rows(data, slice(start, start + self.size)) for start in range(0, len(data[0]), self.size)]
            found = np.array([float(self.loss(answer(inputs.clone()), targets.clone())) for inputs, targets in parts])  # type: ignore[arg-type]
        return np.where(np.isfinite(found), found, np.nan)

    def without_inputs(self, data: Batch) -> np.ndarray:
        """Return the loss of each part for the best answer that is the same for all samples."""
        return self.of(lambda inputs: self.blank(torch.zeros_like(inputs)), data)

    def score(self, losses: np.ndarray, data: Batch) -> Score:
        """Return the losses of the parts of some data as a score: 0 for the best constant answer, 1 for the floor."""
        scale = max(self.constant - self.floor, 0.2 * abs(self.constant), 1e-12)
        quality = np.nan_to_num((self.without_inputs(data) - losses) / scale, nan=_WORST).clip(_WORST, 1.0)
        # Below a constant answer by logarithms: how much worse than useless varies wildly from part to part.
        quality = np.where(quality < 0, -np.log1p(-quality.clip(None, 0.0)), quality)
        return Score(quality, 0.0, float(quality.mean()))


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """How a network gets its score.

    Attributes:
        task: What the targets ask for; `opaque` where the own loss judges.
        cut: Output above which the answer to a question of yes or no is yes.
        data: Inputs and targets that it is judged on.
        decode: Maps outputs to the unit of the targets.
        own: The own loss, where only it knows what outputs and targets mean.
        weights: How much a sample of each class counts, where the loss weighs classes.
    """

    task: Task
    cut: float
    data: Batch
    decode: Callable[[Tensor], Tensor] = lambda outputs: outputs
    own: OwnLoss | None = None
    weights: Tensor | None = None

    def judge(self, network: nn.Module, data: Batch | None = None) -> Score:
        """Return the score of a network, in evaluation mode, on `data` or on its own."""
        inputs, targets = self.data if data is None else data
        if self.own is not None:
            with evaluating(network):
                return self.own.score(self.own.of(network, (inputs, targets)), (inputs, targets))
        return self.of(evaluated(network, inputs), targets)

    def of(self, outputs: Tensor, targets: Tensor) -> Score:
        """Return the score of outputs."""
        return score(self.task, self.decode(outputs), targets, self.cut, self.weights)

    def by(self, answer: Answer) -> Score:
        """Return the score of the answers that a function gives to its inputs."""
        if self.own is not None:
            return self.own.score(self.own.of(answer, self.data), self.data)
        with torch.no_grad():
            outputs = answer(self.data[0].clone())
        outputs = first_tensor(outputs) if isinstance(outputs, (tuple, list, dict)) else torch.as_tensor(outputs)
        return self.of(outputs, self.data[1])

    def look(self, network: nn.Module, loss: Loss) -> tuple[Score, float]:
        """Return the score of a network and a loss on the same rows; NaN where that loss cannot be asked."""
        if self.own is not None:
            with evaluating(network):
                losses = self.own.of(network, self.data)
            return self.own.score(losses, self.data), float(losses.mean())
        outputs = evaluated(network, self.data[0])
        try:
            with torch.no_grad():
                value = float(loss(outputs, self.data[1]))
        except Exception:  # a loss may depend on the size of the batch
            value = math.nan
        return self.of(outputs, self.data[1]), value


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode while the context is open; the modes are put back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluated(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return a network's outputs in evaluation mode, the first of several; the mode is put back."""
    with evaluating(network), torch.no_grad():
        starts = range(0, len(inputs), EVALUATED_AT_ONCE)
        return torch.cat([first_tensor(network(inputs[start : start + EVALUATED_AT_ONCE].clone())) for start in starts])


def judged_rows(data: Batch) -> Batch:
    """Return the rows that a network is judged on: all, or the first of many."""
    return rows(data, slice(0, MOST_JUDGED))


def judge_of(setup: Setup, network: nn.Module) -> Judge:
    """Return how a training is judged.

    Args:
        setup: The training.
        network: A copy of its network at the start.
    """
    data = judged_rows(setup.validation or setup.train)
    inputs, targets = sample(setup, _ROWS)
    with evaluating(network), torch.no_grad():
        outputs = network(inputs)
    task, _ = reading(setup, outputs, targets)
    if task.kind == "opaque":
        try:
            return Judge(task, 0.5, data, own=_own_loss(setup, network, data))
        except Exception:  # the user's own loop brings outputs and targets into another shape first
            if not isinstance(outputs, Tensor) or setup.opaque:
                raise
            task = task_of(outputs, targets)
            if aligned(task, outputs, targets) is None:
                raise
    made = first_tensor(outputs)
    weights = class_weights(setup.loss, made, targets, task)
    return Judge(task, threshold(setup.loss, made, targets, task), data, weights=weights)


def _own_loss(setup: Setup, network: nn.Module, data: Batch) -> OwnLoss:
    """Return the own loss with its scale: from what the network reaches without its inputs to a few rows by heart."""
    n = len(data[0])
    size = max(math.ceil(n / MOST_PARTS), min(setup.batch_size, n // LEAST_PARTS), 1)
    batches = [draw(setup.train, max(setup.batch_size, size), seed) for seed in range(8)]
    blank = _taught(setup.loss, network, [(torch.zeros_like(inputs), targets) for inputs, targets in batches])
    bare = OwnLoss(setup.loss, size, blank.eval())
    constant = float(np.nanmean(bare.without_inputs(data)))
    knowing = _taught(setup.loss, network, batches[:1])
    with evaluating(knowing):
        learned = float(np.nanmean(bare.of(knowing, batches[0])))
    return replace(bare, constant=constant, floor=min(0.0, learned))


def _taught(loss: Loss, network: nn.Module, batches: list[Batch]) -> nn.Module:
    """Return a copy that took some steps of Adam, at a rate that falls, as far as losses stay finite."""
    taught = copy.deepcopy(network).train()
    trained = [one for one in taught.parameters() if one.requires_grad]
    if not trained:
        return taught
    optimizer = torch.optim.Adam(trained, lr=1e-2)
    began = time.process_time()
    for step in range(_STEPS):
        kept = copy.deepcopy(taught.state_dict()) if step % 20 == 0 else None
        optimizer.param_groups[0]["lr"] = 1e-2 * 0.1 ** (step / _STEPS)
        if not math.isfinite(float(plain_step(loss, taught, optimizer, batches[step % len(batches)]))):
            taught.load_state_dict(kept) if kept is not None else None
            break
        if time.process_time() - began > _SECONDS:
            break
    return taught
