"""Optimisers by name: built with the right groups, stepped together, saved without pickle."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from schedulefree import AdamWScheduleFree
from torch import Tensor, nn

from equipoise.core.recipe import Recipe
from equipoise.fit.lion import Lion

MOMENTUM = {"momentum": 0.9, "nesterov": 0.9, "muon": 0.95, "rmsprop": 0.0}
"""Optimisers that take a momentum, with what they take when the recipe says none."""

_FUSED = ("gradient-descent", "sgd", "momentum", "nesterov", "adam", "adamw")
_FUSED_DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True, eq=False)
class Stepper:
    """One or two optimisers that act as one.

    Attributes:
        parts: The optimisers.
        parameters: All trained parameters.
        fused: Whether the fused form is used.
        views: Convolution kernels with the matrices of the same memory that Muon is given.
        decayed: Weights to shrink before a step, where the optimiser itself only knows coupled decay.
        decay: Their decoupled weight decay.
    """

    parts: tuple[torch.optim.Optimizer, ...]
    parameters: tuple[nn.Parameter, ...]
    fused: bool
    views: tuple[tuple[nn.Parameter, nn.Parameter], ...] = ()
    decayed: tuple[nn.Parameter, ...] = ()
    decay: float = 0.0

    @property
    def rate(self) -> float:
        """The present learning rate."""
        return float(self.parts[0].param_groups[0]["lr"])

    @property
    def averages(self) -> bool:
        """Whether the weights that are evaluated are others than those that are trained (schedule-free)."""
        return any(isinstance(part, AdamWScheduleFree) for part in self.parts)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of every group."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate

    @torch.no_grad()
    def step(self) -> None:
        """Take one step with the gradients that are there, and clear them."""
        for parameter in self.decayed:
            parameter.mul_(1 - self.rate * self.decay)
        for kernel, matrix in self.views:
            matrix.grad = None if kernel.grad is None else _as_matrix(kernel.grad, kernel)
        for part in self.parts:
            part.step()
        self.clear()

    def clear(self) -> None:
        """Drop the gradients that are there."""
        for parameter in self.parameters:
            parameter.grad = None

    def train(self) -> None:
        """Put the training weights in place (schedule-free keeps two sets; the others one)."""
        for part in self.parts:
            if isinstance(part, AdamWScheduleFree):
                part.train()

    def eval(self) -> None:
        """Put the weights to be evaluated in place."""
        for part in self.parts:
            if isinstance(part, AdamWScheduleFree):
                part.eval()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything that changes while training: tensors, and plain numbers."""
        tensors: dict[str, Tensor] = {}
        numbers: dict[str, Any] = {}
        for k, part in enumerate(self.parts):
            values = part.state_dict()
            for i, entries in values["state"].items():
                for name, value in entries.items():
                    if isinstance(value, Tensor):
                        tensors[f"{k}.{i}.{name}"] = value
            groups = [{n: v for n, v in group.items() if _is_number(v)} for group in values["param_groups"]]
            numbers[str(k)] = groups
        return tensors, numbers

    def load(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Put back what `state` returned; tensors take the memory layout of their parameters."""
        for k, part in enumerate(self.parts):
            state: dict[int, dict[str, Tensor]] = {}
            order = [parameter for group in part.param_groups for parameter in group["params"]]
            for key, value in tensors.items():
                owner, i, name = key.split(".", 2)
                if owner == str(k):
                    state.setdefault(int(i), {})[name] = _laid_out_like(order[int(i)], value)
            groups = part.state_dict()["param_groups"]
            for group, saved in zip(groups, numbers[str(k)], strict=True):
                group.update(saved)
            part.load_state_dict({"state": state, "param_groups": groups})


def build_stepper(recipe: Recipe, network: nn.Module, device: torch.device) -> Stepper:
    """Return the optimiser of a recipe for the trainable parameters of a network.

    Weight decay falls on weights (two and more dimensions) only. Muon takes the hidden weight matrices and flattened
    kernels; embeddings, the output layer, biases and norms go to AdamW at the same learning rate, to whose size Muon's
    steps are scaled (Liu et al., 2025, arXiv 2502.16982).

    Raises:
        ValueError: A momentum for an optimiser without one, no trainable parameter, or Muon without hidden weights.
    """
    parameters = tuple(parameter for parameter in network.parameters() if parameter.requires_grad)
    if not parameters:
        raise ValueError(
            "got a network without a trainable parameter; expected at least one. Set requires_grad on its parameters, "
            "or examine it as it stands with train=False."
        )
    name, rate, decay = recipe.optimizer, recipe.learning_rate, recipe.weight_decay
    if recipe.momentum is not None and name not in MOMENTUM:
        raise ValueError(
            f"recipe.momentum: got {recipe.momentum:g} with optimizer {name!r}, which has none; expected one of "
            f"{', '.join(MOMENTUM)}. Use optimizer 'momentum' or leave the momentum out."
        )
    momentum = MOMENTUM.get(name, 0.0) if recipe.momentum is None else recipe.momentum
    floating = all(parameter.is_floating_point() for parameter in parameters)
    fused = recipe.tuned and name in _FUSED and device.type in _FUSED_DEVICES and floating
    if any(hasattr(parameter, "full_tensor") for parameter in parameters):  # divided among ranks: torch fuses Adam only
        fused = fused and name in ("adam", "adamw")
    groups = _groups(parameters, decay)
    if name == "muon":
        return _muon(network, parameters, rate, decay, momentum, device)
    if name == "rmsprop":
        part: torch.optim.Optimizer = torch.optim.RMSprop(parameters, rate, momentum=momentum)
        return Stepper((part,), parameters, False, (), tuple(weights_of(parameters)) if decay else (), decay)
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "nesterov": lambda: torch.optim.SGD(groups, rate, momentum, nesterov=True, fused=fused),
        "adam": lambda: torch.optim.AdamW(groups, rate, fused=fused),
        "adamw": lambda: torch.optim.AdamW(groups, rate, fused=fused),
        "lion": lambda: Lion(groups, rate),
        "schedule-free": lambda: AdamWScheduleFree(groups, rate, warmup_steps=recipe.warmup_steps),
    }
    part = makers.get(name, lambda: torch.optim.SGD(groups, rate, momentum, fused=fused))()
    return Stepper((part,), parameters, fused)


def weights_of(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the weights among parameters: those of two and more dimensions; biases and norms have one."""
    return [parameter for parameter in parameters if parameter.dim() >= 2]


def _groups(parameters: tuple[nn.Parameter, ...], decay: float) -> list[dict[str, Any]]:
    if not decay:
        return [{"params": list(parameters), "weight_decay": 0.0}]
    rest = [parameter for parameter in parameters if parameter.dim() < 2]
    groups = [{"params": weights_of(parameters), "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _muon(
    network: nn.Module,
    parameters: tuple[nn.Parameter, ...],
    rate: float,
    decay: float,
    momentum: float,
    device: torch.device,
) -> Stepper:
    hidden = _hidden_weights(network)
    if not hidden:
        raise ValueError(
            "recipe.optimizer: got 'muon' for a network without a hidden weight matrix; expected at least one hidden "
            "layer. Use 'adamw'."
        )
    taken = {id(parameter) for parameter in hidden}
    views = tuple((p, nn.Parameter(_as_matrix(p.detach(), p))) for p in hidden if p.dim() > 2)
    matrices = [p for p in hidden if p.dim() == 2] + [matrix for _, matrix in views]
    rest = tuple(parameter for parameter in parameters if id(parameter) not in taken)
    first = torch.optim.Muon(matrices, rate, weight_decay=decay, momentum=momentum, adjust_lr_fn="match_rms_adamw")
    fused = device.type in _FUSED_DEVICES
    if not rest:
        return Stepper((first,), parameters, False, views)
    second = torch.optim.AdamW(_groups(rest, decay), rate, fused=fused)
    return Stepper((first, second), parameters, fused, views)


def _hidden_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return weight matrices and kernels without embeddings and the last linear layer (the output)."""
    left_out = {id(m.weight) for m in network.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))}
    linear = [m.weight for m in network.modules() if isinstance(m, nn.Linear)]
    left_out.update(id(weight) for weight in linear[-1:])
    return [
        parameter
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
        and parameter.dim() >= 2
        and "weight" in name.removesuffix(".original").rpartition(".")[2]  # divided by its norm: weight.original
        and id(parameter) not in left_out
    ]


def _as_matrix(values: Tensor, kernel: Tensor) -> Tensor:
    """Return a kernel (out, in, ...) as a matrix (out, in * ...), in the order in which `kernel` lies in memory.

    The order of columns does not matter to Muon, whose step turns with them; following the memory makes a view.
    """
    if kernel.is_contiguous():
        return values.reshape(len(values), -1)
    return values.movedim(1, -1).reshape(len(values), -1)


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, requires_grad=False, dtype=value.dtype, device=value.device).copy_(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (bool, int, float))
