"""The small parts all families are made of: activation, normalisation, dropout and the stacks of them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise.core.network_plan import Activation, FamilyOptions, Normalisation
from equipoise.networks.features import Features

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "linear": nn.Identity,
}

MONOTONE = frozenset({"relu", "leaky-relu", "tanh", "sigmoid", "elu", "selu", "linear"})
"""Non-decreasing activations: max-pooling before or after them gives the same numbers."""


def activation(name: Activation) -> nn.Module:
    """Return a fresh activation module; `linear` gives an identity."""
    return _ACTIVATIONS[name]()


def activations(name: Activation) -> list[nn.Module]:
    """Return the activation as a list that is empty for `linear`."""
    return [] if name == "linear" else [activation(name)]


def normalisation(name: Normalisation, width: int, *, image: bool) -> list[nn.Module]:
    """Return the normalisation of `width` units or channels as a list, empty for `none`.

    On images `layer` normalises over channels and positions together; `group` uses `group_count` groups.
    """
    if name == "none":
        return []
    if name == "batch":
        return [nn.BatchNorm2d(width) if image else nn.BatchNorm1d(width)]
    if name == "layer":
        return [nn.GroupNorm(1, width) if image else nn.LayerNorm(width)]
    return [nn.GroupNorm(group_count(width, image=image), width)]


def group_count(width: int, *, image: bool) -> int:
    """Return how many groups `width` units or channels are normalised in: at most 8, all of one size.

    A channel has many positions to be normalised over, a unit has none: groups of units have 8 at least, since one or
    two normalised units say nothing but a sign.
    """
    groups = math.gcd(8, width)
    return groups if image else math.gcd(groups, max(1, width // 8))


def has_bias(options: FamilyOptions) -> bool:
    """Whether the layer before a normalisation needs a bias: batch normalisation subtracts it again."""
    return options.normalisation != "batch"


def dropout(options: FamilyOptions) -> list[nn.Module]:
    """Return dropout as a list, empty for probability 0."""
    return [nn.Dropout(options.dropout)] if options.dropout > 0 else []


def hidden_layers(options: FamilyOptions, inputs: int, widths: Sequence[int]) -> list[nn.Module]:
    """Return dense layers of the given widths, each with normalisation, activation and dropout."""
    layers: list[nn.Module] = []
    for width in widths:
        layers.append(nn.Linear(inputs, width, bias=has_bias(options)))
        layers += normalisation(options.normalisation, width, image=False)
        layers += activations(options.activation)
        layers += dropout(options)
        inputs = width
    return layers


class StepNorm(nn.Module):
    """Normalise a sequence (n, steps, width): `layer` each step, `batch` and `group` each unit over steps."""

    def __init__(self, name: Normalisation, width: int) -> None:
        super().__init__()
        self.each_step = name == "layer"
        kinds = {"layer": nn.LayerNorm(width), "batch": nn.BatchNorm1d(width)}
        self.norm: nn.Module = kinds.get(name) or nn.GroupNorm(math.gcd(8, width), width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the normalised sequence, same shape."""
        if self.each_step:
            normalised: Tensor = self.norm(inputs)
            return normalised
        across: Tensor = self.norm(inputs.transpose(1, 2))
        return across.transpose(1, 2)


class MeanEmbedding(nn.Module):
    """Mean of the embeddings of a text's tokens, padding left out; an empty text gives zeros."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)

    def forward(self, ids: Tensor) -> Tensor:
        """Return (n, width) of ids (n, length)."""
        # The padding's embedding is zero and stays zero, but a foreign optimiser may move it: mask it all the same.
        present = (ids != 0).unsqueeze(-1)
        vectors = self.embedding(ids) * present
        mean: Tensor = vectors.sum(1) / present.sum(1).clamp(min=1)
        return mean


class Steps(nn.Module):
    """Lay features out as a sequence: images as rows from top to bottom, sequences as they are."""

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.image = features.kind == "image"

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, steps, features)."""
        return features.transpose(1, 2).flatten(2) if self.image else features


def token_lengths(ids: Tensor) -> Tensor:
    """Return the position after the last token that is no padding, at least 1, shape (n,)."""
    positions = torch.arange(1, ids.shape[1] + 1, device=ids.device)
    return ((ids != 0) * positions).amax(1).clamp(min=1)


def step_shape(features: Features) -> tuple[int, int]:
    """Return (steps, features a step) of a sequence or of an image's rows."""
    if features.kind == "image":
        channels, height, width = features.shape
        return height, channels * width
    return features.shape[0], features.shape[1]


def as_image(features: Features) -> tuple[list[nn.Module], tuple[int, int, int]]:
    """Return modules that lay features out as an image, and its shape; a sequence becomes a one-channel image."""
    if features.kind == "sequence":
        return [nn.Unflatten(1, (1, features.shape[0]))], (1, *step_shape(features))
    channels, height, width = features.shape
    return [], (channels, height, width)


def around(features: Features) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return modules that flatten features and that bring them back to their shape; both empty for plain vectors."""
    if len(features.shape) == 1:
        return [], []
    return [nn.Flatten()], [nn.Unflatten(1, features.shape)]
