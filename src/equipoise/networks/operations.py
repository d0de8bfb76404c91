"""The surgeries on a module tree: each returns a changed copy, or the reason why it cannot be done."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from equipoise.core.network_plan import FamilyOptions
from equipoise.networks.calls import RECTIFYING, Call, calls, calls_and_results
from equipoise.networks.initialise import initialise
from equipoise.networks.layered import (
    LINEAR,
    GatedAsPlain,
    Linked,
    named_activation,
    norm_behind,
    recurrent_like,
    resized,
)
from equipoise.networks.spectral import divide_by_spectral_norm
from equipoise.networks.surgery import (
    bare_layers,
    hidden_activations,
    with_activation_after,
    with_dropout_at_most,
    with_modules,
    without_output_activation,
)
from equipoise.networks.traced import Called, UntraceableError, traced


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """What a surgery works on.

    Attributes:
        network: The network, which is left as it is.
        inputs: A few samples as it takes them.
        value: What stands behind the surgery's colon.
        seed: Draws new weights.
    """

    network: nn.Module
    inputs: Tensor
    value: str
    seed: int

    def heard(self) -> tuple[Call, ...]:
        """Return the calls of a forward pass."""
        return calls(self.network, self.inputs)


Surgeon = Callable[[Operation], nn.Module | str]
"""Returns a changed copy, or why there is none."""


def swap_activations(one: Operation) -> nn.Module | str:
    """Replace all hidden activations; those that the code calls as functions are made modules first."""
    network, heard = one.network, one.heard()
    if not hidden_activations(heard):
        return "has no hidden activation"
    if not all(_is_own(call, heard) for call in hidden_activations(heard)):
        try:
            network = traced(network)
        except UntraceableError as problem:
            return f"has activations that its code calls as functions, and {problem}"
        heard = calls(network, one.inputs)
    paths = [call.path for call in hidden_activations(heard) if _is_own(call, heard)]
    if not paths:
        return "has activations inside of torch's own layers only"
    return with_modules(network, {path: named_activation(one.value) for path in paths})


def insert_activations(one: Operation) -> nn.Module | str:
    """Put a rectifier behind each linear layer that feeds another one."""
    bare = bare_layers(one.network, one.heard())
    return with_activation_after(one.network, bare) if bare else "has an activation between all of its linear layers"


def set_output_activation(one: Operation) -> nn.Module | str:
    """Remove the activation that makes the output, or set it."""
    bare = _without_end(one)
    if one.value == "none":
        return "does not end in an activation" if bare is None else bare
    last = nn.Sigmoid() if one.value == "sigmoid" else nn.Softmax(-1)
    return nn.Sequential(copy.deepcopy(one.network) if bare is None else bare, last)


def turn_softmax(one: Operation) -> nn.Module | str:
    """Turn every softmax over the samples of a batch to the last axis."""
    network = _modular(one.network)
    across = [
        path
        for path, module in network.named_modules()
        if (isinstance(module, (nn.Softmax, nn.LogSoftmax)) and module.dim == 0) or _is_called_across(module)
    ]
    if not across:
        return "has no softmax over the samples that could be found"
    made: dict[str, nn.Module] = {}
    for path in across:
        module = network.get_submodule(path)
        logarithm = isinstance(module, nn.LogSoftmax) or "log" in module.extra_repr()
        made[path] = nn.LogSoftmax(-1) if logarithm else nn.Softmax(-1)
    return with_modules(network, made)


def normalise(one: Operation) -> nn.Module | str:
    """Put a normalisation behind every hidden layer, in the place of one that is there."""
    heard = calls_and_results(one.network, one.inputs)
    made: dict[str, nn.Module] = {}
    for position, (call, output) in _hidden(heard):
        layer = one.network.get_submodule(call.path)
        if not isinstance(layer, LINEAR) or output is None:
            continue
        norm = norm_behind(layer, output, one.value)
        if isinstance(norm, str):
            return norm
        there = _norm_after(heard, position)
        if there:
            made[there] = norm
        elif one.value != "none":
            made[call.path] = nn.Sequential(layer, norm)
    if not made:
        return "has no normalisation" if one.value == "none" else "has no hidden dense or convolutional layer"
    return with_modules(one.network, {path: copy.deepcopy(module) for path, module in made.items()})


def drop(one: Operation) -> nn.Module | str:
    """Set the rate of all dropout, or put dropout before every layer but the first where there is none."""
    network, rate = _modular(one.network), float(one.value)
    heard = calls(network, one.inputs)
    there = [call.path for call in heard if call.kind == "dropout"]
    if there:
        return with_modules(network, {path: nn.Dropout(rate) for path in there})
    layers = list(dict.fromkeys(call.path for call in heard if call.kind == "weights"))
    behind = [path for path in layers[1:] if isinstance(one.network.get_submodule(path), LINEAR)]
    if not behind:
        return "has no dense or convolutional layer behind its first one"
    changed = copy.deepcopy(one.network)
    return with_modules(
        changed, {path: nn.Sequential(nn.Dropout(rate), changed.get_submodule(path)) for path in behind}
    )


def drop_less(one: Operation) -> nn.Module | str:
    """Lower the rate of dropout where it is higher."""
    network, rate = _modular(one.network), float(one.value)
    rates = [float(getattr(module, "p", 0.0)) for module in network.modules() if isinstance(module, _DROPOUTS)]
    rates += [float(module.dropout) for module in network.modules() if isinstance(module, nn.RNNBase)]
    if not any(there > rate for there in rates):
        return f"has no dropout above {rate:g} that could be found"
    return with_dropout_at_most(network, rate)


def draw_anew(one: Operation) -> nn.Module | str:
    """Draw the weights of all dense, convolutional and recurrent layers anew, with zero biases."""
    if not any(isinstance(module, (*LINEAR, nn.RNNBase)) for module in one.network.modules()):
        return "has no dense, convolutional or recurrent layer"
    changed = copy.deepcopy(one.network)
    rectified = any(call.kind == "activation" and call.name in RECTIFYING for call in one.heard())
    options = FamilyOptions(activation="relu" if rectified else "tanh")
    initialise(changed, options.replace(initialisation=one.value), one.seed)
    return changed


def resize(one: Operation) -> nn.Module | str:
    """Multiply the width of all hidden layers; all weights are drawn anew."""
    heard = [call for call in one.heard() if call.kind in ("weights", "norm")]
    paths = list(dict.fromkeys(call.path for call in heard))
    layers = [call.path for call in heard if call.kind == "weights"]
    if len(layers) < 2 or layers.count(layers[-1]) > 1:
        return "has no hidden layer"
    made: dict[str, nn.Module] = {}
    for path in paths[paths.index(layers[0]) :]:
        module = one.network.get_submodule(path)
        fresh = resized(module, float(one.value), first=path == layers[0], last=path == layers[-1])
        if isinstance(fresh, str):
            return fresh
        made[path] = fresh
    return with_modules(one.network, made)


def link(one: Operation) -> nn.Module | str:
    """Let every hidden layer that keeps the width add what it got to what it gives."""
    heard = calls_and_results(one.network, one.inputs)
    made: dict[str, nn.Module] = {}
    for _, (call, output) in _hidden(heard):
        layer = one.network.get_submodule(call.path)
        if output is not None and _keeps_width(layer):
            made[call.path] = Linked(copy.deepcopy(layer))
    return with_modules(one.network, made) if made else "has no hidden layer as wide as what it takes"


def gate(one: Operation) -> nn.Module | str:
    """Replace plain recurrent layers by gated ones, with fresh weights."""
    plain = {path: module for path, module in one.network.named_modules() if isinstance(module, nn.RNN)}
    if not plain:
        return "has no nn.RNN"
    made: dict[str, nn.Module] = {}
    for path, module in plain.items():
        if one.value == "gru":
            made[path] = recurrent_like(module, nn.GRU, module.input_size, module.hidden_size)
        else:
            cell = recurrent_like(module, nn.LSTM, module.input_size, module.hidden_size)
            made[path] = GatedAsPlain(cell) if isinstance(cell, nn.LSTM) else cell
    return with_modules(one.network, made)


def bound_weights(one: Operation) -> nn.Module | str:
    """Divide the weights of hidden layers by their largest singular value."""
    changed = copy.deepcopy(one.network)
    paths = list(dict.fromkeys(call.path for call in one.heard() if call.kind == "weights"))[:-1]
    hidden = [changed.get_submodule(path) for path in paths]
    return changed if divide_by_spectral_norm(hidden) else "has no hidden dense or convolutional layer"


def unfreeze(one: Operation) -> nn.Module | str:
    """Let all weights be trained."""
    changed = copy.deepcopy(one.network)
    frozen = [value for value in changed.parameters() if value.is_floating_point() and not value.requires_grad]
    for value in frozen:
        value.requires_grad_(True)
    return changed if frozen else "has no frozen weight"


SURGEONS: dict[str, Surgeon] = {
    "activation": swap_activations,
    "insert-activation": insert_activations,
    "output-activation": set_output_activation,
    "softmax-axis": turn_softmax,
    "normalisation": normalise,
    "dropout": drop,
    "dropout-at-most": drop_less,
    "initialise": draw_anew,
    "width": resize,
    "residual-links": link,
    "recurrence": gate,
    "spectral-norm": bound_weights,
    "unfreeze": unfreeze,
}
"""What carries out each surgery of `core.surgeries`."""

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)

Heard = Sequence[tuple[Call, Tensor | None]]


def _is_own(call: Call, heard: Sequence[Call]) -> bool:
    """Whether an activation is a module that is used as a hidden activation only."""
    outputs = {one.path for one in heard if one.is_output}
    return call.is_module and bool(call.path) and call.path not in outputs


def _modular(network: nn.Module) -> nn.Module:
    """Return the network with functions made modules where it can be traced, else itself."""
    try:
        return traced(network)
    except UntraceableError:
        return network


def _without_end(one: Operation) -> nn.Module | None:
    """Return a copy without the activation that makes the output; None where there is none."""
    heard = one.heard()
    last = heard[-1] if heard else None
    if last is not None and last.is_output and last.kind == "activation" and not last.is_module:
        network = _modular(one.network)
        return without_output_activation(network, calls(network, one.inputs))
    return without_output_activation(one.network, heard)


def _is_called_across(module: nn.Module) -> bool:
    if not isinstance(module, Called) or module.extra_repr() not in ("softmax", "log_softmax"):
        return False
    axis = module.options.get("dim", module.rest[0] if module.rest else None)
    return axis == 0


def _hidden(heard: Heard) -> list[tuple[int, tuple[Call, Tensor | None]]]:
    """Return the layers with weights but for the last one, each once, with their positions."""
    layers = [(position, one) for position, one in enumerate(heard) if one[0].kind == "weights"]
    last = layers[-1][1][0].path if layers else ""
    return [(position, one) for position, one in layers if one[0].count == 0 and one[0].path != last]


def _norm_after(heard: Heard, position: int) -> str:
    """Return the path of the normalisation between a layer and the next one; empty where there is none."""
    for call, _ in heard[position + 1 :]:
        if call.kind == "weights":
            return ""
        if call.kind == "norm":
            return call.path
    return ""


def _keeps_width(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Linear):
        return layer.in_features == layer.out_features
    if not isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) or layer.in_channels != layer.out_channels:
        return False
    padded = layer.padding == "same" or all(
        2 * pad == (size - 1) * gap
        for pad, size, gap in zip(layer.padding, layer.kernel_size, layer.dilation, strict=True)
    )
    return padded and all(stride == 1 for stride in layer.stride)
