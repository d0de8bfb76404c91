"""A Keras model on the torch backend as the recorder sees it: layers by name, variables as parameters, an optimiser.

Keras keeps the layers of a `Sequential` or functional model out of `named_modules()`, and its optimisers are none of
torch's. What is here stands beside the model and changes nothing in it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from equipoise.networks.keras_models import is_keras, is_keras_layer


class KerasView(nn.Module):
    """A module whose sub-modules are the layers of a Keras model, and which is called whenever that model is.

    Layers inside a model that is itself a layer come as `outer.inner`, as do layers that a layer of the user's own
    keeps as attributes. Layers of Keras that hold others (recurrent ones, attention) count as one. Parameters are named
    by layer and variable, `dense.kernel`; those that Keras updates without a gradient are left out.

    Args:
        model: A built Keras model.
    """

    _model: Any
    _named: tuple[tuple[str, nn.Parameter], ...]

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "_model", model)  # beside the sub-modules, not among them
        _grow(self, model)
        object.__setattr__(self, "_named", tuple(_named_parameters("", self, model)))

    @property
    def training(self) -> bool:
        """Whether the model is in training mode; it is the model's own."""
        return bool(self._model.training)

    @training.setter
    def training(self, mode: bool) -> None:
        """Leave the model as it is: a view has no mode."""

    def register_forward_pre_hook(self, *given: Any, **options: Any) -> RemovableHandle:
        """Hang a hook on the model."""
        return self._model.register_forward_pre_hook(*given, **options)

    def register_forward_hook(self, *given: Any, **options: Any) -> RemovableHandle:
        """Hang a hook on the model."""
        return self._model.register_forward_hook(*given, **options)

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the variables that a gradient moves or would, each once, by layer and name."""
        del recurse, remove_duplicate  # every variable belongs to one layer and comes once
        for name, parameter in self._named:
            yield f"{prefix}.{name}" if prefix else name, parameter


class KerasStep(Optimizer):
    """An optimiser of torch whose step is that of a Keras optimiser, so that its hooks run.

    Args:
        optimizer: The Keras optimiser; its `apply` is what a step calls.
        parameters: What it updates.
    """

    def __init__(self, optimizer: Any, parameters: list[nn.Parameter]) -> None:
        super().__init__(parameters, {"lr": 0.0})
        self._optimizer = optimizer
        self._apply: Callable[..., object] = optimizer.apply
        self._given: tuple[Any, ...] = ()
        self._named: dict[str, Any] = {}

    def attach(self) -> None:
        """Stand in for the optimiser's `apply`."""
        self._optimizer.apply = self._applied

    def detach(self) -> None:
        """Give the optimiser its own `apply` back."""
        if vars(self._optimizer).get("apply") == self._applied:
            del self._optimizer.apply

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make the step that Keras asked for."""
        del closure  # Keras has none
        rate = self._optimizer.learning_rate
        rate = getattr(rate, "value", rate)
        self.param_groups[0]["lr"] = rate.detach().clone() if isinstance(rate, Tensor) else rate
        self._apply(*self._given, **self._named)

    def _applied(self, *given: Any, **named: Any) -> None:
        self._given, self._named = given, named
        self.step()


def _grow(place: nn.Module, layer: Any) -> None:
    """Register what a layer consists of as sub-modules of a place."""
    for name, one in _inner(layer):
        if _inner(one):
            branch = nn.Module()
            _grow(branch, one)
            place.add_module(name, branch)
        else:
            place.add_module(name, one)


def _inner(layer: Any) -> list[tuple[str, nn.Module]]:
    """Return the layers that a layer is made of, by name; none for one that counts as a whole."""
    if is_keras(layer):
        layers = [(str(one.name), one) for one in layer.layers if not _is_input(one)]
    elif type(layer).__module__.split(".")[0] == "keras":
        return []
    else:
        layers = [(name, one) for name, one in layer.named_children() if is_keras_layer(one)]
    return [(name.replace(".", "_"), one) for name, one in layers]


def _is_input(layer: Any) -> bool:
    return type(layer).__name__ == "InputLayer"


def _named_parameters(path: str, place: nn.Module, layer: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters of a layer's parts, then those that belong to none of them."""
    seen: set[int] = set()
    for name, one in _inner(layer):
        for full, parameter in _named_parameters(f"{path}{name}.", place, one):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield full, parameter
    for variable in layer.trainable_weights if layer.trainable else layer.weights:
        value = variable.value
        if isinstance(value, torch.nn.Parameter) and id(value) not in seen:
            seen.add(id(value))
            yield f"{path}{_relative(variable.path, layer)}", value


def _relative(path: str, layer: Any) -> str:
    """Return a variable's path within its layer, with slashes, so that what stands before the last dot is the layer."""
    own = str(getattr(layer, "path", None) or layer.name)
    return path.removeprefix(f"{own}/") if path.startswith(f"{own}/") else path.rpartition("/")[2]
