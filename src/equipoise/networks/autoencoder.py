"""The autoencoder family: through a narrow code and back, plain or variational."""

import torch
from torch import Tensor, nn

from equipoise.core.network_plan import AutoencoderNetwork
from equipoise.networks.blocks import around, hidden_layers
from equipoise.networks.features import Features


class Autoencoder(nn.Module):
    """Encoder to a code and decoder back to the features' shape.

    `forward` gives the reconstruction, or the code itself when the network is to cluster (`scores_are_codes`).
    """

    def __init__(self, plan: AutoencoderNetwork, features: Features, *, scores_are_codes: bool) -> None:
        super().__init__()
        self.scores_are_codes = scores_are_codes
        self.code = plan.code
        self.encoder, self.decoder = _both_ways(plan, features, plan.code)

    def embed(self, features: Tensor) -> Tensor:
        """Return the code (n, code)."""
        code: Tensor = self.encoder(features)
        return code

    def reconstruct(self, features: Tensor) -> Tensor:
        """Return the reconstruction, of the features' shape."""
        again: Tensor = self.decoder(self.embed(features))
        return again

    def forward(self, features: Tensor) -> Tensor:
        """Return the reconstruction, or the code when clustering."""
        return self.embed(features) if self.scores_are_codes else self.reconstruct(features)


class VariationalAutoencoder(nn.Module):
    """An autoencoder whose code is a normal distribution; its mean is the code wherever nothing is drawn.

    References:
        D. P. Kingma, M. Welling. Auto-encoding variational Bayes. ICLR 2014, arXiv:1312.6114.
    """

    def __init__(self, plan: AutoencoderNetwork, features: Features, *, scores_are_codes: bool) -> None:
        super().__init__()
        self.scores_are_codes = scores_are_codes
        self.code = plan.code
        self.encoder, self.decoder = _both_ways(plan, features, 2 * plan.code)

    def embed(self, features: Tensor) -> Tensor:
        """Return the mean of the code (n, code)."""
        return self._distribution(features)[0]

    def reconstruct(self, features: Tensor) -> Tensor:
        """Return the reconstruction from the mean code, of the features' shape."""
        again: Tensor = self.decoder(self.embed(features))
        return again

    def forward(self, features: Tensor) -> Tensor:
        """Return the reconstruction from the mean code, or the mean code when clustering."""
        return self.embed(features) if self.scores_are_codes else self.reconstruct(features)

    def scores_and_divergence(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction from a drawn code, and the divergence from the prior.

        The draw comes from torch's global generator, as dropout's does.

        Returns:
            Reconstruction of the features' shape, and the Kullback-Leibler divergence (n,) in nats from the standard
            normal (Appendix B of the paper).
        """
        mean, log_variance = self._distribution(features)
        drawn = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(1)
        again: Tensor = self.decoder(drawn)
        return again, divergence

    def _distribution(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(features).chunk(2, dim=1)
        # Beyond these bounds the variance is 0 or infinite in float32 and the loss is no number any more.
        return mean, log_variance.clamp(-20.0, 20.0)


def autoencoder(
    plan: AutoencoderNetwork, features: Features, *, scores_are_codes: bool
) -> Autoencoder | VariationalAutoencoder:
    """Return a dense autoencoder; features of any rank are flattened and brought back to their shape."""
    kind = VariationalAutoencoder if plan.variational else Autoencoder
    return kind(plan, features, scores_are_codes=scores_are_codes)


def _both_ways(plan: AutoencoderNetwork, features: Features, numbers: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the encoder to `numbers` numbers and the mirrored decoder from the code."""
    flatten, unflatten = around(features)
    narrow = plan.hidden[-1] if plan.hidden else features.size
    wide = plan.hidden[0] if plan.hidden else plan.code
    down = hidden_layers(plan, features.size, plan.hidden)
    up = hidden_layers(plan, plan.code, plan.hidden[::-1])
    return (
        nn.Sequential(*flatten, *down, nn.Linear(narrow, numbers)),
        nn.Sequential(*up, nn.Linear(wide, features.size), *unflatten),
    )
