"""The dense family: fully connected layers."""

import itertools

from torch import nn

from equipoise.core.network_plan import DenseNetwork
from equipoise.networks.blocks import MeanEmbedding, hidden_layers
from equipoise.networks.features import Features
from equipoise.networks.residual import ResidualBlock


def dense(plan: DenseNetwork, features: Features, scores: int) -> nn.Sequential:
    """Return dense layers of the widths in `plan.hidden` and a last one to the scores.

    Features of any rank are flattened; token ids become the mean of their embeddings. With `plan.links` a hidden layer
    adds what it got to what it gives, through a linear map where the width changes (He et al., ECCV 2016).
    """
    if features.kind == "tokens":
        first: list[nn.Module] = [MeanEmbedding(features.vocabulary, plan.embedding)]
        width = plan.embedding
    else:
        first = [nn.Flatten()] if len(features.shape) > 1 else []
        width = features.size
    last = plan.hidden[-1] if plan.hidden else width
    layers = linked_layers(plan, width) if plan.links else hidden_layers(plan, width, plan.hidden)
    return nn.Sequential(*first, *layers, nn.Linear(last, scores))


def linked_layers(plan: DenseNetwork, inputs: int) -> list[nn.Module]:
    """Return hidden layers of which all but the first add what they got.

    Raises:
        ValueError: There are fewer than two.
    """
    if len(plan.hidden) < 2:
        raise ValueError(
            f"network.links: got {len(plan.hidden)} hidden layers; expected at least 2, since the first one has "
            "nothing to add. Set it to false, or add a layer."
        )
    layers = hidden_layers(plan, inputs, plan.hidden[:1])
    for before, width in itertools.pairwise(plan.hidden):
        branch = nn.Sequential(*hidden_layers(plan, before, (width,)))
        shortcut = nn.Identity() if before == width else nn.Linear(before, width, bias=False)
        layers.append(ResidualBlock(branch, shortcut, nn.Identity()))
    return layers
