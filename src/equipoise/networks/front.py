"""What may stand between pre-processing and body: fewer numbers, or cleaner ones, fitted on the training part."""

import torch
from torch import Tensor, nn

from equipoise.core.network_plan import AutoencoderNetwork
from equipoise.core.preprocessing import Projection, Reduction
from equipoise.networks.autoencoder import Autoencoder
from equipoise.networks.features import Features

WIDEST, WIDEST_CODE = 256, 64
"""Most units of a denoiser's hidden layer, and most numbers of its code."""


class Project(nn.Module):
    """Flatten features and map them linearly: rows @ (features - mean)."""

    mean: Tensor
    rows: Tensor

    def __init__(self, projection: Projection) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(projection.mean))
        self.register_buffer("rows", torch.tensor(projection.rows))

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, components) of features (n, ...)."""
        return (features.flatten(1) - self.mean) @ self.rows.T


class Select(nn.Module):
    """Flatten features and keep some of them."""

    chosen: Tensor

    def __init__(self, chosen: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("chosen", torch.tensor(chosen))

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, chosen) of features (n, ...)."""
        return features.flatten(1).index_select(1, self.chosen)


class Denoised(nn.Module):
    """Pre-processing whose features an autoencoder cleans; its weights are fixed, others train on what it gives.

    References:
        P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol. Extracting and composing robust features with denoising
        autoencoders. ICML 2008.

    Attributes:
        base: Raw inputs to features.
        denoiser: Features to features.
    """

    def __init__(self, base: nn.Module, denoiser: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.denoiser = denoiser.requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the cleaned features of raw inputs."""
        cleaned: Tensor = self.denoiser(self.base(inputs))
        return cleaned


def reduced(preprocess: nn.Module, reduction: Reduction | None) -> nn.Module:
    """Return pre-processing followed by a reduction, if there is one."""
    if reduction is None:
        return preprocess
    front = Project(reduction) if isinstance(reduction, Projection) else Select(reduction.chosen)
    return nn.Sequential(preprocess, front)


def reduced_features(features: Features, reduction: Reduction | None) -> Features:
    """Return kind and shape of what a reduction gives.

    Raises:
        ValueError: It was fitted on other features.
    """
    if reduction is None:
        return features
    projects = isinstance(reduction, Projection)
    size = len(reduction.mean) if projects else reduction.size
    if features.kind == "tokens" or size != features.size:
        raise ValueError(
            f"got a {features} for a reduction fitted on {size} numbers; expected as many. Fit the pre-processing on "
            "the same data as the signature."
        )
    return Features("vector", (len(reduction.rows if projects else reduction.chosen),))


def denoiser_plan(features: Features) -> AutoencoderNetwork:
    """Return the plan of a denoiser for features: narrow in the middle, so that noise has no room there.

    Raises:
        ValueError: They are token ids.
    """
    if features.kind == "tokens":
        raise ValueError(
            "got network.denoise with token ids; expected numbers, to which noise can be added. Leave it out, or use "
            "the augmentation 'noise'."
        )
    hidden = max(16, min(WIDEST, 2 * features.size))
    return AutoencoderNetwork(hidden=(hidden,), code=max(1, min(WIDEST_CODE, features.size // 2)))


def denoised(preprocess: nn.Module, features: Features) -> Denoised:
    """Return pre-processing with a denoiser behind it that is yet to be trained."""
    return Denoised(preprocess, Autoencoder(denoiser_plan(features), features, scores_are_codes=False))
