"""What a lane is: a way in which the steps of a round are taken."""

from collections.abc import Iterator
from typing import Protocol

import torch

from equipoise.fit.job import Job
from equipoise.fit.state import State


class Lane(Protocol):
    """Takes optimiser steps; everything that is decided between them is the loop's."""

    @property
    def noise(self) -> torch.Generator:
        """The generator from which dropout is drawn."""

    @property
    def independent(self) -> bool:
        """Whether steps touch nothing global, so that other trainings may run in other threads."""

    @property
    def measures(self) -> bool:
        """Whether it records the vital signs that the recipe asks for by itself."""

    def advance(self, job: Job, state: State, epochs: int) -> Iterator[None]:
        """Take the steps of a round that are still to be taken, from `state.batch` on.

        Yields after one or more whole steps, and at the latest when the governor wants to judge; what is done to the
        network in between counts for the steps that follow.

        Args:
            job: What stays as it is.
            state: Carried along; losses and gradient norms are in its recorder.
            epochs: Epochs of the round.
        """
