"""What the recorder read of a stretch of steps: the vital signs of every layer and parameter, as plain arrays."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class Layer:
    """A place where activations are measured: one call of one module.

    Attributes:
        name: Path of the module in the network; a second call in one forward pass adds `@2`, and so on.
        kind: Class name of the module.
        activation: Name of the activation function whose output this is (`relu`, `sigmoid`, `tanh`, ...), whether a
            module or a call that follows the layer; empty for a linear map.
        units: Number of units: channels of a convolution, features of anything else.
    """

    name: str
    kind: str
    activation: str
    units: int


@dataclass(frozen=True, slots=True)
class Weights:
    """A parameter whose gradient and movement are measured.

    Attributes:
        name: Path of the parameter in the network.
        layer: Path of the module that owns it.
        count: Number of values.
        compared: How many of them movement and gradient cosine are taken over; `count` where those are exact.
        trainable: Whether it requires a gradient.
        optimized: Whether the optimiser holds it; True when no optimiser was given.
    """

    name: str
    layer: str
    count: int
    compared: int
    trainable: bool = True
    optimized: bool = True


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at one step and is not a number.

    Attributes:
        step: Optimiser step, counted from 1.
        kind: `non_finite`, `stale_gradient`, `parameter_replaced`, `not_in_optimizer`, `no_backward`, `wrong_mode`,
            `skipped_step`, `sink_failed` or `hook_failed`.
        where: Path of the layer or parameter, or the stage of the loop.
        text: One sentence.
    """

    step: int
    kind: str
    where: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Measurements of S sampled steps, L layers and P parameters; NaN where something was not measured.

    Attributes:
        steps: (S,) int64 optimiser steps, counted from 1, increasing.
        loss: (S,) the loss as it was differentiated or recorded.
        learning_rate: (S,) of the first parameter group.
        layers: The L layers in the order of the computation.
        activation: By name `mean`, `deviation`, `maximum` (absolute), `zeros` (share in [0, 1]), `saturated` (share
            within 1 % of an asymptote's range, NaN for unbounded activations) and `non_finite` (count), each (S, L).
        fired: One (U,) int64 array a layer: on how many of the window's values each unit was active (not zero; not
            saturated for bounded activations).
        seen: (L,) int64: how many values of each unit the window holds.
        weights: The P parameters.
        gradient: By name `norm`, `zeros` (share), `cosine` (with the gradient of the step before) and `non_finite`
            (count), each (S, P).
        weight: By name `norm` and `update_ratio` (norm of the step over norm of the weights before it), each (S, P).
        events: What happened in the window.
    """

    steps: np.ndarray
    loss: np.ndarray
    learning_rate: np.ndarray
    layers: tuple[Layer, ...]
    activation: dict[str, np.ndarray]
    fired: tuple[np.ndarray, ...]
    seen: np.ndarray
    weights: tuple[Weights, ...]
    gradient: dict[str, np.ndarray]
    weight: dict[str, np.ndarray]
    events: tuple[Event, ...] = field(default=())
