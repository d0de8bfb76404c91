"""The layers of a network, in the order in which they run."""

from torch import Tensor, nn

from equipoise.networks.cells import LoopedRecurrence
from equipoise.networks.keras_models import is_keras_layer
from equipoise.networks.network import Network
from equipoise.networks.probe import run_once

_WHOLE = (nn.RNNBase, nn.MultiheadAttention, LoopedRecurrence)


def named_layers(network: Network, inputs: Tensor | None = None) -> list[tuple[str, nn.Module]]:
    """Return path and module of each layer of the body.

    Layers are modules without sub-modules, and those that compute as a whole: recurrent layers, torch's multi-head
    attention, Keras layers. Identities are left out; a layer used in several places comes once. `get_submodule` of the
    network finds each path.

    Args:
        network: Left as it is.
        inputs: Raw inputs (n, ...): the layers are sorted by when they first ran on them, those that did not run at the
            end. Without inputs they come in the order in which they were registered, which is the order of running in
            every family and in every `nn.Sequential`.
    """
    layers = [(f"body.{path}" if path else "body", module) for path, module in _layers(network.body)]
    return layers if inputs is None else _by_first_run(network, layers, inputs)


def is_layer(module: nn.Module) -> bool:
    """Whether a module is a layer as `named_layers` counts them."""
    if isinstance(module, nn.Identity) or (isinstance(module, (nn.Sequential, nn.ModuleList)) and len(module) == 0):
        return False
    return isinstance(module, _WHOLE) or is_keras_layer(module) or next(module.children(), None) is None


def _layers(root: nn.Module) -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = []
    within: list[str] = []
    for path, module in root.named_modules():
        if any(path.startswith(f"{whole}." if whole else "") for whole in within):
            continue
        if is_layer(module):
            found.append((path, module))
            within.append(path)
    return found


def _by_first_run(network: Network, layers: list[tuple[str, nn.Module]], inputs: Tensor) -> list[tuple[str, nn.Module]]:
    order: dict[int, int] = {}

    def remember(module: nn.Module, _inputs: object) -> None:
        order.setdefault(id(module), len(order))

    handles = [module.register_forward_pre_hook(remember) for _, module in layers]
    try:
        run_once(network, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return sorted(layers, key=lambda layer: order.get(id(layer[1]), len(order)))
