"""`equipoise.preflight`: every probe before the first step, on one batch."""

import time

from torch import Tensor, nn
from torch.optim import Optimizer

from equipoise.core.diagnosis import Preflight
from equipoise.examine.probes.all import PROBES
from equipoise.examine.probes.nested import by_rows, length
from equipoise.examine.probes.setup import Batch, Loss, MakeOptimizer, Setup


def preflight(network: nn.Module, loss: Loss, optimizer: Optimizer | MakeOptimizer, batch: Batch) -> Preflight:
    """Ask everything that can be asked before the first step; network, optimiser and random state stay as they are.

    Give a batch of a few hundred rows where there are as many: probes that judge data say more then.

    Args:
        network: The network, as it will be trained.
        loss: Maps (outputs, targets) to a scalar.
        optimizer: The optimiser, or a function that makes one of parameters.
        batch: Inputs (n, ...) and targets (n, ...).

    Returns:
        One symptom a probe, worst first.

    Raises:
        ValueError: An empty batch, or one that is not a pair of tensors.
    """
    inputs, targets = _checked(batch)
    began = time.perf_counter()
    setup = by_rows(
        Setup(
            network=network,
            loss=loss,
            optimizer=optimizer,
            train=(inputs, targets),
            batch_size=min(len(inputs), 32),
            epochs=1,
        )
    )
    symptoms = [ask(setup) for ask in PROBES.values()]
    ordered = sorted(symptoms, key=lambda one: -one.verdict.severity)
    return Preflight(symptoms=tuple(ordered), seconds=time.perf_counter() - began)


def _checked(batch: Batch) -> Batch:
    pair = isinstance(batch, (tuple, list)) and len(batch) == 2 and isinstance(batch[0], Tensor)
    if not pair or (not isinstance(batch[1], Tensor) and length(batch[1]) is None):
        raise ValueError(
            f"got a batch of type {type(batch).__name__}; expected a pair of tensors, or of one and a "
            "structure of tensors of one length. Give preflight (inputs, targets) with the samples on the first axis."
        )
    inputs, targets = batch
    if inputs.dim() == 0 or len(inputs) == 0 or length(targets) is None:
        raise ValueError(
            f"got inputs of shape {tuple(inputs.shape)} and targets of shape {_shape(targets)}; expected at least "
            "one sample on the first axis of each. Give preflight a batch with samples in it."
        )
    return inputs, targets


def _shape(targets: object) -> tuple[int, ...] | str:
    return tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
