"""The transformer family: an encoder with pre-normalisation and learned positions."""

import math

import torch
from torch import Tensor, nn

from equipoise.core.network_plan import TransformerNetwork
from equipoise.networks.blocks import StepNorm, Steps, activations, dropout, step_shape
from equipoise.networks.features import Features


class Positions(nn.Module):
    """Add a learned vector for each position."""

    def __init__(self, steps: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.empty(steps, width).normal_(std=0.02))

    def forward(self, steps: Tensor) -> Tensor:
        """Return steps (n, steps, width) with their positions added."""
        return steps + self.vectors


class Attention(nn.Module):
    """Multi-head self-attention in plain matrix products, so that it exports, differentiates twice and vectorises.

    References:
        A. Vaswani et al. Attention is all you need. NeurIPS 2017, arXiv:1706.03762, eq. 1.
    """

    def __init__(self, width: int, heads: int, drop: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.weights = nn.Sequential(nn.Softmax(dim=-1), *([nn.Dropout(drop)] if drop > 0 else []))
        self.out = nn.Linear(width, width)

    def forward(self, steps: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return attended steps (n, steps, width); `padding` (n, steps) is True where nobody may look."""
        query, key, value = (self._split(part(steps)) for part in (self.query, self.key, self.value))
        affinity = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        if padding is not None:
            affinity = affinity.masked_fill(padding[:, None, None, :], -torch.inf)
        mixed = self.weights(affinity) @ value
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, steps: Tensor) -> Tensor:
        return steps.unflatten(2, (self.heads, -1)).transpose(1, 2)


class EncoderBlock(nn.Module):
    """Attention and a two-layer network four times as wide, each behind a normalisation and beside a shortcut."""

    def __init__(self, plan: TransformerNetwork) -> None:
        super().__init__()
        self.norm_attention = _norm(plan)
        self.attention = Attention(plan.width, plan.heads, plan.dropout)
        self.drop = nn.Sequential(*dropout(plan))
        self.feed = nn.Sequential(
            _norm(plan),
            nn.Linear(plan.width, 4 * plan.width),
            *activations(plan.activation),
            *dropout(plan),
            nn.Linear(4 * plan.width, plan.width),
            *dropout(plan),
        )

    def forward(self, steps: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return steps of the same shape."""
        steps = steps + self.drop(self.attention(self.norm_attention(steps), padding))
        out: Tensor = steps + self.feed(steps)
        return out


class TransformerBody(nn.Module):
    """Embedding, positions, encoder blocks and a read-out of the mean over steps (sequence labelling: each step)."""

    def __init__(self, plan: TransformerNetwork, features: Features, scores: int, *, every_step: bool) -> None:
        super().__init__()
        self.tokens = features.kind == "tokens"
        self.every_step = every_step
        steps, width = (features.shape[0], plan.embedding) if self.tokens else step_shape(features)
        first: nn.Module = Steps(features)
        if self.tokens:
            first = nn.Embedding(features.vocabulary, plan.embedding, padding_idx=0)
        project = [] if self.tokens and width == plan.width else [nn.Linear(width, plan.width)]
        self.embed = nn.Sequential(first, *project, Positions(steps, plan.width), *dropout(plan))
        self.blocks = nn.ModuleList(EncoderBlock(plan) for _ in range(plan.depth))
        self.norm = _norm(plan)
        self.readout = nn.Linear(plan.width, scores)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores (n, scores), or (n, steps, scores) for sequence labelling."""
        padding = self._padding(features)
        steps = self.embed(features)
        for block in self.blocks:
            steps = block(steps, padding)
        steps = self.norm(steps)
        scores: Tensor = self.readout(steps if self.every_step else _mean(steps, padding))
        return scores

    def _padding(self, features: Tensor) -> Tensor | None:
        if not self.tokens:
            return None
        # The first step always counts: an empty text would leave the softmax nothing to look at.
        first = torch.arange(features.shape[1], device=features.device) == 0
        return (features == 0) & ~first


def transformer(plan: TransformerNetwork, features: Features, scores: int, *, every_step: bool) -> TransformerBody:
    """Return a transformer encoder over tokens, steps, sound frames or the rows of an image.

    Raises:
        ValueError: The heads do not divide the width.
    """
    if plan.width % plan.heads:
        raise ValueError(
            f"got width {plan.width} with {plan.heads} heads; expected a width that the heads divide. "
            f"Set `network.width` to {plan.heads * math.ceil(plan.width / plan.heads)}."
        )
    return TransformerBody(plan, features, scores, every_step=every_step)


def _norm(plan: TransformerNetwork) -> nn.Module:
    return nn.Identity() if plan.normalisation == "none" else StepNorm(plan.normalisation, plan.width)


def _mean(steps: Tensor, padding: Tensor | None) -> Tensor:
    if padding is None:
        return steps.mean(1)
    present = (~padding).unsqueeze(-1).to(steps.dtype)
    return (steps * present).sum(1) / present.sum(1)
