"""The batches of a round, laid out: sizes, shares, and where steps end."""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from equipoise.fit.feed import Feed


@dataclass(frozen=True, slots=True, eq=False)
class Rhythm:
    """What all rounds of so many epochs have in common.

    Attributes:
        sizes: Samples of each batch, int64.
        shares: Share of each batch in its step, float64.
        finishes: Whether a step follows each batch, uint8.
        starts: Samples before each batch, and of all.
        ends: Batches done after each step.
        step_of: Steps done before each batch.
        largest: Samples of the largest batch.
    """

    sizes: Tensor
    shares: Tensor
    finishes: Tensor
    starts: list[int]
    ends: list[int]
    step_of: list[int]
    largest: int

    @property
    def batches(self) -> int:
        """Batches of the round."""
        return len(self.sizes)

    @property
    def steps(self) -> int:
        """Steps of the round."""
        return len(self.ends)


def rhythm_of(feed: Feed, epochs: int) -> Rhythm:
    """Return the rhythm of a round of so many epochs."""
    sizes, positions = list(feed.sizes) * epochs, feed.positions() * epochs
    finishes = [completes for _, completes in positions]
    return Rhythm(
        sizes=torch.tensor(sizes),
        shares=torch.tensor([share for share, _ in positions], dtype=torch.float64),
        finishes=torch.tensor(finishes, dtype=torch.uint8),
        starts=[0, *accumulate(sizes)],
        ends=[k + 1 for k, completes in enumerate(finishes) if completes],
        step_of=[0, *accumulate(map(int, finishes))][:-1],
        largest=max(sizes),
    )


def is_still(feed: Feed) -> bool:
    """Return whether the order of samples changes nothing but rounding: one batch an epoch, each sample once."""
    return len(feed.sizes) == 1 and feed.chances is None


def order_of(feed: Feed, number: int, epochs: int, *, masked: bool) -> Tensor:
    """Return the positions of all samples of a round in their order, int64; `masked` where dropout meets the rows."""
    whole = sum(feed.sizes)
    if is_still(feed) and not masked:
        return torch.arange(whole).repeat(epochs)
    orders = [torch.arange(whole) if order is None else order for order in feed.orders(number, epochs)]
    return torch.cat(orders) if len(orders) > 1 else orders[0]
