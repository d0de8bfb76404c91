"""What some objectives need of a body beyond calling it."""

from typing import Protocol

import torch
from torch import Tensor


class CodingBody(Protocol):
    """A body with a code: an autoencoder."""

    def embed(self, features: Tensor) -> Tensor:
        """Return the code (n, code)."""

    def reconstruct(self, features: Tensor) -> Tensor:
        """Return the reconstruction, of the features' shape."""


class VariationalBody(Protocol):
    """An autoencoder whose code is a distribution."""

    def scores_and_divergence(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return a reconstruction from a drawn code, and the divergence from the prior (n,) in nats."""

    def reconstruct(self, features: Tensor) -> Tensor:
        """Return the reconstruction from the mean code."""


class GenerativeBody(Protocol):
    """A generator and a discriminator."""

    def generate(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n samples as features."""

    def discriminate(self, features: Tensor) -> Tensor:
        """Return logits (n, 1): positive means real."""
