"""Mends the units of a network: draws silent ones anew, or scales them towards their usual activity."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from equipoise.core.act import Correction
from equipoise.fit.activity import SCALED, Scaled, outputs_by_unit, untouched
from equipoise.networks.surgery import draw_weights

DRAWS = 16
"""A unit whose new weights are silent as well is drawn again, at most so many times."""


class Surgery:
    """Changes the units of a network on the next batch that comes by, before it is used for training.

    The batch is run forward once more, layer by layer in the order of the computation; each layer is mended on the
    inputs that the mended layers before it give, as in layer-sequential unit-variance initialisation (Mishkin and
    Matas, ICLR 2016). Random states and buffers are left as they were.

    Args:
        network: The network whose `forward` the training calls.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._handle: RemovableHandle | None = None
        self._usual: dict[str, tuple[float, float]] = {}
        self.pending: tuple[Correction, int] | None = None
        self.units = 0

    @property
    def possible(self) -> bool:
        """Whether there is a hidden layer whose units can be mended."""
        layers = [module for module in self._network.modules() if isinstance(module, SCALED)]
        return len(layers) > 1

    def order(self, what: Correction, seed: int, usual: dict[str, tuple[float, float]]) -> None:
        """Mend units at the next forward pass with gradients.

        Args:
            what: `revive-units` or `scale-units`.
            seed: Draws the weights of revived units.
            usual: By layer name: usual mean and standard deviation of units before the activation function; 0 and 1 for
                a layer that is not in it.
        """
        self.cancel()
        self.pending = what, seed
        self.units = 0
        self._usual = usual
        self._handle = self._network.register_forward_pre_hook(self._before, with_kwargs=True)

    def operate(self, features: Tensor) -> None:
        """Do now what was ordered, on a batch that does not go through the network's hooks."""
        self._before(self._network, (features,), {})

    def cancel(self) -> None:
        """Call an operation off."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = self.pending = None

    def _before(self, network: nn.Module, args: Any, kwargs: Any) -> None:
        pending = self.pending
        if pending is None or not torch.is_grad_enabled():  # a validation, perhaps with other weights in place
            return
        self.cancel()
        order: list[str] = []
        with untouched(network):
            self._forward(args, kwargs, _noting(order))
            mender = _Mender(pending[0], set(order) - {order[-1]} if order else set(), self._usual, pending[1])
            self._forward(args, kwargs, mender.visit)
        self.units = mender.units

    def _forward(self, args: Any, kwargs: Any, visit: Callable[[str, Scaled, Any, Any], Tensor | None]) -> None:
        handles = [
            module.register_forward_hook(partial(visit, name))
            for name, module in self._network.named_modules()
            if isinstance(module, SCALED)
        ]
        try:
            self._network(*args, **kwargs)
        finally:
            for handle in handles:
                handle.remove()


def _noting(order: list[str]) -> Callable[[str, Scaled, Any, Any], None]:
    def note(name: str, _module: Scaled, _given: Any, _output: Any) -> None:
        order.append(name)

    return note


class _Mender:
    """Mends each hidden layer once, as the forward pass comes to it, and hands on what the mended layer says."""

    def __init__(self, what: Correction, hidden: set[str], usual: dict[str, tuple[float, float]], seed: int) -> None:
        self._what = what
        self._hidden = hidden
        self._usual = usual
        self._generator = torch.Generator().manual_seed(seed)
        self._done: set[int] = set()
        self.units = 0

    def visit(self, name: str, module: Scaled, given: Any, output: Any) -> Tensor | None:
        """Mend a layer that is hidden and was not mended yet, and return what it says now; None leaves it alone."""
        weight = module.weight
        if name not in self._hidden or not isinstance(output, Tensor) or not isinstance(weight, nn.Parameter):
            return None
        if id(weight) in self._done or not weight.requires_grad:
            return None
        self._done.add(id(weight))
        forward: Callable[..., Tensor] = type(module).forward  # past the hooks of this very call
        if self._what == "scale-units":
            self.units += scale(module, output, *self._usual.get(name, (0.0, 1.0)))
            return forward(module, *given)
        left = revive(module, output, self._generator)
        self.units += left
        for _ in range(DRAWS):  # a unit may be silent again on so few samples
            output = forward(module, *given)
            left = revive(module, output, self._generator) if left else 0
        return output


def revive(layer: Scaled, output: Tensor, generator: torch.Generator) -> int:
    """Draw the incoming weights of silent units anew, set their bias to zero, and return how many there were.

    Silent is a unit that is not positive on any sample. Weights are normal with variance 2 / fan-in (He et al., ICCV
    2015). Outgoing weights stay: a network that says the same to every sample has no answer that new units could spoil
    (unlike in Sokar et al., ICML 2023, where they are set to zero).
    """
    silent = outputs_by_unit(layer, output).amax(0) <= 0
    weight, bias = layer.weight, layer.bias
    drawn = torch.empty(weight.shape, dtype=torch.float32)
    draw_weights(drawn, generator, rectified=True)
    places = silent.reshape(-1, *[1] * (weight.dim() - 1))
    weight.copy_(torch.where(places, drawn.to(weight), weight))
    if isinstance(bias, Tensor):
        bias.masked_fill_(silent, 0.0)
    return int(silent.sum())


def scale(layer: Scaled, output: Tensor, mean: float, deviation: float) -> int:
    """Scale each unit's gain and shift its bias so that its activity has a mean and deviation; return how many units.

    The multiplicative scaling of all incoming weights of a unit towards its usual activity is that of homeostatic
    synaptic scaling (Turrigiano, Cell 2008).

    Args:
        layer: A dense or convolutional layer.
        output: Its output on a batch.
        mean: The usual mean before the activation function.
        deviation: The usual standard deviation there.
    """
    values = outputs_by_unit(layer, output)
    now = values.mean(0)
    spread = (values - now).square().mean(0).sqrt()
    target = deviation if deviation > 0 else 1.0
    # A unit that hardly differs between samples has nothing that scaling could bring out but rounding.
    alive = spread > 1e-6 * values.abs().amax(0).clamp_min(torch.finfo(torch.float32).tiny)
    gain = torch.where(alive, target / spread.clamp_min(torch.finfo(torch.float32).tiny), torch.ones_like(spread))
    weight, bias = layer.weight, layer.bias
    weight.mul_(gain.to(weight).reshape(-1, *[1] * (weight.dim() - 1)))
    if isinstance(bias, Tensor):
        bias.copy_((bias.float() - now) * gain + mean)
    return int(alive.sum())
