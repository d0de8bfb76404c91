"""Clusters on the codes of a trained network."""

import torch
from torch import Tensor

from equipoise.networks.network import Network
from equipoise.stats.one_thread import one_thread


@torch.no_grad()
def place_clusters(network: Network, codes: Tensor, seed: int) -> None:
    """Set the head's centroids to those of k-means on codes (n, code) of training samples, the largest cluster first.

    Raises:
        ValueError: The head holds no centroids, or there are fewer samples than clusters.
    """
    from sklearn.cluster import KMeans  # imported here: it takes a second and few need it

    place = getattr(network.head, "place", None)
    if place is None:
        raise ValueError(
            f"finish: got 'clusters' for a task of kind {network.signature.task.kind!r}; expected 'clustering'. Set "
            "data.task to 'clustering' or leave the step out."
        )
    count = network.signature.task.clusters
    if len(codes) < count:
        raise ValueError(
            f"got {len(codes)} training samples for {count} clusters; expected at least as many. Set data.clusters to "
            "fewer or bring more data."
        )
    with one_thread():
        found = KMeans(n_clusters=count, n_init=10, random_state=seed % 2**32).fit(codes.double().cpu().numpy())
    sizes = torch.bincount(torch.as_tensor(found.labels_, dtype=torch.int64), minlength=count)
    centroids = torch.as_tensor(found.cluster_centers_, dtype=codes.dtype)
    place(centroids[sizes.argsort(descending=True, stable=True)].to(codes.device))
