"""A look at the units of a network while it is trained: read in a forward pass that happens anyway."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

CONSTANT = 1e-4
"""Outputs that differ between samples by less than this share of their size are the same for every sample."""

SINGLE = 8
"""So many single samples are compared where a batch holds one."""

MOST = 64
"""At most so many outputs of a single sample are compared."""

Scaled = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
SCALED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers whose units have weights of their own that can be scaled one by one."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one forward pass showed.

    Attributes:
        output_variation: Largest standard deviation of an output over the batch, divided by the largest output; NaN
            when it cannot be told (no tensor, half precision, inputs that are all the same).
        usual: By layer name: mean over units of the units' means, and root mean square of their standard deviations,
            before the activation function.
    """

    output_variation: float
    usual: dict[str, tuple[float, float]]

    @property
    def is_constant(self) -> bool:
        """Whether the network says the same to every sample."""
        return self.output_variation < CONSTANT


class Looker:
    """Looks at the next forward pass of a network, once, and lets go; at the next few where a batch is one sample.

    Hooks only read: the pass gives the same bits with and without them.

    Args:
        network: The network whose `forward` the training calls.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._handles: list[RemovableHandle] = []
        self._layers: dict[str, tuple[Tensor, Tensor]] = {}
        self._active = False
        self._singles: list[tuple[float, list[float]]] = []
        self._found: tuple[dict[str, tuple[Tensor, Tensor]], Tensor | None] | None = None

    @property
    def armed(self) -> bool:
        """Whether the next pass will be looked at."""
        return bool(self._handles)

    def arm(self) -> None:
        """Look at the next forward pass."""
        self.disarm()
        self._found = None
        self._active = False
        self._singles = []
        self._handles.append(self._network.register_forward_pre_hook(self._begin))
        for name, module in self._network.named_modules():
            if isinstance(module, SCALED):
                self._handles.append(module.register_forward_hook(self._layer_hook(name)))
        self._handles.append(self._network.register_forward_hook(self._output_hook))

    def state(self) -> dict[str, Any]:
        """Return, as plain values, whether it is armed and which single samples it has seen; `take` comes first."""
        return {"armed": self.armed, "singles": self._singles}

    def load(self, values: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.disarm()
        if values["armed"]:
            self.arm()
            self._singles = [(given, list(said)) for given, said in values["singles"]]

    def disarm(self) -> None:
        """Let go of the network."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def see(self, given: Tensor, layers: Mapping[str, Tensor], said: Tensor) -> None:
        """Take a forward pass with gradients that was made past the network's hooks, if it is armed.

        Args:
            given: What the network was given.
            layers: By layer name: outputs of the linear layers, (values, units).
            said: What the network said.
        """
        if self.armed:
            self._layers = {}
            for name, values in layers.items():
                self._note_layer(name, values)
            self._note_output(given, said)

    def take(self) -> Look | None:
        """Return what was seen since `arm`, or None when there was no forward pass; waits for the device."""
        found, self._found = self._found, None
        if found is None:
            return None
        layers, variation = found
        usual: dict[str, tuple[float, float]] = {}
        for name, (means, deviations) in layers.items():
            usual[name] = float(means.mean()), float(deviations.square().mean().sqrt())
        return Look(math.nan if variation is None else float(variation), usual)

    def _begin(self, _module: nn.Module, _inputs: Any) -> None:
        self._active = torch.is_grad_enabled()  # a validation, perhaps with other weights in place, is not looked at
        self._layers = {}

    def _layer_hook(self, name: str) -> Callable[..., None]:
        def hook(module: Scaled, _inputs: Any, output: Any) -> None:
            if self._active and name not in self._layers and isinstance(output, Tensor):
                self._note_layer(name, outputs_by_unit(module, output.detach()))

        return hook

    def _note_layer(self, name: str, values: Tensor) -> None:
        if len(values):
            mean = values.mean(0)
            self._layers[name] = mean, (values - mean).square().mean(0).sqrt()

    def _output_hook(self, _module: nn.Module, inputs: Any, output: Any) -> None:
        if not self._active:
            return
        self._note_output(_first(inputs), _first(output))

    def _note_output(self, given: Tensor | None, said: Tensor | None) -> None:
        if said is None or given is None or said.dim() < 1 or len(said) != 1:
            self._found = self._layers, _variation(given, said)
            self.disarm()
            return
        # One sample says nothing about others or about units: wait for more, and compare what was said to each.
        self._singles.append((float(given.detach().float().sum()), said.detach().flatten()[:MOST].tolist()))
        if len(self._singles) == SINGLE:
            sums, rows = zip(*self._singles, strict=True)
            fewest = min(len(row) for row in rows)  # a sequence may be shorter than another
            together = torch.tensor([row[:fewest] for row in rows]).to(said.dtype)
            self._found = {}, _variation(torch.tensor(sums)[:, None], together)
            self.disarm()


def outputs_by_unit(module: Scaled, output: Tensor) -> Tensor:
    """Return the outputs of a layer as (values, units) in float32: channels of a convolution, else features."""
    if isinstance(module, nn.Linear):
        return by_unit(output, -1).float()
    return by_unit(output, 1 if output.dim() == len(module.kernel_size) + 2 else 0).float()


def by_unit(output: Tensor, axis: int) -> Tensor:
    """Return outputs as (values, units), where the units lie on some axis."""
    return output.movedim(axis, -1).reshape(-1, output.shape[axis])


def _variation(given: Tensor | None, first: Tensor | None) -> Tensor | None:
    """Return the largest deviation of an output over the batch as a share of the largest output."""
    if first is None or first.dim() < 1 or len(first) < 2 or first.dtype not in (torch.float32, torch.float64):
        return None  # half precision rounds small differences away
    if given is not None and len(given) == len(first) and bool((given == given[:1]).all()):
        return None
    values = first.detach().float().flatten(1) if first.dim() > 1 else first.detach().float()[:, None]
    # A shared offset is taken away first: the deviation of equal numbers must come out as 0, not as rounding.
    deviations = (values - values[:1]).std(0, correction=0)
    return deviations.amax() / values.abs().amax().clamp_min(torch.finfo(torch.float32).tiny)


def _first(values: Any) -> Tensor | None:
    while isinstance(values, (tuple, list)) and values:
        values = values[0]
    if isinstance(values, dict):
        return next((value for value in values.values() if isinstance(value, Tensor)), None)
    return values if isinstance(values, Tensor) else None


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Run forward passes whose effect on buffers and on the global random states is undone."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    with torch.random.fork_rng(), torch.no_grad():
        try:
            yield
        finally:
            for buffer, value in buffers:
                buffer.copy_(value)
