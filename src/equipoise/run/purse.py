"""What treating a training of one's own may cost, counted in trainings as it is."""

import math
from dataclasses import dataclass, field

import torch

from equipoise.core.plan import Plan
from equipoise.data.samples import Splits
from equipoise.fit.threads import operations
from equipoise.networks.build import build
from equipoise.run.translate import Translation

COUNTED = 8
"""Samples of the batch whose operations are counted."""


@dataclass(slots=True, eq=False)
class Purse:
    """What may be spent, in trainings as it is, and what was.

    Attributes:
        most: What diagnosis, search and trial may cost together.
        longest: What one training by a plan may cost.
        spent: What was spent.
        per_epoch: By network: what an epoch of it costs.
    """

    most: float
    longest: float
    spent: float = 0.0
    per_epoch: dict[str, float] = field(default_factory=dict)


def cost_of(said: Translation, plan: Plan, splits: Splits, purse: Purse) -> float:
    """Return what a training by a plan costs, in trainings as it is."""
    key = plan.network.model_dump_json()
    if key not in purse.per_epoch:
        rows = torch.arange(min(COUNTED, len(splits.train)))
        inputs, _ = splits.train.batch(rows)
        made = build(plan.network, splits.signature, splits.preprocessing, plan.seed)
        own_inputs = said.setup.train[0][: len(rows)].clone()
        ours = operations(made, lambda: made.scores(inputs))
        own = operations(said.setup.network, lambda: said.setup.network(own_inputs))
        purse.per_epoch[key] = ours / max(own, 1.0) / said.setup.epochs
    return purse.per_epoch[key] * plan.recipe.epochs


def within(said: Translation, plan: Plan, splits: Splits, purse: Purse, most: float) -> Plan:
    """Return a plan with as many epochs as cost at most so many trainings as it is, at least one."""
    one = cost_of(said, plan.replace(recipe__epochs=1), splits, purse)
    return plan.replace(recipe__epochs=max(1, math.floor(min(most, purse.longest) / one + 1e-9)))
