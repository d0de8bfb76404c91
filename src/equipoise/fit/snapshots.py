"""Weights, buffers and optimiser state of a moment, in memory, to go back to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.fit.averaging import Average
from equipoise.fit.together import whole

NOT_ROLLED_BACK = ("params", "lr", "train_mode")
"""Entries of a parameter group that are left alone: what it holds, the rate, which a schedule owns, and the mode."""

LEAST = 0.01
"""Root mean square of weights that counts as their size where they are smaller."""


@dataclass(slots=True, eq=False)
class Snapshot:
    """A moment of a training.

    Attributes:
        step: Optimiser steps taken until then.
        tensors: Copies by name: `network.*`, `optimizer.<part>.<parameter>.<entry>`, `average.<number>`.
        numbers: Plain values by name: `optimizer.<part>.<parameter>.<entry>`, `group.<part>.<number>.<entry>`,
            `average.count`. An optimiser that keeps anything else for a parameter begins that one anew.
        notes: Whatever the governor wants to know of that moment, plain values.
    """

    step: int = 0
    tensors: dict[str, Tensor] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def bytes(self) -> int:
        """Return the memory it takes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())


@dataclass(frozen=True, slots=True, eq=False)
class Balanced:
    """What is copied and put back: a network, its optimisers and, where there is one, the average of its weights."""

    network: nn.Module
    optimizers: Sequence[torch.optim.Optimizer]
    average: Average | None = None

    @torch.no_grad()
    def take(self, step: int, notes: dict[str, Any], into: Snapshot | None = None) -> Snapshot:
        """Return a snapshot; the memory of `into`, an older one, is used again where shapes agree."""
        old = into.tensors if into is not None else {}
        tensors: dict[str, Tensor] = {}
        numbers: dict[str, Any] = {}
        for name, value in self._moving():
            if not isinstance(value, Tensor):
                numbers[name] = value
                continue
            place = old.get(name)
            if place is None or place.shape != value.shape or place.dtype != value.dtype:
                tensors[name] = value.detach().clone()
            else:
                tensors[name] = place.copy_(value.detach())
        return Snapshot(step, tensors, numbers, notes)

    @torch.no_grad()
    def put_back(self, snapshot: Snapshot) -> None:
        """Bring everything to where it was, in place, and drop the gradients that belong to other weights."""
        for name, value in self.network.state_dict().items():
            if isinstance(value, Tensor):
                value.copy_(snapshot.tensors[f"network.{name}"])
        for k, optimizer in enumerate(self.optimizers):
            _put_back_optimizer(optimizer, f"{k}.", snapshot)
        if self.average is not None:
            self.average.count = snapshot.numbers["average.count"]
            count = sum(name.startswith("average.") for name in snapshot.tensors)
            self.average.values = [snapshot.tensors[f"average.{i}"].clone() for i in range(count)]
        for parameter in self.parameters():
            parameter.grad = None

    def moved(self, snapshot: Snapshot) -> float:
        """Return how far the weights are from a snapshot, as a share of their size there; waits for the device."""
        pairs = self._weights(snapshot)
        return float(whole(nn.utils.get_total_norm([one - before for one, before in pairs]))) / self.size(snapshot)

    def size(self, snapshot: Snapshot) -> float:
        """Return the norm of all weights of a snapshot; weights that begin at zero count as at least `LEAST` each."""
        weights = [before for _, before in self._weights(snapshot)]
        least = LEAST * sum(weight.numel() for weight in weights) ** 0.5
        return max(float(whole(nn.utils.get_total_norm(weights))), least)

    def _weights(self, snapshot: Snapshot) -> list[tuple[Tensor, Tensor]]:
        named = [(f"network.{name}", one.detach()) for name, one in self.network.named_parameters()]
        return [(one, snapshot.tensors[name]) for name, one in named if name in snapshot.tensors]

    def parameters(self) -> list[nn.Parameter]:
        """Return every parameter that an optimiser holds."""
        return [parameter for optimizer in self.optimizers for parameter in _parameters(optimizer)]

    def forget_moments(self) -> None:
        """Let the optimisers begin anew, after weights were replaced."""
        for optimizer in self.optimizers:
            optimizer.state.clear()

    def _moving(self) -> Iterable[tuple[str, Any]]:
        for name, value in self.network.state_dict().items():
            if isinstance(value, Tensor):
                yield f"network.{name}", value
        for k, optimizer in enumerate(self.optimizers):
            for i, parameter in enumerate(_parameters(optimizer)):
                entries = optimizer.state.get(parameter, {})
                if all(isinstance(value, (Tensor, bool, int, float)) for value in entries.values()):
                    yield from ((f"optimizer.{k}.{i}.{entry}", value) for entry, value in entries.items())
            for i, group in enumerate(optimizer.param_groups):
                for entry, value in group.items():
                    if entry not in NOT_ROLLED_BACK and isinstance(value, (bool, int, float)):
                        yield f"group.{k}.{i}.{entry}", value
        if self.average is not None:
            yield "average.count", self.average.count
            for i, value in enumerate(self.average.values):
                yield f"average.{i}", value


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _put_back_optimizer(optimizer: torch.optim.Optimizer, prefix: str, snapshot: Snapshot) -> None:
    saved: dict[int, dict[str, Any]] = {}
    for source in (snapshot.tensors, snapshot.numbers):
        for name, value in source.items():
            if name.startswith(f"optimizer.{prefix}"):
                _, _, i, entry = name.split(".", 3)
                saved.setdefault(int(i), {})[entry] = value
    for i, parameter in enumerate(_parameters(optimizer)):
        if i not in saved:
            optimizer.state.pop(parameter, None)
            continue
        now = optimizer.state[parameter]
        for entry in [entry for entry in now if entry not in saved[i]]:
            del now[entry]
        for entry, value in saved[i].items():
            if isinstance(value, Tensor) and isinstance(now.get(entry), Tensor):
                now[entry].copy_(value)
            else:
                now[entry] = value.clone() if isinstance(value, Tensor) else value
    for i, group in enumerate(optimizer.param_groups):
        for entry in list(group):
            name = f"group.{prefix}{i}.{entry}"
            if name in snapshot.numbers:
                group[entry] = snapshot.numbers[name]
