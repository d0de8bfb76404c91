"""Optimisers for copies of a network: the user's own with every group, and others on the parameters that it holds."""

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]


def held(optimizer: Optimizer) -> set[int]:
    """Return the ids of the parameters that an optimiser holds."""
    groups = getattr(optimizer, "param_groups", [])
    return {id(one) for group in groups for one in group["params"]}


def optimizer_like(optimizer: Optimizer, network: nn.Module) -> MakeOptimizer:
    """Return a function that makes optimisers of the same kind for copies of a network, without its state.

    Each group keeps its options and its parameters, which are found by their place in `network.parameters()`: names
    change when a copy is wrapped, places do not. Parameters of a copy that has more belong to the group of the last
    one; tensors that are none of the network's are left out.

    Args:
        optimizer: The optimiser.
        network: The network that it was made for.
    """
    places = {id(one): place for place, one in enumerate(network.parameters())}
    held_by = [[places[id(one)] for one in group["params"] if id(one) in places] for group in optimizer.param_groups]
    options = [
        {name: value for name, value in group.items() if name not in ("params", "param_names")}
        for group in optimizer.param_groups
    ]

    def make(parameters: Iterable[nn.Parameter]) -> Optimizer:
        given = list(parameters)
        groups = [[given[place] for place in group if place < len(given)] for group in held_by]
        for group, its_places in zip(groups, held_by, strict=True):
            if len(places) - 1 in its_places:
                group.extend(given[len(places) :])
        made = _empty(optimizer, [list[nn.Parameter](group) for group in groups], given, network)
        for group, chosen in zip(made.param_groups, options, strict=True):
            group.update(copy.deepcopy(chosen))
        return made

    return make


def _empty(
    optimizer: Optimizer, groups: list[list[nn.Parameter]], given: list[nn.Parameter], network: nn.Module
) -> Optimizer:
    """Return an optimiser of the same class with these groups; their options are put in afterwards.

    A constructor checks its arguments, so it gets ordinary ones. One that wants more than the defaults of the optimiser
    is not called: what it made is copied.
    """
    kind: Callable[..., Optimizer] = type(optimizer)
    taken = inspect.signature(kind).parameters
    ordinary: dict[str, Any] = {**optimizer.defaults, "lr": 1e-3}
    try:
        return kind(
            [{"params": group} for group in groups], **{name: ordinary[name] for name in ordinary if name in taken}
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        made = copy.copy(optimizer)
        new: dict[int, Any] = {id(old): one for old, one in zip(network.parameters(), given, strict=False)}
        made.__dict__.update(copy.deepcopy(vars(optimizer), new))
        made.state.clear()
        for one, group in zip(made.param_groups, groups, strict=True):
            one["params"] = group
        return made


def for_the_same(before: MakeOptimizer, make: MakeOptimizer) -> MakeOptimizer:
    """Return a maker of other optimisers for just those parameters that optimisers of `before` hold, if any."""

    def made(parameters: Iterable[nn.Parameter]) -> Optimizer:
        given = list(parameters)
        holds = held(before(given))
        return make([one for one in given if id(one) in holds] or given)

    return made


def for_all(before: MakeOptimizer) -> MakeOptimizer:
    """Return a maker of the same optimisers whose first group takes what no group holds."""

    def made(parameters: Iterable[nn.Parameter]) -> Optimizer:
        given = list(parameters)
        optimizer = before(given)
        holds = held(optimizer)
        optimizer.param_groups[0]["params"].extend(one for one in given if id(one) not in holds)
        return optimizer

    return made


def with_options(before: MakeOptimizer, change: Callable[[dict[str, Any]], dict[str, Any]]) -> MakeOptimizer:
    """Return a maker of the same optimisers with some options of every group changed.

    Args:
        before: Makes the optimisers.
        change: Maps a group to the options that are new.
    """

    def made(parameters: Iterable[nn.Parameter]) -> Optimizer:
        optimizer = before(parameters)
        for group in optimizer.param_groups:
            group.update(change(group))
        return optimizer

    return made


def with_rate(before: MakeOptimizer, factor: float) -> MakeOptimizer:
    """Return a maker of optimisers whose learning rates are `factor` times as large."""
    return with_options(before, lambda group: {"lr": group["lr"] * factor})
