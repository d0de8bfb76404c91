"""By whom a training is carried out: by one process, or by several that each take a part of it."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from equipoise.core.plan import Plan
from equipoise.fit.checkpoint import Checkpoint, Checkpoints
from equipoise.fit.fitted import Execution
from equipoise.fit.job import Job
from equipoise.fit.keeper import Written
from equipoise.fit.state import State
from equipoise.fit.together import Alone, Together
from equipoise.networks.network import Network


class Way(Protocol):
    """What differs between one process and several that train a network."""

    @property
    def together(self) -> Together:
        """How they agree."""

    def open(self, folder: Path) -> Checkpoints:
        """Return the checkpoints in a folder.

        Raises:
            ValueError: It cannot be made or written.
        """

    def check(self, plan: Plan, network: Network, saved: Checkpoint | None) -> None:
        """Refuse, before anything is trained, what cannot work.

        Raises:
            ValueError: It cannot.
        """

    def execution(self, chosen: Execution, plan: Plan) -> Execution:
        """Return how this process executes what was chosen or recorded."""

    def network(self, network: Network) -> Network:
        """Return what this process trains: the network itself, or a copy with a part of the weights."""

    def written(self, checkpoints: Checkpoints) -> Written:
        """Return what writes checkpoints."""

    def doing(
        self, job: Job, network: Network, plan: Plan, weights: Tensor | None
    ) -> contextlib.AbstractContextManager[Job]:
        """Take up a job; `weights` are those of the classes, if any."""

    def restore(self, state: State, saved: Checkpoint, seed: int) -> None:
        """Go on from a checkpoint."""

    def whole(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors that may be divided as ones that every process holds."""


@dataclass(frozen=True, slots=True)
class OneProcess:
    """This process alone."""

    @property
    def together(self) -> Alone:
        """Return that there is nothing to agree on."""
        return Alone()

    def open(self, folder: Path) -> Checkpoints:
        """Return the checkpoints in a folder."""
        return Checkpoints(folder)

    def check(self, plan: Plan, network: Network, saved: Checkpoint | None) -> None:
        """Refuse nothing."""

    def execution(self, chosen: Execution, plan: Plan) -> Execution:  # noqa: ARG002 - other ways need the plan
        """Return what was chosen, or recorded by as many processes as there were."""
        if chosen.ranks == 1:
            return chosen
        reason = f"{chosen.reason}; gone on with by one process"
        return chosen.replace(ranks=1, sharded=False, reason=reason)

    def network(self, network: Network) -> Network:
        """Return the network."""
        return network

    def written(self, checkpoints: Checkpoints) -> Written:
        """Return the checkpoints."""
        return checkpoints

    def doing(
        self,
        job: Job,
        network: Network,  # noqa: ARG002
        plan: Plan,  # noqa: ARG002
        weights: Tensor | None,  # noqa: ARG002
    ) -> contextlib.AbstractContextManager[Job]:
        """Return the job as it is."""
        return contextlib.nullcontext(job)

    def restore(self, state: State, saved: Checkpoint, seed: int) -> None:  # noqa: ARG002
        """Go on from a checkpoint."""
        state.restore(saved)

    def whole(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors."""
        return tensors


ALONE = OneProcess()
"""The usual way."""
