"""The sharpness of the loss: the largest eigenvalue of its Hessian."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from equipoise.core.estimate import Estimate
from equipoise.vitals.untouched import untouched

Closure = Callable[[], Tensor]
Vector = list[Tensor]

_STEP = 1e-3
"""Length of the two steps of a difference, as a share of the length of the weights."""


def sharpness(network: nn.Module, closure: Closure, *, products: int = 20, tolerance: float = 1e-2) -> Estimate:
    """Return the largest eigenvalue of the Hessian of a loss, with everything left as it was found.

    Power iteration; a product of Hessian and vector is the difference of two gradients on both sides of the weights,
    which costs two forward and backward passes and needs no second derivatives of any layer. Where the eigenvalue of
    the largest size is negative, the iteration begins anew on the Hessian shifted by it. The interval is the Rayleigh
    quotient give or take the length of its residual, within which a symmetric matrix has an eigenvalue for certain.

    Args:
        network: The network; its trainable parameters are the variables.
        closure: Returns the loss of one fixed batch with its graph, without taking the gradient. The random state is
            the same at every call, so that dropout masks the same units.
        products: Most products.
        tolerance: Stop when the residual is below this share of the eigenvalue.

    Raises:
        ValueError: The closure returned no loss with a graph.
    """
    variables = [one for one in network.parameters() if one.requires_grad]
    generator = torch.Generator().manual_seed(0)
    with untouched(network):
        hessian = _Hessian(variables, closure)
        value, residual, count = _dominant(hessian, 0.0, products, tolerance, generator)
        if value < 0:
            more = _dominant(hessian, -value, products, tolerance, generator)
            value, residual, count = more[0], more[1], count + more[2]
    return Estimate(
        value=value,
        low=value - residual,
        high=value + residual,
        n=count,
        level=1.0,
        method="residual of power iteration",
    )


class _Hessian:
    def __init__(self, variables: Sequence[nn.Parameter], closure: Closure) -> None:
        self.variables = variables
        self._closure = closure
        self._weights = [one.detach().clone() for one in variables]
        self._step = _STEP * max(math.sqrt(_dot(self._weights, self._weights)), 1e-3)
        self._random = torch.random.get_rng_state()

    def times(self, direction: Vector) -> Vector:
        """Return the product with a vector of length 1."""
        ahead, behind = self._gradient(direction, self._step), self._gradient(direction, -self._step)
        return [(one - other) / (2 * self._step) for one, other in zip(ahead, behind, strict=True)]

    def _gradient(self, direction: Vector, step: float) -> Vector:
        torch.random.set_rng_state(self._random)
        with torch.no_grad():
            for variable, weights, along in zip(self.variables, self._weights, direction, strict=True):
                variable.copy_(weights + step * along)
        with torch.enable_grad():
            loss = self._closure()
            if not isinstance(loss, Tensor) or loss.grad_fn is None:
                raise ValueError(
                    f"got {type(loss).__name__} without a graph from the closure; expected the loss, before its "
                    "gradient is taken. Return the loss itself, and do not call backward in the closure."
                )
            found = torch.autograd.grad(loss, list(self.variables), allow_unused=True)
        return [
            torch.zeros_like(variable) if one is None else one
            for variable, one in zip(self.variables, found, strict=True)
        ]


def _dominant(
    hessian: _Hessian, shift: float, products: int, tolerance: float, generator: torch.Generator
) -> tuple[float, float, int]:
    """Return eigenvalue, residual and products of power iteration on the Hessian plus a shift, which is taken off."""
    direction = _unit([torch.randn(one.shape, generator=generator).to(one) for one in hessian.variables])
    value, residual, count = 0.0, math.inf, 0
    while count < products:
        count += 1
        image = [one + shift * along for one, along in zip(hessian.times(direction), direction, strict=True)]
        value = _dot(image, direction)
        rest = [one - value * along for one, along in zip(image, direction, strict=True)]
        residual = math.sqrt(_dot(rest, rest))
        if residual <= tolerance * abs(value) or residual == 0.0:
            break
        direction = _unit(image)
    return value - shift, residual, count


def _dot(one: Vector, other: Vector) -> float:
    return float(sum(float((a.double() * b.double()).sum()) for a, b in zip(one, other, strict=True)))


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(_dot(vector, vector)) or 1.0
    return [one / length for one in vector]
