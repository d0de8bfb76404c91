"""The eager lane: one step after another, by autograd."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from equipoise.fit.job import Job
from equipoise.fit.sharpness import look_uphill
from equipoise.fit.state import State
from equipoise.fit.step import take_step


@dataclass(frozen=True, slots=True)
class Eager:
    """Runs any network; dropout is drawn from torch's global generator."""

    @property
    def noise(self) -> torch.Generator:
        """See `Lane`."""
        return torch.default_generator

    @property
    def independent(self) -> bool:
        """See `Lane`."""
        return False

    @property
    def measures(self) -> bool:
        """See `Lane`."""
        return False

    def advance(self, job: Job, state: State, epochs: int) -> Iterator[None]:
        """See `Lane`."""
        for batch in job.feed.batches(state.round, epochs, state.batch, state.draws):
            loss, _ = job.objective(batch.features, batch.targets, state.draws)
            if batch.share != 1:
                loss = loss * batch.share
            loss.backward()
            state.recorder.add(loss)
            state.batch += 1
            if not batch.completes:
                continue
            if job.recipe.sharpness_radius:
                look_uphill(job, state, batch)
            take_step(job, state)
            yield
