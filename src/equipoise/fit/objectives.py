"""What is minimised: a body, features and targets to one number."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from equipoise.core.recipe import Recipe
from equipoise.core.signature import TaskKind
from equipoise.fit.bodies import CodingBody, GenerativeBody, VariationalBody
from equipoise.fit.losses import Criterion, choose_loss, criterion


class Objective(Protocol):
    """A loss of a batch."""

    def __call__(self, features: Tensor, targets: Tensor, draws: torch.Generator, /) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the scores of a batch.

        Args:
            features: What the body takes.
            targets: What the criterion takes; for reconstruction the features to be restored.
            draws: For objectives that draw (the noise of a generator); on the device.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Supervised:
    """A criterion on the body's scores."""

    body: Callable[[Tensor], Tensor]
    criterion: Criterion

    def __call__(self, features: Tensor, targets: Tensor, _draws: torch.Generator, /) -> tuple[Tensor, Tensor]:
        """Return loss and scores."""
        scores = self.body(features)
        return self.criterion(scores, targets), scores


@dataclass(frozen=True, slots=True, eq=False)
class Variational:
    """The negative evidence lower bound of a variational autoencoder, divided by the number of features.

    A unit-variance normal likelihood gives half the squared error, so for `mse` the divergence counts twice; `mae` and
    `huber` are negative log likelihoods as they are (Kingma and Welling, ICLR 2014, eq. 8). In evaluation mode the
    network reconstructs from the mean code, and the divergence is the same.
    """

    body: nn.Module
    criterion: Criterion
    weight: float

    def __call__(self, features: Tensor, targets: Tensor, _draws: torch.Generator, /) -> tuple[Tensor, Tensor]:
        """Return loss and reconstruction."""
        body = cast(VariationalBody, self.body)
        scores, divergence = body.scores_and_divergence(features)
        if not self.body.training:
            scores = body.reconstruct(features)
        size = features[0].numel()
        return self.criterion(scores, targets) + self.weight * divergence.mean() / size, scores


@dataclass(frozen=True, slots=True, eq=False)
class Adversarial:
    """The losses of discriminator and generator as one sum whose gradients do not mix.

    The discriminator sees detached samples; the generator's non-saturating term goes through a discriminator with
    detached weights (Goodfellow et al., NeurIPS 2014). So one optimiser takes both steps at once.
    """

    body: nn.Module

    def __call__(self, features: Tensor, _targets: Tensor, draws: torch.Generator, /) -> tuple[Tensor, Tensor]:
        """Return the summed loss and the logits of the real samples."""
        pair = cast(GenerativeBody, self.body)
        made = pair.generate(len(features), draws)
        real = pair.discriminate(features)
        fake = pair.discriminate(made.detach())
        judge = _Judge(self.body)
        frozen = {name: parameter.detach() for name, parameter in judge.named_parameters()}
        fooled: Tensor = functional_call(judge, frozen, (made,))
        entropy = functional.binary_cross_entropy_with_logits
        tell = entropy(real, torch.ones_like(real)) + entropy(fake, torch.zeros_like(fake))
        return tell + entropy(fooled, torch.ones_like(fooled)), real


@dataclass(frozen=True, slots=True, eq=False)
class HalfPrecision:
    """An objective whose body runs in bfloat16 under autocast; weights and loss stay float32."""

    objective: Objective
    device: str

    def __call__(self, features: Tensor, targets: Tensor, draws: torch.Generator, /) -> tuple[Tensor, Tensor]:
        """Return loss and scores of the wrapped objective, in float32."""
        with torch.autocast(self.device, torch.bfloat16):
            loss, scores = self.objective(features, targets, draws)
        return loss.float(), scores.float()


def build_objective(recipe: Recipe, kind: TaskKind, body: nn.Module, weights: Tensor | None) -> Objective:
    """Return the objective of a recipe, in float32.

    Args:
        recipe: Says the loss.
        kind: The kind of task.
        body: The body of the network.
        weights: Class weights, on the device, or None.

    Raises:
        ValueError: Loss and task, or task and body, do not belong together.
    """
    loss = choose_loss(recipe, kind)
    measure = criterion(recipe, kind, weights)
    if kind == "generation":
        _need(body, kind, "generate", "discriminate")
        return Adversarial(body)
    if hasattr(body, "scores_and_divergence"):
        return Variational(body, measure, 2.0 if loss == "mse" else 1.0)
    if kind == "clustering":
        _need(body, kind, "reconstruct", "embed")
        return Supervised(cast(CodingBody, body).reconstruct, measure)
    return Supervised(body, measure)


def _need(body: nn.Module, kind: TaskKind, *methods: str) -> None:
    missing = [name for name in methods if not hasattr(body, name)]
    if missing:
        family = "generative-pair" if kind == "generation" else "autoencoder"
        raise ValueError(
            f"got a body {type(body).__name__} without {' and '.join(missing)} for a task of kind {kind!r}; expected "
            f"one of the family {family!r}. Set network.family to {family!r}."
        )


class _Judge(nn.Module):
    """The discriminator as a module of its own, so that it can be called with other weights."""

    def __init__(self, pair: nn.Module) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, features: Tensor) -> Tensor:
        """Return the discriminator's logits (n, 1)."""
        return cast(GenerativeBody, self.pair).discriminate(features)
