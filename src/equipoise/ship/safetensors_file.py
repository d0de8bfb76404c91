"""`.safetensors` files: weights with everything that is needed to build the network around them again."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from equipoise.core.network_plan import NetworkPlan
from equipoise.core.preprocessing import Preprocessing
from equipoise.networks.archive import load_network, read_header, save_network
from equipoise.networks.ensemble import Members
from equipoise.networks.foreign import ForeignBody
from equipoise.networks.network import Network


def write(
    network: Network, plan: NetworkPlan, preprocessing: Preprocessing, path: Path, metadata: Mapping[str, str]
) -> None:
    """Write the weights, with the plan, the signature, the fitted numbers and `metadata` in the header."""
    save_network(network, plan, preprocessing, path, extra=metadata)


def open_file(
    path: Path, *, trust: bool = False, module: nn.Module | None = None
) -> tuple[Callable[[Tensor], Tensor], dict[str, str]]:
    """Return the file's answer, from a network built anew around its weights, and its metadata.

    Args:
        path: What `write` wrote.
        trust: Whether code that the file names (a factory) may be run.
        module: For a network that was handed over in Python: the module that takes the weights; it is changed.

    Raises:
        ValueError: The file is no network of this package, or cannot be built again.
    """
    metadata = dict(read_header(path).extra)
    network = load_network(path, trust=trust, module=module)

    @torch.no_grad()
    def answer(inputs: Tensor) -> Tensor:
        return network.answer(inputs)

    return answer, metadata


def module_to_fill(network: Network) -> nn.Module | None:
    """Return a copy of the module with its weights wiped, for a network that no file can build again; else None."""
    body = network.body.bodies[0] if isinstance(network.body, Members) else network.body
    if not isinstance(body, ForeignBody) or body.origin.kind != "module":
        return None
    module = copy.deepcopy(body.module)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.zero_()
    return module
