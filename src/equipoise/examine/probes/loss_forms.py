"""The usual losses as formulas, so that a loss can be told by its values and never by its name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Domain = Literal["real", "unit", "simplex"]
Accepts = Literal["logits", "probabilities", "log-probabilities", "values", "unknown"]

_SMALL = 1e-12


@dataclass(frozen=True, slots=True)
class Form:
    """A loss as a formula.

    Attributes:
        name: What it is called.
        accepts: What it wants: logits, probabilities, log-probabilities or values.
        domain: Where it is compared: on real numbers, inside (0, 1), or on rows that are positive and sum to 1.
        formula: Maps outputs and targets, both (..., columns), to one number a position.
    """

    name: str
    accepts: Accepts
    domain: Domain
    formula: Callable[[Tensor, Tensor], Tensor]


def _cross_entropy_of_logits(z: Tensor, y: Tensor) -> Tensor:
    return (y.sum(-1) * z.logsumexp(-1)) - (y * z).sum(-1)


def _cross_entropy_of_probabilities(z: Tensor, y: Tensor) -> Tensor:
    return -(y * z.clamp_min(_SMALL).log()).sum(-1)


def _negative_log_likelihood(z: Tensor, y: Tensor) -> Tensor:
    return -(y * z).sum(-1)


def _binary_of_probabilities(z: Tensor, y: Tensor) -> Tensor:
    return -(y * z.clamp_min(_SMALL).log() + (1 - y) * (1 - z).clamp_min(_SMALL).log()).mean(-1)


def _binary_of_logits(z: Tensor, y: Tensor) -> Tensor:
    return (torch.nn.functional.softplus(z) - y * z).mean(-1)


def _squared(z: Tensor, y: Tensor) -> Tensor:
    return (z - y).square().mean(-1)


def _absolute(z: Tensor, y: Tensor) -> Tensor:
    return (z - y).abs().mean(-1)


FORMS: tuple[Form, ...] = (
    Form("cross-entropy of logits", "logits", "real", _cross_entropy_of_logits),
    Form("binary cross-entropy of logits", "logits", "real", _binary_of_logits),
    Form("squared error", "values", "real", _squared),
    Form("absolute error", "values", "real", _absolute),
    Form("squared error", "values", "unit", _squared),
    Form("absolute error", "values", "unit", _absolute),
    Form("cross-entropy of probabilities", "probabilities", "simplex", _cross_entropy_of_probabilities),
    Form("cross-entropy of probabilities", "probabilities", "unit", _cross_entropy_of_probabilities),
    Form("binary cross-entropy of probabilities", "probabilities", "unit", _binary_of_probabilities),
    Form("negative log-likelihood", "log-probabilities", "real", _negative_log_likelihood),
)
"""The formulas in the order in which they are tried."""


def points(domain: Domain, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return random outputs (..., columns) inside a domain, in double precision."""
    drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
    if domain == "real":
        return 2 * drawn
    if domain == "unit" or shape[-1] == 1:
        return (1.5 * drawn).sigmoid()
    return drawn.softmax(-1)
