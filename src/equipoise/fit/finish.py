"""Steps after training: what a plan's `finish` lists."""

import torch

from equipoise.core.plan import Finish
from equipoise.fit.clusters import place_clusters
from equipoise.fit.feed import Part
from equipoise.fit.seeds import derive
from equipoise.fit.temperature import scale_temperature
from equipoise.fit.validation import BATCH, all_targets
from equipoise.networks.network import Network


def check_finish(steps: tuple[Finish, ...], network: Network) -> None:
    """Refuse steps that make no sense for a network, before it is trained.

    Raises:
        ValueError: Temperature without classes, or clusters without centroids.
    """
    kind = network.signature.task.kind
    if "temperature" in steps and not hasattr(network.head, "temperature"):
        raise ValueError(
            f"finish: got 'temperature' for a task of kind {kind!r}; expected a task with classes. Leave it out."
        )
    if "clusters" in steps and kind != "clustering":
        raise ValueError(
            f"finish: got 'clusters' for a task of kind {kind!r}; expected 'clustering'. Leave it out, or set "
            "data.task to 'clustering'."
        )


@torch.no_grad()
def finish(steps: tuple[Finish, ...], network: Network, train: Part, validation: Part, seed: int) -> None:
    """Do the steps, on the network in place."""
    network.eval()
    if "temperature" in steps:
        targets = all_targets(validation.samples).to(validation.device)
        scale_temperature(network, _scores(network, validation), targets)
    if "clusters" in steps:
        place_clusters(network, _scores(network, train), derive(seed, "clusters"))


def _scores(network: Network, part: Part) -> torch.Tensor:
    indices = torch.arange(len(part.samples), device=part.device).split(BATCH)
    return torch.cat([network.body(part.take(index)[0]) for index in indices]).float()
