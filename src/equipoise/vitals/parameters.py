"""The statistics of parameters and their gradients, and what of the step before they are compared with."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer

from equipoise.vitals.kernel import Kernel
from equipoise.vitals.window import Weights

PARAMETER_SUMS = ("weight", "before", "moved", "gradient", "zeros", "non_finite", "product", "now", "previous")
"""What is kept of a parameter at one step: squared norm of the weights, and of those before the step; squared norm of
the movement of the compared ones; squared norm, zeros and non-finite values of the gradient; and of the compared ones
the product with the gradient before, the squared norm, and that of the gradient before."""

WEIGHT, BEFORE, MOVED, GRADIENT, ZEROS, NON_FINITE, PRODUCT, NOW, PREVIOUS = range(len(PARAMETER_SUMS))

EXACT = 1_000_000
"""Up to so many parameters altogether, movement and gradient cosine are taken over all of them."""

SKETCHED = 131_072
"""Beyond that, over about so many of them.

Root mean square error on 1.2 million weights whose rows and columns differ in size (25 draws; the tests hold a slice):
of a norm 0.7 % and of a cosine 0.007 where the logarithms of the sizes have deviation 0.5; 11 % and 0.06 where they
have deviation 1, that is where a hundredth of the weights holds most of the norm."""

LEAST = 2_048
"""At least so many of every parameter, or all of them."""

_FARTHEST = 20_000
"""Most nodes of a graph that are looked at to see whether a loss is of this network."""

_NOTHING: tuple[dict[int, Tensor], dict[int, Tensor]] = ({}, {})

BLOCK = 16
"""Compared coordinates lie in blocks of this many neighbours: one line of the cache in single precision."""


def compared_blocks(count: int, total: int) -> np.ndarray | None:
    """Return where the blocks of compared coordinates of one parameter begin; None when all are compared.

    The blocks are spread evenly, each moved within its share by a fixed pattern of golden-ratio steps, so that no
    regular structure of a weight matrix falls in step with them.

    Args:
        count: Values of the parameter.
        total: Values of all parameters.
    """
    blocks = max(LEAST, round(SKETCHED * count / total)) // BLOCK
    if total <= EXACT or count <= 2 * blocks * BLOCK:
        return None
    share = count / blocks
    shift = (np.arange(blocks) * 0.6180339887498949) % 1.0
    return (np.arange(blocks) * share + shift * (share - BLOCK)).astype(np.int64)


class Entry:
    """One parameter: what is compared of it, and its values and gradient there after the step before.

    Args:
        name: Path of the parameter.
        parameter: The parameter.
        total: Values of all parameters of the network.
    """

    __slots__ = ("_before", "_gradient", "_index", "_weights", "blocks", "compared", "mark", "name", "parameter")

    def __init__(self, name: str, parameter: Tensor, total: int) -> None:
        self.name = name
        self.parameter = parameter
        self.blocks = compared_blocks(parameter.numel(), total)
        self.compared = parameter.numel() if self.blocks is None else len(self.blocks) * BLOCK
        self.mark: tuple[int, int | None] | None = None
        self._index: Tensor | None = None
        self._weights: Tensor | None = None
        self._gradient: Tensor | None = None
        self._before: Tensor | None = None

    def record(self, held: set[int] | None) -> Weights:
        """Return what this parameter is, given the identities of those that the optimiser holds."""
        return Weights(
            name=self.name,
            layer=self.name.rpartition(".")[0],
            count=self.parameter.numel(),
            compared=self.compared,
            trainable=self.parameter.requires_grad,
            optimized=held is None or id(self.parameter) in held,
        )

    @torch.no_grad()
    def measure_weights(self) -> Tensor:
        """Return (3,) `weight`, `before` and `moved`, and remember the weights for the next step."""
        values = self.parameter.detach()
        now = _squares(values)
        compared = self._pick(values)
        missing = torch.full_like(now, torch.nan)
        moved = missing if self._weights is None else _squares(compared - self._weights)
        found = torch.stack((now, missing if self._before is None else self._before, moved))
        self._before = now
        self._weights = compared.clone() if self._weights is None else self._weights.copy_(compared)
        return found

    @torch.no_grad()
    def measure_gradient(self) -> Tensor:
        """Return (6,) `gradient` to `previous`, and remember the gradient for the next step."""
        gradient = self.parameter.grad
        if gradient is None:
            self._gradient = self.mark = None
            return torch.full((6,), torch.nan, dtype=torch.float64, device=self.parameter.device)
        self.mark = id(gradient), getattr(gradient, "_version", None)
        if gradient.is_sparse:
            gradient = gradient.to_dense()
        whole = _squares(gradient)
        compared = self._pick(gradient)
        zeros = (gradient == 0).sum().to(whole.dtype)
        wrong = (~torch.isfinite(gradient)).sum().to(whole.dtype)
        last = self._gradient
        missing = torch.full_like(whole, torch.nan)
        product = missing if last is None else _product(compared, last)
        previous = missing if last is None else _squares(last)
        self._gradient = compared.clone() if last is None else last.copy_(compared)
        return torch.stack((whole, zeros, wrong, product, _squares(compared), previous))

    def _pick(self, values: Tensor) -> Tensor:
        """Return the compared values, in the order of memory."""
        flat = in_memory_order(values.detach())
        if self.blocks is None:
            return flat
        if self._index is None or self._index.device != flat.device:
            spread = torch.from_numpy((self.blocks[:, None] + np.arange(BLOCK)).reshape(-1))
            self._index = spread.to(flat.device)
        return flat[self._index]


def in_memory_order(values: Tensor) -> Tensor:
    """Return a tensor as one row, in the order of its memory wherever it has no gaps."""
    if values.is_contiguous():
        return values.view(-1)
    sizes_by_stride = sorted(zip(values.stride(), values.shape, strict=True))
    expected = 1
    for stride, size in sizes_by_stride:
        if size != 1 and stride != expected:
            return values.reshape(-1)
        expected *= size
    return values.as_strided((values.numel(),), (1,))


class ParameterTable:
    """Every parameter of one network: what it is, and what was measured of it at the step before.

    Args:
        network: Any network; its parameters are read at `prepare`, once lazy ones have a shape.
        kernel: What measures.

    Attributes:
        ledger: Where the kernel measures; None without it.
        optimized: Which of the parameters the optimiser holds whose steps count.
        ready: Whether `prepare` was called.
        weights: What the parameters are.
    """

    def __init__(self, network: nn.Module, kernel: Kernel) -> None:
        self._network = network
        self.ledger = kernel.ledger()
        self._entries: list[Entry] = []
        self._ours: dict[int, Entry] = {}  # those that the ledger cannot read, by their place
        self._held: set[int] | None = None  # by any optimiser
        self._stepped: set[int] | None = None  # by the one whose steps count
        self.optimized: tuple[int, ...] = ()
        self._identities = {id(one) for one in network.parameters()}
        self._owners: list[tuple[nn.Module, str]] = []
        self.ready = False
        self.weights: tuple[Weights, ...] = ()

    def prepare(self, optimizer: Optimizer | None) -> None:
        """Read the parameters, and remember their values for the first step."""
        if optimizer is not None:
            self._held = self._stepped = _identities(optimizer)
        named = [
            (name, one)
            for name, one in self._network.named_parameters()
            if not isinstance(one, UninitializedParameter) and one.is_floating_point()
        ]
        total = sum(one.numel() for _, one in named)
        modules = dict(self._network.named_modules())
        for name, one in named:
            layer, _, attribute = name.rpartition(".")
            self._owners.append((modules[layer], attribute))
            self._entries.append(Entry(name, one, total))
            self._enter(len(self._entries) - 1)
        self.describe()
        self.remember(gradients=False)
        self.ready = True

    @property
    def readable(self) -> bool:
        """Whether the kernel can read all of them."""
        return self.ledger is not None and not self._ours

    def hold(self, optimizer: Optimizer) -> None:
        """Take the parameters of one more optimiser for held."""
        self._held = (self._held or set()) | _identities(optimizer)
        self.describe()

    def step_by(self, optimizer: Optimizer) -> None:
        """Take an optimiser for the one whose steps count, and which alone has to clear gradients for them."""
        self._stepped = _identities(optimizer)
        self.describe()

    def shares(self, optimizer: Optimizer) -> bool:
        """Whether an optimiser holds any of these parameters."""
        held = _identities(optimizer)
        return any(id(one) in held for one in self._network.parameters())

    def describe(self) -> None:
        """Look anew at which parameters are trainable and held by the optimiser."""
        self.weights = tuple(entry.record(self._held) for entry in self._entries)
        self._identities = {id(entry.parameter) for entry in self._entries}
        ours = self._stepped
        self.optimized = tuple(at for at, one in enumerate(self._entries) if ours is None or id(one.parameter) in ours)

    def outside(self) -> list[str]:
        """Return the trainable parameters that no known optimiser holds."""
        return [one.name for one in self.weights if one.trainable and not one.optimized]

    def have_gradients(self) -> bool:
        """Whether any parameter that the optimiser holds has a gradient."""
        return any(self._entries[at].parameter.grad is not None for at in self.optimized)

    def cleared(self) -> bool:
        """Whether the gradients that the optimiser uses are gone or zero."""
        if self.ledger is not None and self.ledger.uncleared(self.optimized):
            return False
        for at, entry in self._ours.items():
            gradient = entry.parameter.grad if at in self.optimized else None
            if gradient is not None and not _is_zero(entry, gradient):
                return False
        return True

    def reached_from(self, roots: Iterable[Tensor]) -> bool:
        """Whether the gradient of any root flows into one of these parameters."""
        ours = self._identities
        waiting: list[Any] = [root.grad_fn for root in roots if root.grad_fn is not None]
        seen: set[Any] = set(waiting)
        while waiting and len(seen) < _FARTHEST:
            node = waiting.pop()
            if id(getattr(node, "variable", None)) in ours:
                return True
            fresh = [one for one, _ in node.next_functions if one is not None and one not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
        return False

    def measure(
        self, sums: np.ndarray, row: int, weights: bool, gradients: bool
    ) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Measure every parameter, and remember it for the next step.

        Args:
            sums: (S, P, 9) numbers of `PARAMETER_SUMS`; one row is filled with what the kernel can read.
            row: Which one.
            weights: Whether to measure the weights.
            gradients: Whether to measure the gradients.

        Returns:
            Of those that it cannot read, by their place: `Entry.measure_weights` and `Entry.measure_gradient`.
        """
        if self.ledger is not None:
            self.lost(self.ledger.measure(sums, row, weights, gradients) or ())
        if not self._ours:
            return _NOTHING
        return (
            {at: entry.measure_weights() for at, entry in self._ours.items()} if weights else {},
            {at: entry.measure_gradient() for at, entry in self._ours.items()} if gradients else {},
        )

    def lost(self, places: Iterable[int]) -> None:
        """See to parameters that the kernel can no longer read."""
        for at in places:
            self._ours[at] = self._entries[at]

    def remember(self, *, gradients: bool) -> None:
        """Remember every parameter for the next step."""
        self.measure(np.empty((1, len(self._entries), len(PARAMETER_SUMS))), 0, True, gradients)

    def replaced_one(self, step: int) -> str | None:
        """Return the name of a parameter that is not the one it was; looks at one of them a step, in turn."""
        return self._swap(step % len(self._entries)) if self._entries else None

    def replaced(self) -> list[str]:
        """Return the names of all parameters that are not those they were."""
        return [name for at in range(len(self._entries)) if (name := self._swap(at)) is not None]

    def _swap(self, at: int) -> str | None:
        """Take the parameter that now stands in a place; return its name when it is another one."""
        entry, (owner, attribute) = self._entries[at], self._owners[at]
        now = getattr(owner, attribute, None)
        if now is entry.parameter or not isinstance(now, Tensor):
            return None
        self._entries[at] = Entry(entry.name, now, sum(one.parameter.numel() for one in self._entries))
        self._enter(at)
        self.describe()
        return entry.name

    def _enter(self, at: int) -> None:
        """Enter a parameter into the ledger, or see to it ourselves."""
        entry = self._entries[at]
        starts = None if entry.blocks is None else entry.blocks.tobytes()
        self._ours.pop(at, None)
        if self.ledger is None or not self.ledger.set(at, entry.parameter, starts, BLOCK):
            self._ours[at] = entry


def _identities(optimizer: Optimizer) -> set[int]:
    return {id(one) for group in optimizer.param_groups for one in group["params"]}


def _is_zero(entry: Entry, gradient: Tensor) -> bool:
    """Whether a gradient is zero; on an accelerator, which must not be waited for, whether somebody changed it."""
    if gradient.device.type != "cpu":
        return entry.mark != (id(gradient), getattr(gradient, "_version", None))
    if gradient.is_sparse:
        return not gradient._nnz()
    return not bool(gradient.any())


def _squares(values: Tensor) -> Tensor:
    return _product(values, values)


def _product(one: Tensor, other: Tensor) -> Tensor:
    """Return the sum of products in double precision where the device has it."""
    wide = torch.float32 if one.device.type == "mps" else torch.float64
    return (one.to(wide) * other.to(wide)).sum()
