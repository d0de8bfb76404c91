"""A network whose weights are divided among the ranks."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from equipoise.fit.ranks.ranks import Ranks
from equipoise.networks.network import Network

CALLED = ("scores_and_divergence", "reconstruct", "embed")
"""Methods by which a body is called besides `forward`."""


def shard(network: Network, ranks: Ranks) -> FSDPModule:
    """Divide the body of a network among the ranks, in place; return it.

    The layers of a sequence are gathered one after the other when they are needed, any other body at once (FSDP2,
    `torch.distributed.fsdp.fully_shard`).
    """
    mesh = init_device_mesh(ranks.device.type, (ranks.count,))
    for layer in _layers(network.body):
        fully_shard(layer, mesh=mesh)
    body = fully_shard(network.body, mesh=mesh)
    for method in CALLED:
        if hasattr(network.body, method):
            register_fsdp_forward_method(network.body, method)
    return body


def _layers(body: nn.Module) -> list[nn.Module]:
    """Return the weighted layers of a sequence; none where they share a weight."""
    if not isinstance(body, nn.Sequential):
        return []
    layers = [layer for layer in body if next(layer.parameters(), None) is not None]
    parameters = [id(one) for layer in layers for one in layer.parameters()]
    return layers if len(set(parameters)) == len(parameters) else []


def like(place: Any, values: Tensor) -> Tensor:
    """Return values divided as `place` is, when they have its shape; all ranks pass the same."""
    if not isinstance(place, DTensor) or place.shape != values.shape or isinstance(values, DTensor):
        return values
    with torch.no_grad():
        return distribute_tensor(values.to(place.device), place.device_mesh, place.placements, src_data_rank=None)
