"""A network seen from the features that its body takes, where gradients exist."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equipoise.examine.question import InapplicableError
from equipoise.examine.subject import Subject
from equipoise.networks.network import Network


@dataclass(frozen=True, slots=True, eq=False)
class FeatureView:
    """A copy of a network whose body may be differentiated with respect to what it takes.

    For numbers that is the output of the pre-processing; token ids have no gradient, so for them it is the vectors that
    the body's embedding looks up.

    Attributes:
        network: The copy, in evaluation mode, parameters without gradients.
        embedding: The embedding of token ids, else None.
    """

    network: Network
    embedding: nn.Module | None

    @torch.no_grad()
    def features(self, inputs: Tensor) -> Tensor:
        """Return the features (n, ...) of raw inputs (n, ...), detached."""
        features: Tensor = self.network.preprocess(inputs)
        if self.embedding is not None:
            vectors: Tensor = self.embedding(features)
            return vectors
        return features.clone()

    def scores(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Return the body's scores for features as `features` gives them.

        Args:
            features: Features (n, ...), possibly changed.
            inputs: The raw inputs they came from; only token ids need them, to know what is padding.
        """
        if self.embedding is None:
            scores: Tensor = self.network.body(features)
            return scores
        handle = self.embedding.register_forward_hook(_returns(features))
        try:
            hooked: Tensor = self.network.body(self.network.preprocess(inputs))
            return hooked
        finally:
            handle.remove()


def feature_view(subject: Subject) -> FeatureView:
    """Return the view of a copy of the subject's network.

    Raises:
        InapplicableError: It takes token ids and has no `nn.Embedding` or `nn.EmbeddingBag` that looks them up.
    """
    network = copy.deepcopy(subject.network).eval().requires_grad_(False)
    inputs, _ = subject.part("test").batch(torch.arange(1))
    with torch.no_grad():
        features = network.preprocess(inputs)
    if features.is_floating_point():
        return FeatureView(network, None)
    embedding = token_embedding(network, inputs)
    if embedding is None:
        raise InapplicableError(
            "its token ids are looked up by no torch embedding, so there is nothing to differentiate"
        )
    return FeatureView(network, embedding)


@torch.no_grad()
def token_embedding(network: Network, inputs: Tensor) -> nn.Module | None:
    """Return the embedding that looks up the token ids of raw `inputs` (n, length), or None.

    Args:
        network: A copy that this may hang hooks on; they are removed again.
        inputs: One or more raw inputs.
    """
    found: list[nn.Module] = []

    def hook(module: nn.Module, given: tuple[object, ...], _: object) -> None:
        if given and isinstance(given[0], Tensor) and given[0].shape == inputs.shape:
            found.append(module)

    lookups = [one for one in network.body.modules() if isinstance(one, (nn.Embedding, nn.EmbeddingBag))]
    handles = [one.register_forward_hook(hook) for one in lookups]
    try:
        network.scores(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def feature_spread(features: Tensor) -> Tensor:
    """Return the standard deviation of features (n, ...) over samples, shaped to broadcast against one sample.

    One a column for vectors, one a channel for images (n, channels, height, width), one for all otherwise. Constant
    features have 0: they never move.
    """
    if features.ndim == 2:
        spread = features.std(0, correction=0)
        return torch.where(spread > 1e-6 * features.mean(0).abs(), spread, 0.0)
    if features.ndim == 4:
        return features.transpose(0, 1).flatten(1).std(1, correction=0)[:, None, None]
    return features.std(correction=0)


def _returns(vectors: Tensor) -> Callable[[nn.Module, object, object], Tensor]:
    def hook(_: nn.Module, __: object, ___: object) -> Tensor:
        return vectors

    return hook
