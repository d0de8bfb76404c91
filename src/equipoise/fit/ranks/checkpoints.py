"""Checkpoints of a training that several ranks share, from which any number of them can go on."""

from dataclasses import dataclass

import torch
import torch.distributed as distributed
from torch import Tensor

from equipoise.fit.checkpoint import Checkpoint, Checkpoints
from equipoise.fit.ranks.ranks import Ranks
from equipoise.fit.ranks.shards import like
from equipoise.fit.seeds import derive
from equipoise.fit.shard_files import write_shards
from equipoise.fit.state import State

OWN = "rank"
"""Tensors of one rank's own: `rank.<number>.<name>`."""


@dataclass(frozen=True, slots=True, eq=False)
class RankCheckpoints:
    """Writes checkpoints: the first rank alone where each holds everything, else each rank its part."""

    checkpoints: Checkpoints
    ranks: Ranks

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and make it the newest; all ranks call it.

        Raises:
            OSError: The disk is full or the folder cannot be written; earlier checkpoints stay whole and in force.
        """
        ranks, checkpoints = self.ranks, self.checkpoints
        whole = Checkpoint(checkpoint.tensors | _random_states(ranks), {**checkpoint.values, "ranks": ranks.count})
        if not ranks.sharded:
            if ranks.first:
                checkpoints.write(whole)
            return
        number = ranks.agree(checkpoints.next_number())
        write_shards(whole.tensors, checkpoints.shards(number))
        if ranks.first:
            checkpoints.switch(number, whole.values)
        ranks.wait()


def restore(state: State, saved: Checkpoint, ranks: Ranks, seed: int) -> None:
    """Take over everything from a checkpoint that as many or other ranks wrote, or a process alone.

    With as many ranks each goes on with its own random draws, with others it begins new ones.
    """
    places = state.checkpoint({}).tensors
    owners = {name.removeprefix("network."): place for name, place in places.items() if name.startswith("network.")}
    parameters = list(state.stepper.parameters)
    tensors = {name: like(_owner(name, owners, parameters, state), one) for name, one in saved.tensors.items()}
    state.restore(Checkpoint(tensors, saved.values))
    own = saved.tensors.get(f"{OWN}.{ranks.number}.cpu")
    if own is not None and saved.values.get("ranks") == ranks.count:
        torch.set_rng_state(own)
        if ranks.device.type == "cuda":
            torch.cuda.set_rng_state(saved.tensors[f"{OWN}.{ranks.number}.device"])
    elif ranks.apart:
        torch.default_generator.manual_seed(derive(seed, "rank", ranks.number, state.round, state.batch))


def _owner(name: str, owners: dict[str, Tensor], parameters: list[torch.nn.Parameter], state: State) -> Tensor | None:
    """Return the weight whose layout a saved tensor takes, if there is one.

    Names are `network.<weight>`, `kept.<weight>`, `average.<number>`, `optimizer.<part>.<number>.<entry>` and, of the
    governor's snapshots, `governor.<snapshot>.` followed by one of these.
    """
    kind, _, rest = name.partition(".")
    if kind == "governor":
        return _owner(rest.partition(".")[2], owners, parameters, state)
    if kind in ("network", "kept"):
        return owners.get(rest)
    if kind == "average":
        return parameters[int(rest)]
    if kind == "optimizer":
        part, number, _ = rest.split(".", 2)
        order = [one for group in state.stepper.parts[int(part)].param_groups for one in group["params"]]
        return order[int(number)]
    return None


def _random_states(ranks: Ranks) -> dict[str, Tensor]:
    """Return the state of every rank's generators."""
    own = {"cpu": torch.get_rng_state()}
    if ranks.device.type == "cuda":
        own["device"] = torch.cuda.get_rng_state()
    states: dict[str, Tensor] = {}
    for name, value in own.items():
        places = [torch.empty_like(value) for _ in range(ranks.count)]
        distributed.all_gather(places, value)
        states |= {f"{OWN}.{number}.{name}": place for number, place in enumerate(places)}
    return states
