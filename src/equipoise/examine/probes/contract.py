"""What the network puts out, what its targets are and what the loss wants of both: the three sides of one contract."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from equipoise.examine.probes.anatomy import trace
from equipoise.examine.probes.loss_behaviour import UNKNOWN, LossBehaviour, loss_behaviour
from equipoise.examine.probes.output_end import OutputEnd, output_end
from equipoise.examine.probes.sampling import sample, targets_of
from equipoise.examine.probes.setup import Loss, Setup, running
from equipoise.examine.probes.task import OPAQUE, Task, canonical, labels_of, meant, task_of

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
    task, behaviour = reading(setup, seen.returned, targets)
    end = output_end(network, inputs, task)
    return Contract(task, end, behaviour, outputs, targets, all_targets, seen.where_last())


def reading(setup: Setup, outputs: object, targets: Tensor) -> tuple[Task, LossBehaviour]:
    """Return what outputs and targets mean to the loss, and what it does with them.

    Args:
        setup: The training.
        outputs: What its network returned for some samples.
        targets: Their targets (n, ...).
    """
    if setup.opaque or not isinstance(outputs, Tensor):
        return OPAQUE, UNKNOWN
    looks = task_of(outputs, targets_of(setup))
    behaviour = loss_behaviour(setup.loss, outputs, targets, looks)
    task = meant(looks, outputs, targets, at_targets=behaviour.at_targets, accepts=behaviour.accepts)
    if task.kind == "classes" and outputs.dim() > 2:
        task = replace(task, ignored=_ignored(setup.loss, outputs, targets, task))
    return task, behaviour


def _ignored(loss: Loss, outputs: Tensor, targets: Tensor, task: Task) -> tuple[int, ...]:
    """Return the labels at whose positions the loss has no gradient, where it has one at others: padding."""
    wanted = outputs.detach().clone().requires_grad_()
    try:
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(loss(wanted, targets), wanted)
    except Exception:  # whatever the user's loss raises
        return ()
    labels, asked = labels_of(task, targets), canonical(task, slope).abs().amax(2) > 0
    found = [one for one in labels[labels >= 0].unique().tolist() if not bool(asked[labels == one].any())]
    return tuple(found) if bool(asked.any()) else ()
