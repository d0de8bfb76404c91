"""The dense family: fully connected layers."""

from torch import nn

from equipoise.core.network_plan import DenseNetwork
from equipoise.networks.blocks import MeanEmbedding, hidden_layers
from equipoise.networks.features import Features


def dense(plan: DenseNetwork, features: Features, scores: int) -> nn.Sequential:
    """Return dense layers of the widths in `plan.hidden` and a last one to the scores.

    Features of any rank are flattened; token ids become the mean of their embeddings.
    """
    if features.kind == "tokens":
        first: list[nn.Module] = [MeanEmbedding(features.vocabulary, plan.embedding)]
        width = plan.embedding
    else:
        first = [nn.Flatten()] if len(features.shape) > 1 else []
        width = features.size
    last = plan.hidden[-1] if plan.hidden else width
    return nn.Sequential(*first, *hidden_layers(plan, width, plan.hidden), nn.Linear(last, scores))
