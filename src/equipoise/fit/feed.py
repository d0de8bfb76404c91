"""The training and validation parts as the loop takes them: features and targets, batch by batch, on the device."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from equipoise.core.recipe import Recipe
from equipoise.data.augment import augment
from equipoise.data.samples import Samples, TensorSamples
from equipoise.fit.seeds import derive
from equipoise.networks.network import Network

KEPT_FEATURES_BYTES = 512 * 1024**2
"""Features of resident samples are computed once and kept when they take no more memory than this."""

WHOLE = 8192
"""Most samples in one piece when a step takes the whole training part; more are summed up piece by piece."""


STATISTICS = 32
"""Batches from which the batch-norm statistics of averaged weights are estimated."""


class Batch(NamedTuple):
    """What one forward pass takes.

    Attributes:
        features, targets: On the device.
        share: Share of this batch in its optimiser step; 1 without accumulation.
        completes: Whether the optimiser steps after it.
    """

    features: Tensor
    targets: Tensor
    share: float
    completes: bool


class Piece(Protocol):
    """Takes a part of each batch."""

    def order(self, feed: "Feed", indices: Sequence[Tensor | None], ahead: Tensor, /) -> Tensor:
        """Return which samples will be asked for, in order, of the batches `indices`, which are `ahead` together."""

    def of(
        self, feed: "Feed", index: Tensor | None, draws: torch.Generator, share: float, /, *, completes: bool
    ) -> Batch:
        """Return the part of the batch at `index`; its share is such that the parts' losses add up to that of all."""


@runtime_checkable
class _Announced(Protocol):
    """Samples that decode ahead when told the order."""

    def announce(self, index: Tensor) -> None:
        """Take note of the order in which samples will be asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One part of the data on the device.

    Attributes:
        samples: The samples; resident ones already on the device.
        features: Pre-processed inputs of all samples where they are kept, else None.
        targets: Prepared targets of all samples where they are resident, else None.
        preprocess: Raw inputs to features.
        prepare: Targets as in `Samples` to what the criterion takes.
        restores: Whether the features themselves are the target.
        device: Where batches go.
    """

    samples: Samples
    features: Tensor | None
    targets: Tensor | None
    preprocess: Callable[[Tensor], Tensor]
    prepare: Callable[[Tensor], Tensor]
    restores: bool
    device: torch.device

    def take(self, index: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return features and prepared targets at `index` (on the device), or of all samples."""
        if self.features is not None and self.targets is not None:
            features = self.features if index is None else self.features.index_select(0, index)
            if self.restores:
                return features, features
            return features, self.targets if index is None else self.targets.index_select(0, index)
        inputs, targets = self.raw(index)
        features = self.preprocess(inputs)
        return features, features if self.restores else self.prepare(targets)

    def announce(self, order: Tensor) -> None:
        """Say in which order samples will be taken, so that streamed ones are decoded ahead."""
        if isinstance(self.samples, _Announced):
            self.samples.announce(order)

    def close(self) -> None:
        """Stop decoding ahead; samples that lie in memory have nothing to stop."""
        close = getattr(self.samples, "close", None)
        if close is not None:
            close()

    def raw(self, index: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return raw inputs and targets at `index`, or of all samples, on the device."""
        if index is None:
            index = torch.arange(len(self.samples))
        inputs, targets = self.samples.batch(index.to(self.device if self.samples.resident else "cpu"))
        return inputs.to(self.device), targets.to(self.device)


@torch.no_grad()
def make_part(
    samples: Samples, network: Network, prepare: Callable[[Tensor], Tensor], device: torch.device, *, keep: bool
) -> Part:
    """Return a part on the device; with `keep`, features are computed once where that is possible and small enough."""
    restores = network.signature.task.kind in ("reconstruction", "clustering", "generation")
    preprocess = network.preprocess
    if not samples.resident:
        return Part(samples, None, None, preprocess, prepare, restores, device)
    if not isinstance(samples, TensorSamples):
        samples = TensorSamples(*samples.batch(torch.arange(len(samples))))
    samples = samples.to(device)
    features: Tensor | None = None
    is_fixed = not any(parameter.requires_grad for parameter in preprocess.parameters())
    if keep and is_fixed:
        preprocess.eval()
        one = preprocess(samples.inputs[:1])
        if one.numel() * one.element_size() * len(samples) <= KEPT_FEATURES_BYTES:
            features = torch.cat([preprocess(chunk) for chunk in samples.inputs.split(1024)])
    return Part(samples, features, prepare(samples.targets), preprocess, prepare, restores, device)


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """The training part in random order, round after round.

    A round is some epochs after which the loop looks up: losses are read, the network is validated, decisions are made.

    Attributes:
        part: The training part.
        sizes: Samples of each batch of an epoch.
        accumulate: Batches to an optimiser step.
        shuffled: Whether the order is drawn anew each epoch.
        seed: Seed of the fit.
        recipe: Says the augmentation.
        network: Says inputs and task, for the augmentation.
        chances: Chance of each sample (n,), up to a factor, where an epoch draws with replacement; on the CPU.
        piece: Where several processes train one network: takes the part of each batch that is this one's.
    """

    part: Part
    sizes: tuple[int, ...]
    accumulate: int
    shuffled: bool
    seed: int
    recipe: Recipe
    network: Network
    chances: Tensor | None = None
    piece: Piece | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return -(-len(self.sizes) // self.accumulate)

    def batches(self, number: int, epochs: int, start: int, draws: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of a round, from position `start` on.

        Args:
            number: Which round, from 0; its order is a function of the seed and this number alone.
            epochs: Epochs of this round.
            start: Batches to leave out, because they were done before.
            draws: Drawn from by the augmentation; on the device.
        """
        positions = self.positions()
        for epoch, order in enumerate(self.orders(number, epochs)):
            skip = min(len(self.sizes), max(0, start - epoch * len(self.sizes)))
            indices = self._split(order)[skip:]
            if order is not None:
                ahead = order[sum(self.sizes[:skip]) :]
                self.part.announce(ahead if self.piece is None else self.piece.order(self, indices, ahead))
            for index, (share, completes) in zip(indices, positions[skip:], strict=True):
                if self.piece is None:
                    yield Batch(*self.taken(index, draws), share, completes)
                else:
                    yield self.piece.of(self, index, draws, share, completes=completes)

    def taken(self, index: Tensor | None, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return features and targets at `index`, or of the whole part, augmented where the recipe says so."""
        return self._augmented(index, draws) if self.recipe.augmentation else self.part.take(index)

    def orders(self, number: int, epochs: int) -> Iterator[Tensor | None]:
        """Yield the order of each epoch of a round; a function of the seed and the number of the round alone."""
        generator = torch.Generator().manual_seed(derive(self.seed, "order", number))
        for _ in range(epochs):
            yield self.order(generator)

    def order(self, generator: torch.Generator) -> Tensor | None:
        """Return the positions of an epoch in the order of the next draw; None for as they come."""
        if self.chances is not None:
            return torch.multinomial(self.chances, len(self.chances), replacement=True, generator=generator)
        return torch.randperm(len(self.part.samples), generator=generator) if self.shuffled else None

    def some(self) -> Iterator[Tensor]:
        """Yield features of up to `STATISTICS` random batches, always the same ones, without augmentation."""
        generator = torch.Generator().manual_seed(derive(self.seed, "statistics"))
        order = torch.randperm(len(self.part.samples), generator=generator).to(self.part.device)
        for index in order.split(self.sizes)[:STATISTICS]:
            yield self.part.take(index)[0]

    def _split(self, order: Tensor | None) -> list[Tensor | None]:
        if order is None and len(self.sizes) == 1:
            return [None]
        if order is None:
            order = torch.arange(len(self.part.samples))
        return list(order.to(self.part.device).split(self.sizes))

    def positions(self) -> list[tuple[float, bool]]:
        """Return share and completion of each batch of an epoch."""
        found: list[tuple[float, bool]] = []
        for start in range(0, len(self.sizes), self.accumulate):
            group = self.sizes[start : start + self.accumulate]
            found += [(size / sum(group), i == len(group) - 1) for i, size in enumerate(group)]
        return found

    def _augmented(self, index: Tensor | None, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        inputs, targets = self.part.raw(index)
        signature = self.network.signature
        names, level = self.recipe.augmentation, self.recipe.noise_level
        changed, mixed = augment(inputs, targets, names, signature.inputs, signature.task, draws, noise=level)
        features: Tensor = self.part.preprocess(changed)
        if self.part.restores:
            return features, self.part.preprocess(inputs)
        return features, self.part.prepare(mixed)


def make_feed(part: Part, recipe: Recipe, network: Network, seed: int, chances: Tensor | None = None) -> Feed:
    """Return the feed of a recipe.

    A last batch of a single sample is joined to the one before it, since batch norm cannot learn from one sample.

    Args:
        part: The training part.
        recipe: Says batches, order and augmentation.
        network: Says inputs and task.
        seed: Seed of the fit.
        chances: Chance of each sample (n,), up to a factor, where an epoch draws with replacement.

    Raises:
        ValueError: Accumulation together with `gradient-descent`, which takes the whole training part anyway.
    """
    n = len(part.samples)
    if recipe.optimizer != "gradient-descent":
        sizes = _sizes(n, recipe.batch_size)
        return Feed(part, sizes, recipe.accumulate, recipe.shuffle, seed, recipe, network, chances)
    if recipe.accumulate > 1:
        raise ValueError(
            f"recipe.accumulate: got {recipe.accumulate} with optimizer 'gradient-descent', whose step takes the whole "
            "training part; expected 1. Leave it out."
        )
    sizes = _sizes(n, WHOLE)
    return Feed(part, sizes, len(sizes), False, seed, recipe, network)


def targets_on_scale(network: Network) -> Callable[[Tensor], Tensor]:
    """Return how targets come to the scale of the scores: standardised by a head that can, else as they are."""
    standardise = getattr(network.head, "standardise", None)
    if network.signature.task.kind == "regression" and standardise is not None:
        return cast("Callable[[Tensor], Tensor]", standardise)
    return lambda targets: targets


def _sizes(n: int, batch_size: int) -> tuple[int, ...]:
    sizes = [batch_size] * (n // batch_size) + [n % batch_size] * (n % batch_size > 0)
    if len(sizes) > 1 and sizes[-1] == 1:
        sizes[-2:] = [batch_size + 1]
    return tuple(sizes)
