"""What a training is told."""

from dataclasses import dataclass, field

from torch import nn

from equipoise.core.recipe import Recipe
from equipoise.fit.announcer import Announcer
from equipoise.fit.feed import Feed
from equipoise.fit.keeper import Keeper
from equipoise.fit.objectives import Objective
from equipoise.fit.together import Alone, Together
from equipoise.fit.validation import Validation


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What stays as it is while a network is trained.

    Attributes:
        recipe: What to do.
        seed: Seed of the fit.
        feed: Training batches.
        objective: What is minimised.
        weights: The parameters that penalties fall on.
        validation: How the network is judged.
        round_epochs: Epochs of a round, after which the loop looks up.
        total_steps: Planned optimiser steps.
        sample_every: Steps between two measurements of the gradient norm.
        keeper: Writes checkpoints, if any.
        announcer: Says how far it is.
        together: How the processes that train one network decide alike.
        independent: Whether its steps touch nothing global, so that other trainings may run in other threads.
    """

    recipe: Recipe
    seed: int
    feed: Feed
    objective: Objective
    weights: tuple[nn.Parameter, ...]
    validation: Validation
    round_epochs: int
    total_steps: int
    sample_every: int
    keeper: Keeper | None
    announcer: Announcer
    together: Together = field(default_factory=Alone)
    independent: bool = False
