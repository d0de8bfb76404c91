"""Several networks that answer as one."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from equipoise.core.network_plan import Activation, FamilyOptions, NetworkPlan
from equipoise.core.plan import Ensemble
from equipoise.core.signature import TaskKind
from equipoise.networks.front import Denoised
from equipoise.networks.network import Network

STACKED: tuple[Activation, ...] = ("relu", "tanh", "gelu", "leaky-relu", "silu")
"""Activations of the members of a stack, after the plan's own."""


class Members(nn.Module):
    """Bodies that are asked together; the scores are those of their mean answer.

    Classes: logarithms (binary, labels: logits) of the weighted mean of the members' probabilities. Quantities: the
    weighted mean.

    Attributes:
        bodies: Features to scores, one a member.
        kind: The kind of task, which says what scores mean.
        ensemble: How the members differ.
        weights: Share of each member, summing to 1.
    """

    weights: Tensor

    def __init__(
        self, bodies: Sequence[nn.Module], kind: TaskKind, ensemble: Ensemble, weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(bodies)
        self.kind: TaskKind = kind
        self.ensemble: Ensemble = ensemble
        shares = [1 / len(bodies)] * len(bodies) if weights is None else list(weights)
        self.register_buffer("weights", torch.tensor(shares))

    def forward(self, features: Tensor) -> Tensor:
        """Return the scores of the mean answer."""
        return mean_scores(torch.stack([body(features) for body in self.bodies]), self.weights, self.kind)


def mean_scores(scores: Tensor, weights: Tensor, kind: TaskKind) -> Tensor:
    """Return the scores of the weighted mean of answers.

    Args:
        scores: The members' scores, (members, n, ...).
        weights: Share of each member, (members,).
        kind: The kind of task.
    """
    shares = weights.reshape(-1, *[1] * (scores.dim() - 1))
    if kind in ("binary", "multilabel"):
        present = (functional.logsigmoid(scores) + shares.log()).logsumexp(0)
        return present - (functional.logsigmoid(-scores) + shares.log()).logsumexp(0)
    if kind in ("multiclass", "sequence-labelling"):
        return (scores.log_softmax(-1) + shares.log()).logsumexp(0)
    return (scores * shares).sum(0)


def join(networks: Sequence[Network], ensemble: Ensemble, weights: Sequence[float] | None = None) -> Network:
    """Return the network that asks several: they share their pre-processing, and each keeps its denoiser, if any.

    Args:
        networks: Made with the same numbers for the same task; left as they are.
        ensemble: How they differ.
        weights: Share of each; without it, all count the same.
    """
    first = copy.deepcopy(networks[0])
    bodies = [copy.deepcopy(_from_base(one)) for one in networks]
    base = first.preprocess.base if isinstance(first.preprocess, Denoised) else first.preprocess
    members = Members(bodies, first.signature.task.kind, ensemble, weights)
    return Network(base, members, first.head, first.signature, notes=first.notes)


def member_plan(plan: NetworkPlan, ensemble: Ensemble, position: int) -> NetworkPlan:
    """Return the plan of one member: in a stack, all but the first have other activations."""
    if ensemble != "stacked" or position == 0 or not isinstance(plan, FamilyOptions):
        return plan
    others = [one for one in STACKED if one != plan.activation]
    return plan.replace(activation=others[(position - 1) % len(others)])


def _from_base(network: Network) -> nn.Module:
    front = network.preprocess
    return nn.Sequential(front.denoiser, network.body) if isinstance(front, Denoised) else network.body
