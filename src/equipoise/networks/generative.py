"""The generative pair: a generator from noise, and a discriminator that tells its samples from real ones."""

import torch
from torch import Tensor, nn

from equipoise.core.network_plan import GenerativePair
from equipoise.networks.blocks import around, hidden_layers
from equipoise.networks.features import Features


class GeneratorAndDiscriminator(nn.Module):
    """Two dense networks; `forward` is the discriminator's logit.

    References:
        I. Goodfellow et al. Generative adversarial nets. NeurIPS 2014, arXiv:1406.2661.
    """

    def __init__(self, plan: GenerativePair, features: Features) -> None:
        super().__init__()
        self.noise = plan.noise
        flatten, unflatten = around(features)
        widths = plan.hidden
        drawn = widths[-1] if widths else plan.noise
        seen = widths[-1] if widths else features.size
        self.generator = nn.Sequential(
            *hidden_layers(plan, plan.noise, widths), nn.Linear(drawn, features.size), *unflatten
        )
        self.discriminator = nn.Sequential(*flatten, *hidden_layers(plan, features.size, widths), nn.Linear(seen, 1))

    def generate(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n samples as features, from noise drawn by `generator` (on its device)."""
        weight = next(self.generator.parameters())
        noise = torch.randn(n, self.noise, generator=generator, device=generator.device)
        samples: Tensor = self.generator(noise.to(weight.device))
        return samples

    def discriminate(self, features: Tensor) -> Tensor:
        """Return logits (n, 1): positive means real."""
        logits: Tensor = self.discriminator(features)
        return logits

    def forward(self, features: Tensor) -> Tensor:
        """Return the discriminator's logits (n, 1)."""
        return self.discriminate(features)


def generative_pair(plan: GenerativePair, features: Features) -> GeneratorAndDiscriminator:
    """Return the pair for features of any shape."""
    return GeneratorAndDiscriminator(plan, features)
