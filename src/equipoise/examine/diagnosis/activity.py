"""What the units of a network do on a set of samples: silent, saturated, or the same for every sample."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equipoise.fit.activity import by_unit
from equipoise.networks.calls import Call, calls_and_results
from equipoise.vitals.activations import BOUNDED

CLOSED_ABOVE_ZERO = ("relu", "relu6")
NEAR = 0.02
"""Within this share of its range of an asymptote a value counts as saturated."""


@dataclass(frozen=True, slots=True)
class Activity:
    """The units of one hidden activation over some samples.

    Attributes:
        path: Path of the module that computed it.
        function: Name of the activation.
        units: How many.
        dead: Share of units that are zero on every sample; for rectifiers.
        saturated: Share of values that lie near an asymptote; for bounded activations.
        constant: Share of units that put out the same for every sample, as far as their precision goes.
    """

    path: str
    function: str
    units: int
    dead: float
    saturated: float
    constant: float


def activity(network: nn.Module, inputs: Tensor) -> tuple[Activity, ...]:
    """Return what the hidden activations of a network do.

    Args:
        network: Any module.
        inputs: Samples (n, ...), at least a few dozen.
    """
    heard = calls_and_results(network, inputs)
    return tuple(
        _of(call, out, len(inputs))
        for call, out in heard
        if call.kind == "activation" and not call.is_output and out is not None and out.shape[:1] == inputs.shape[:1]
    )


def _of(call: Call, out: Tensor, n: int) -> Activity:
    # A unit is a channel of a picture and a feature of anything else.
    values = by_unit(out, 1 if out.ndim == 4 else -1).double()
    silent = (values == 0).all(0).double().mean() if call.name in CLOSED_ABOVE_ZERO else torch.tensor(0.0)
    per_sample = out.reshape(n, -1).double()
    deviation = per_sample.std(0) if n > 1 else torch.ones(per_sample.shape[1])
    level = per_sample.abs().amax(0).clamp_min(1e-12)
    saturated = 0.0
    if call.name in BOUNDED:
        low, high = BOUNDED[call.name]
        edge = NEAR * (high - low)
        saturated = float(((values < low + edge) | (values > high - edge)).double().mean())
    return Activity(
        path=call.path,
        function=call.name,
        units=values.shape[1],
        dead=float(silent),
        saturated=saturated,
        constant=float((deviation < 1e-6 * level).double().mean()),
    )
