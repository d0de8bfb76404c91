"""A Keras 3 model as an ordinary torch module, for models that have no equal in torch layers."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.core.signature import Task
from equipoise.networks.keras_models import first_line, keras_module


class KerasAdapter(nn.Module):
    """Calls a copy of a Keras model and shows its layers.

    Keras hides its layers from `named_modules`, lists parameters twice and ignores `train()`; here every layer is
    listed once in `layers`, and training mode reaches the model. Moving averages and seeds of dropout are parameters
    without gradient, as Keras keeps them.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        # Not registered as a sub-module: it would list every parameter twice.
        self.held: tuple[Any] = (_copy(model),)
        self.layers = nn.ModuleDict(_named(keras_layers(self.held[0])))
        names = _lasting_names(self)
        back = {new: old for old, new in names.items()}

        def leaving(_module: nn.Module, state: dict[str, Any], prefix: str, _metadata: object) -> None:
            _rename(state, names, prefix)

        def coming(_module: nn.Module, state: dict[str, Any], prefix: str, *_rest: object) -> None:
            _rename(state, back, prefix)

        self.register_state_dict_post_hook(leaving)
        self.register_load_state_dict_pre_hook(coming)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the model's outputs; inputs are laid out as Keras wants them (channels last)."""
        outputs: Tensor = self.held[0](inputs, training=self.training)
        return outputs

    def __deepcopy__(self, memo: dict[int, object]) -> "KerasAdapter":
        twin = KerasAdapter(self.held[0])
        memo[id(self)] = twin
        return twin.train(self.training)


def _named(layers: list[Any]) -> dict[str, nn.Module]:
    """Return layers by their names; of two with one name (in models inside the model) the later gets a number."""
    named: dict[str, nn.Module] = {}
    for layer in layers:
        name = layer.name.replace(".", "_")
        named[name if name not in named else f"{name}__{len(named)}"] = layer
    return named


def _lasting_names(adapter: KerasAdapter) -> dict[str, str]:
    """Return for each parameter's name one that is the same whenever the model is made again.

    Keras numbers names by how many of a kind the process has made; here a variable is known by its place in its layer.
    """
    places: dict[int, str] = {}
    for key, layer in adapter.layers.items():
        variables: Any = getattr(layer, "variables", ())
        for position, variable in enumerate(variables):
            places.setdefault(id(variable.value), f"layers.{key}.{position}.{variable.name}")
    names = {name: places.get(id(parameter), name) for name, parameter in adapter.named_parameters()}
    return names if len(set(names.values())) == len(names) else {name: name for name in names}


def _rename(state: dict[str, Any], names: dict[str, str], prefix: str) -> None:
    """Rename the entries of a state dict in place, keeping their order."""
    full = {f"{prefix}{old}": f"{prefix}{new}" for old, new in names.items()}
    entries = [(full.get(name, name), state.pop(name)) for name in list(state)]
    state.update(entries)


def strip_adapter(adapter: KerasAdapter, task: Task) -> KerasAdapter | None:
    """Return a copy whose last layer gives logits, or None when that layer has no softmax or sigmoid to take off."""
    ends = {"multilabel": {"sigmoid"}, "binary": {"sigmoid", "softmax", "log_softmax"}}
    model = adapter.held[0]
    layers = keras_layers(model)
    last = layers[-1]
    name = getattr(getattr(last, "activation", None), "__name__", "")
    if last is not model.layers[-1] or name not in ends.get(task.kind, {"softmax", "log_softmax"}):
        return None
    twin = copy.deepcopy(adapter)
    twin.held[0].layers[-1].activation = keras_module().activations.linear
    return twin


def keras_layers(model: Any) -> list[Any]:
    """Return the layers of a Keras model, those of models inside it included, input layers left out.

    A model with weights outside its layers is returned itself, as one layer.
    """
    keras = keras_module()
    found: list[Any] = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inner = keras_layers(layer) if isinstance(layer, keras.Model) else [layer]
        found += [one for one in inner if all(one is not other for other in found)]
    listed = {id(variable) for layer in found for variable in layer.variables}
    if found and all(id(variable) in listed for variable in model.variables):
        return found
    return [model]


def _copy(model: Any) -> Any:
    """Return a Keras model with the same configuration and weights.

    Raises:
        ValueError: It cannot be made again.
    """
    twin = _made_again(model)
    if not twin.built:
        twin.build_from_config(model.get_build_config())
    shapes = [tuple(variable.shape) for variable in model.variables]
    if [tuple(variable.shape) for variable in twin.variables] != shapes:
        raise ValueError(
            f"got the Keras model {type(model).__name__}, whose configuration gives other weights than its own; "
            "expected one that makes it again. Let `get_config` return every argument of its constructor."
        )
    with torch.no_grad():
        for mine, theirs in zip(twin.variables, model.variables, strict=True):
            mine.value.copy_(theirs.value)
            mine.value.requires_grad_(theirs.value.requires_grad)
    return twin


def _made_again(model: Any) -> Any:
    """Return a model of the same configuration; one without a configuration is made by its class alone."""
    try:
        return type(model).from_config(model.get_config())
    except Exception as problem:
        try:
            return type(model)()
        except Exception:
            raise ValueError(
                f"got the Keras model {type(model).__name__}, which cannot be made again "
                f"({first_line(problem)}); expected one with a configuration. "
                "Let its `get_config` return every argument of its constructor."
            ) from problem
