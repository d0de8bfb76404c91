"""What the network puts out, what its targets are and what the loss wants of both: the three sides of one contract."""

from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.examine.probes.anatomy import trace
from equipoise.examine.probes.loss_behaviour import LossBehaviour, loss_behaviour
from equipoise.examine.probes.output_end import OutputEnd, output_end
from equipoise.examine.probes.sampling import sample, targets_of
from equipoise.examine.probes.setup import Setup, running
from equipoise.examine.probes.task import Task, task_of

ROWS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Contract:
    """Outputs, targets and loss of one training.

    Attributes:
        task: What is to be learned.
        end: What the outputs can be.
        loss: What the loss does.
        outputs: Outputs (n, ...) of some samples at birth, in evaluation mode.
        targets: Their targets (n, ...).
        all_targets: Up to 4096 targets.
        where_last: Place of the module that makes the outputs.
    """

    task: Task
    end: OutputEnd
    loss: LossBehaviour
    outputs: Tensor
    targets: Tensor
    all_targets: Tensor
    where_last: str

    @property
    def columns(self) -> int:
        """Number of outputs a position."""
        return int(self.outputs.movedim(self.task.axis, -1).shape[-1]) if self.outputs.dim() > 1 else 1


def contract(setup: Setup) -> Contract:
    """Return the contract of a training, by experiments on a copy of its network.

    Raises:
        Exception: Whatever the user's network raises.
    """
    network = running(setup).network
    inputs, targets = sample(setup, ROWS)
    all_targets = targets_of(setup)
    seen = trace(network.eval(), inputs)
    outputs = seen.outputs if seen.outputs is not None else torch.empty(0)
    task = task_of(outputs, all_targets)
    end = output_end(network, inputs, task)
    behaviour = loss_behaviour(setup.loss, outputs, targets, task)
    return Contract(task, end, behaviour, outputs, targets, all_targets, seen.where_last())
