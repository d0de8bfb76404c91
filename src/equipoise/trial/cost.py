"""What a training costs, counted and not timed."""

import torch

from equipoise.core.plan import Plan
from equipoise.data.samples import Splits
from equipoise.fit.effort import trainings
from equipoise.fit.threads import FORWARD_AND_BACKWARD, operations
from equipoise.networks.build import build

CLOSE = 0.02
"""Costs that differ by less than this share count as equal."""

COUNTED = 8
"""Samples of the batch whose operations are counted."""


def epoch_cost(plan: Plan, splits: Splits, *, trust: bool = False) -> float:
    """Return the floating-point operations of one epoch, forward plus twice that backward, before the first step.

    Every training counts (members of an ensemble, and what comes before: see `trainings`), and so do both gradients of
    a sharpness-aware step.

    Args:
        plan: What is trained.
        splits: The data of one seed.
        trust: Whether a foreign network's file may be unpickled.
    """
    network = build(plan.network, splits.signature, splits.preprocessing, plan.seed, trust=trust)
    samples = min(COUNTED, len(splits.train))
    inputs, _ = splits.train.batch(torch.arange(samples))
    once = FORWARD_AND_BACKWARD * operations(network, lambda: network.scores(inputs)) / samples * len(splits.train)
    return once * trainings(plan) * (2 if plan.recipe.sharpness_radius else 1)


def at_cost(plan: Plan, ratio: float) -> Plan:
    """Return a plan with so many epochs as cost what its own do divided by `ratio`; at least one.

    Args:
        plan: The plan.
        ratio: Cost of one of its epochs by that of one it is compared with.
    """
    if abs(ratio - 1) <= CLOSE:
        return plan
    return plan.replace(recipe__epochs=max(1, round(plan.recipe.epochs / ratio)))
