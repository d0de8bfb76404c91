"""Plans that may do better than a training as it is."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from equipoise.core.data_plan import GivenData
from equipoise.core.network_plan import DenseNetwork, FamilyOptions
from equipoise.core.plan import Plan
from equipoise.core.treatment import Treatment
from equipoise.data.samples import Splits
from equipoise.run.choose import choose_plan

STEPS = 1000
"""Optimiser steps that a training should have, where batches can be made small or large enough."""
SMALLEST, LARGEST = 4, 256
LONGER = 2.0
RATE = 5e-3
WIDEST = 512


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan to be tried.

    Attributes:
        what: What is changed.
        plan: The plan.
        most: What it may cost, in trainings as it is.
    """

    what: str
    plan: Plan
    most: float = 1.0


def first_candidates(own: Plan, splits: Splits, treatments: Sequence[Treatment]) -> Iterator[Candidate]:
    """Yield plans that cure what a diagnosis found, from the mildest change to the largest.

    Args:
        own: The training as it is, as a plan.
        splits: The data of one seed.
        treatments: What may help against the faults that the diagnosis found, likeliest first.
    """
    sound = own.replace(network=_sound(own), recipe=_recipe(own, splits))
    yield Candidate("its own network, a sound recipe", sound)
    yield Candidate("its own recipe in a sound loop", own)
    for treatment in treatments:
        try:
            treated = treatment.apply(sound)
        except ValueError:  # it cannot be done to this plan, or is done already
            continue
        yield Candidate(treatment.id, treated, LONGER if treatment.longer else 1.0)
    chosen = choose_plan(splits, GivenData(task=splits.signature.task.kind), own.seed)
    yield Candidate("the network that the data suggest", sound.replace(network=chosen.network.plain()))
    yield Candidate("its own network, a sound recipe, longer", sound, LONGER)


def next_candidates(best: Plan) -> Iterator[Candidate]:
    """Yield plans near the best one."""
    recipe, network = best.recipe, best.network
    yield Candidate("a larger step", best.replace(recipe__learning_rate=min(1.0, recipe.learning_rate * 3)))
    yield Candidate("a smaller step", best.replace(recipe__learning_rate=recipe.learning_rate / 3))
    if recipe.batch_size > SMALLEST:
        yield Candidate("smaller batches", best.replace(recipe__batch_size=max(SMALLEST, recipe.batch_size // 2)))
    if isinstance(network, FamilyOptions):
        if isinstance(network, DenseNetwork) and max(network.hidden, default=0) < WIDEST:
            wider = tuple(2 * width for width in network.hidden) or (32,)
            yield Candidate("wider", best.replace(network__hidden=wider), LONGER)
        yield Candidate("dropout", best.replace(network__dropout=min(0.5, network.dropout + 0.2)))
    yield Candidate("weight decay", best.replace(recipe__weight_decay=max(0.05, recipe.weight_decay * 5)))


def _sound(own: Plan) -> dict[str, object]:
    """Return the network of a plan with what is known to work in place of what is known to fail."""
    network = own.network
    values = network.plain()
    if isinstance(network, FamilyOptions):
        values["initialisation"] = "default"
        values["dropout"] = min(network.dropout, 0.2)
        if network.family == "dense":
            values["activation"] = "relu"
            if len(getattr(network, "hidden", ())) > 3:
                values["normalisation"] = "batch"
    return values


def _recipe(own: Plan, splits: Splits) -> dict[str, object]:
    """Return a recipe that works on most data, in batches small enough for some hundred steps."""
    seen = len(splits.train) * own.recipe.epochs
    largest = max(SMALLEST, min(LARGEST, len(splits.train) / 4))
    batch = 2 ** math.floor(math.log2(max(SMALLEST, min(largest, seen / STEPS))))
    return {
        "optimizer": "adamw",
        "learning_rate": RATE,
        "weight_decay": 0.01,
        "schedule": "one-cycle",
        "batch_size": int(batch),
        "epochs": own.recipe.epochs,
        "max_grad_norm": 5.0,
    }
