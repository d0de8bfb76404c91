"""What a training costs, counted and not timed."""

import torch

from equipoise.core.plan import Plan
from equipoise.data.samples import Splits
from equipoise.fit.threads import FORWARD_AND_BACKWARD, operations
from equipoise.networks.build import build

CLOSE = 0.02
"""Costs that differ by less than this share count as equal."""

COUNTED = 8
"""Samples of the batch whose operations are counted."""


def epoch_cost(plan: Plan, splits: Splits) -> float:
    """Return the floating-point operations of one epoch, forward plus twice that backward, before the first step.

    Args:
        plan: What is trained.
        splits: The data of one seed.
    """
    network = build(plan.network, splits.signature, splits.preprocessing, plan.seed)
    samples = min(COUNTED, len(splits.train))
    inputs, _ = splits.train.batch(torch.arange(samples))
    return FORWARD_AND_BACKWARD * operations(network, lambda: network.scores(inputs)) / samples * len(splits.train)


def at_cost(plan: Plan, ratio: float) -> Plan:
    """Return a plan with so many epochs as cost what its own do divided by `ratio`; at least one.

    Args:
        plan: The plan.
        ratio: Cost of one of its epochs by that of one it is compared with.
    """
    if abs(ratio - 1) <= CLOSE:
        return plan
    return plan.replace(recipe__epochs=max(1, round(plan.recipe.epochs / ratio)))
