"""What an exception of the user's own network or loss says is wrong, found out by trying what would cure it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equipoise.examine.probes.setup import Loss

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Complaint:
    """A fault told by an exception.

    Attributes:
        sentence: What was raised and what cures it.
        where: Places, likeliest first.
        suggests: Faults with their weight in nats.
    """

    sentence: str
    where: tuple[str, ...]
    suggests: dict[str, float]


_INPUT_CURES: tuple[tuple[str, Change], ...] = (
    ("inputs.float()", lambda x: x.float()),
    ("inputs.long()", lambda x: x.long()),
    ("inputs.flatten(1)", lambda x: x.flatten(1)),
    ("inputs.unsqueeze(1)", lambda x: x.unsqueeze(1)),
    ("inputs.unsqueeze(-1)", lambda x: x.unsqueeze(-1)),
    ("inputs.squeeze(1)", lambda x: x.squeeze(1)),
    ("inputs.movedim(-1, 1)", lambda x: x.movedim(-1, 1)),
    ("inputs.movedim(1, -1)", lambda x: x.movedim(1, -1)),
    ("inputs.transpose(0, 1)", lambda x: x.transpose(0, 1)),
)


def of_forward(problem: Exception, network: nn.Module, inputs: Tensor) -> Complaint:
    """Return what a network that raised on its inputs needs.

    Args:
        problem: What was raised.
        network: A copy of the network.
        inputs: The inputs (n, ...) that it raised on.
    """
    cure = next((name for name, change in _INPUT_CURES if _runs(network, change, inputs)), None)
    advice = f"It runs on {cure}: give it that" if cure else f"Give it inputs of the shape it expects{_wanted(network)}"
    sentence = f"The network raises {_what(problem)} on inputs {_shape(inputs)}. {advice}."
    return Complaint(sentence, ("inputs", "loop.forward"), {"shape_broadcast": 4.0})


def _runs(network: nn.Module, change: Change, inputs: Tensor) -> bool:
    try:
        with torch.no_grad():
            out = network(change(inputs))
    except Exception:  # whatever the user's network raises
        return False
    return isinstance(out, Tensor) and len(out) == len(inputs)


def _wanted(network: nn.Module) -> str:
    for module in network.modules():
        if isinstance(module, nn.Linear):
            return f"; its first linear layer takes {module.in_features} features"
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            return f"; its first convolution takes {module.in_channels} channels on the second axis"
    return ""


NOT_WRITTEN = (NameError, AttributeError, ImportError)
"""What is raised where something that is called does not exist."""

_TARGET_CURES: tuple[tuple[str, Change], ...] = (
    ("targets.long()", lambda y: y.long()),
    ("targets.float()", lambda y: y.float()),
    ("targets.squeeze(1)", lambda y: y.squeeze(1)),
    ("targets.squeeze(1).long()", lambda y: y.squeeze(1).long()),
    ("targets.unsqueeze(1)", lambda y: y.unsqueeze(1)),
    ("targets.unsqueeze(1).float()", lambda y: y.unsqueeze(1).float()),
    ("targets.argmax(1)", lambda y: y.argmax(1)),
)


def of_loss(problem: Exception, loss: Loss, outputs: Tensor, targets: Tensor, where_last: str) -> Complaint:
    """Return what a loss that raised on outputs and targets needs.

    Args:
        problem: What was raised.
        loss: The loss.
        outputs: Outputs (n, ...) of the network.
        targets: Targets (n, ...).
        where_last: Place of the layer that makes the outputs.
    """
    if isinstance(problem, NOT_WRITTEN):
        cure = "Define it before the loop, for example criterion = nn.CrossEntropyLoss()."
        return Complaint(
            f"The loss raises {_what(problem)} whatever it is given. {cure}", ("loss",), {"loss_mismatch": 7.0}
        )
    began = f"The loss raises {_what(problem)} on outputs {_shape(outputs)} and targets {_shape(targets)}."
    indices = not targets.is_floating_point() or bool((targets == targets.round()).all())
    columns = outputs.shape[1] if outputs.dim() > 1 else 1
    if indices and columns > 1 and _works(loss, outputs, targets.clamp(0, columns - 1)):
        said = f"Labels run from {float(targets.min()):g} to {float(targets.max()):g} but there are {columns} outputs."
        cure = f"Number the classes from 0 to {columns - 1}, or give the last layer an output for each class."
        suggests = {"wrong_labels": 4.0, "loss_mismatch": 2.0}
        return Complaint(f"{began} {said} {cure}", ("targets", where_last), suggests)
    if _works(loss, outputs.sigmoid(), targets):
        cure = "It takes probabilities: end the network with a sigmoid, or use the loss on logits."
        suggests = {"wrong_output_activation": 5.0, "loss_mismatch": 2.0}
        return Complaint(f"{began} {cure}", (where_last, "loss"), suggests)
    cured = next((name for name, change in _TARGET_CURES if _works_with(loss, outputs, targets, change)), None)
    if cured is not None:
        typed = cured.endswith((".long()", ".float()")) and "squeeze" not in cured
        faults = (
            {"loss_mismatch": 4.0} if typed or "argmax" in cured else {"shape_broadcast": 5.0, "loss_mismatch": 1.0}
        )
        return Complaint(f"{began} It takes {cured}: give it that.", ("loss", "targets"), faults)
    bounded = targets.double().clamp(0, 1).to(targets.dtype)
    if _works(loss, outputs.sigmoid(), bounded) or _works(loss, outputs, bounded):
        said = f"Targets run from {float(targets.min()):g} to {float(targets.max()):g}; the loss takes 0 to 1."
        cure = "Use squared error for quantities, or bring the labels to 0 and 1."
        suggests = {"loss_mismatch": 5.0, "wrong_labels": 1.5, "unscaled_target": 1.0}
        return Complaint(f"{began} {said} {cure}", ("loss", "targets"), suggests)
    cure = "Bring both to the shapes and types that it takes."
    return Complaint(f"{began} {cure}", ("loss", "targets"), {"loss_mismatch": 3.0, "shape_broadcast": 3.0})


def _works_with(loss: Loss, outputs: Tensor, targets: Tensor, change: Change) -> bool:
    try:
        changed = change(targets.clone())
    except Exception:  # the change does not apply to these targets
        return False
    return _works(loss, outputs, changed)


def _works(loss: Loss, outputs: Tensor, targets: Tensor) -> bool:
    try:
        with torch.no_grad():
            value = loss(outputs, targets)
    except Exception:  # whatever the user's loss raises
        return False
    return isinstance(value, Tensor) and bool(torch.isfinite(value).all())


def _what(problem: Exception) -> str:
    first_line = (str(problem).splitlines() or [""])[0]
    return f"{type(problem).__name__} ({first_line[:160]})"


def _shape(values: Tensor) -> str:
    return f"{tuple(values.shape)} of {str(values.dtype).removeprefix('torch.')}"
