"""How a training that one process prepared is taken up by several ranks."""

import contextlib
import copy
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.plan import Plan
from equipoise.fit.checkpoint import Checkpoint, Checkpoints
from equipoise.fit.fitted import Execution
from equipoise.fit.job import Job
from equipoise.fit.objectives import Objective
from equipoise.fit.ranks.checkpoints import RankCheckpoints, restore
from equipoise.fit.ranks.objective import Sharded, replicated
from equipoise.fit.ranks.piece import OwnPiece
from equipoise.fit.ranks.ranks import Ranks
from equipoise.fit.ranks.shards import shard
from equipoise.fit.ranks.statistics import gathering
from equipoise.fit.state import State
from equipoise.fit.together import whole
from equipoise.networks.network import Network

DIVISIBLE = ("gradient-descent", "sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "lion")
"""Optimisers that change each weight by itself, so that each rank can step its own."""


@dataclass(frozen=True, slots=True, eq=False)
class ByRanks:
    """Several processes that `torchrun` started, each with its part of every batch.

    Attributes:
        ranks: All of them, and which one this is.
    """

    ranks: Ranks

    @property
    def together(self) -> Ranks:
        """Return the ranks."""
        return self.ranks

    def open(self, folder: Path) -> Checkpoints:
        """Return the checkpoints in a folder, which the first rank makes.

        Raises:
            ValueError: It cannot be made or written.
        """
        return Checkpoints(folder, writes=self.ranks.first)

    def check(self, plan: Plan, network: Network, saved: Checkpoint | None) -> None:
        """Refuse, before anything is trained, what ranks cannot share, and wait until all of them have looked.

        Raises:
            ValueError: A generator, a pre-processing that learns, more ranks than samples in a batch, an option that
                needs whole matrices where they are divided; or the ranks see different checkpoints.
        """
        _check(plan, network, self.ranks)
        _check_alike(saved, self.ranks)

    def execution(self, chosen: Execution, plan: Plan) -> Execution:
        """Return what the first rank chose, on this rank's device and with its share of the threads."""
        return _shared(chosen, self.ranks, plan.recipe.threads)

    def network(self, network: Network) -> Network:
        """Return what this rank trains: a copy with its part of the weights, or the network itself."""
        if not self.ranks.sharded:
            return network
        own = copy.deepcopy(network)
        shard(own, self.ranks)
        return own

    def written(self, checkpoints: Checkpoints) -> RankCheckpoints:
        """Return what writes checkpoints."""
        return RankCheckpoints(checkpoints, self.ranks)

    @contextlib.contextmanager
    def doing(self, job: Job, network: Network, plan: Plan, weights: Tensor | None) -> Iterator[Job]:
        """Let this rank take its part of a job for a while."""
        piece = OwnPiece(self.ranks, plan.recipe, network.signature.task.kind, weights)
        foreign = isinstance(plan.network, ForeignNetwork)
        if isinstance(network.body, FSDPModule):
            objective: Objective = Sharded(network.body, job.objective, piece.turn)
        else:
            objective = replicated(network.body, job.objective, piece.turn, foreign=foreign)
        feed = dataclasses.replace(job.feed, piece=piece)
        with gathering(network.body, piece.turn), self.ranks.interruptible():
            yield dataclasses.replace(job, feed=feed, objective=objective, together=self.ranks)

    def restore(self, state: State, saved: Checkpoint, seed: int) -> None:
        """Go on from a checkpoint."""
        restore(state, saved, self.ranks, seed)

    def whole(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors that may be divided as ones that each rank holds."""
        return {name: whole(tensor) for name, tensor in tensors.items()}


def _check(plan: Plan, network: Network, ranks: Ranks) -> None:
    """Refuse, before anything is trained, what ranks cannot share.

    Raises:
        ValueError: A generator, a pre-processing that learns, more ranks than samples in a batch, or an optimiser that
            needs whole matrices where they are divided.
    """
    recipe = plan.recipe
    if network.signature.task.kind == "generation":
        raise ValueError(
            f"got a task of kind 'generation' for {ranks.count} ranks; expected one whose loss is a mean over samples, "
            "since the noise of a generator is drawn for a whole batch. Train it in one process."
        )
    if any(parameter.requires_grad for parameter in network.preprocess.parameters()):
        raise ValueError(
            f"got a pre-processing that learns for {ranks.count} ranks; expected only the body to learn. Train it in "
            "one process."
        )
    if recipe.batch_size < ranks.count and recipe.optimizer != "gradient-descent":
        raise ValueError(
            f"recipe.batch_size: got {recipe.batch_size} for {ranks.count} ranks; expected at least one sample each. "
            "Raise it, or start fewer ranks."
        )
    whole_needed = [name for name in ("learning_rate_search", "unit_scaling") if getattr(recipe, name)]
    if ranks.sharded and whole_needed:
        raise ValueError(
            f"recipe.{whole_needed[0]}: got true with --shard; expected false, since it looks at all weights before "
            "they are divided. Set it to false, or leave --shard out."
        )
    if ranks.sharded and recipe.optimizer not in DIVISIBLE:
        raise ValueError(
            f"recipe.optimizer: got {recipe.optimizer!r} with --shard; expected one that changes each weight by "
            f"itself: {', '.join(DIVISIBLE)}. Use one of these, or leave --shard out."
        )


def _shared(execution: Execution, ranks: Ranks, asked: int | None) -> Execution:
    """Return how this rank executes what the first one chose: on its own device, with its share of the threads.

    Args:
        execution: What this rank chose; the first one's counts.
        ranks: All ranks.
        asked: Torch threads that the recipe asks for.
    """
    chosen = ranks.agree(execution)
    threads = asked or max(1, torch.get_num_threads() // ranks.local)
    way = "weights divided among them (FSDP2)" if ranks.sharded else "each with all weights (DDP)"
    said = f"{ranks.count} ranks, {way}"
    return chosen.replace(
        device=str(ranks.device),
        threads=threads,
        ranks=ranks.count,
        sharded=ranks.sharded,
        channels_last=chosen.channels_last and not ranks.sharded,
        reason=chosen.reason if said in chosen.reason else f"{chosen.reason}; {said}",
    )


def _check_alike(saved: Checkpoint | None, ranks: Ranks) -> None:
    """Refuse to go on where the ranks see different checkpoints, and wait until all have looked.

    Raises:
        ValueError: They do.
    """
    seen = saved.values["position"] if saved is not None else None
    first = ranks.agree(seen)
    if seen != first:
        raise ValueError(
            f"got a checkpoint at {seen} on rank {ranks.number} and at {first} on the first; expected the same. Put "
            "the run folder on a disk that all machines share."
        )
    ranks.wait()
