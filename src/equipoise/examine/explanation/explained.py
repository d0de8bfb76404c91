"""One answer as one number that an attribution can explain, and the features that take part in it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equipoise.core.signature import Task, TextInput
from equipoise.examine.question import InapplicableError
from equipoise.examine.subject import Subject
from equipoise.networks.network import Network

UNKNOWN = 1
"""Token id that stands for a hidden word."""

_PIXELS = 1024
_ELEMENTS = 256


class Explained(nn.Module):
    """A network's confidence in the answer it gave, one number a sample.

    For classes the log-odds of the class (its logit against all others together), for labels those of the surest label,
    for sequences their mean over steps, for regression the standardised value (the mean over targets).
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.body = network.body
        self.head = network.head
        self.kind = network.signature.task.kind

    def forward(self, features: Tensor, decided: Tensor) -> Tensor:
        """Return the confidence (n,) in what was decided.

        Args:
            features: What the body takes (n, ...).
            decided: What `decide` gave for the unchanged features.
        """
        scores: Tensor = self.body(features)
        if self.kind == "regression":
            return scores.flatten(1).mean(1)
        outputs = self.head.outputs(scores)
        if self.kind == "multilabel":
            label, sign = decided // 2, 2.0 * (decided % 2) - 1.0
            return outputs.gather(1, label[:, None]).squeeze(1) * sign
        if self.kind == "sequence-labelling":
            odds = _log_odds(outputs, decided.clamp(min=0))
            counted = (decided >= 0).to(odds.dtype)
            return (odds * counted).sum(1) / counted.sum(1).clamp(min=1)
        return _log_odds(outputs, decided)

    @torch.no_grad()
    def decide(self, features: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return what is decided: classes (n,) or (n, steps) with -1 where no step is, labels, or zeros for a value.

        Args:
            features: What the body takes (n, ...).
            kept: Which steps count (n, steps).
        """
        scores = self.body(features)
        if self.kind == "regression":
            return torch.zeros(len(features), dtype=torch.int64, device=features.device)
        outputs = self.head.outputs(scores)
        if self.kind == "multilabel":
            label = outputs.abs().argmax(1)
            return 2 * label + (outputs.gather(1, label[:, None]).squeeze(1) > 0).long()
        decided = outputs.argmax(-1)
        return decided if kept is None else decided.masked_fill(~kept, -1)

    @torch.no_grad()
    def belief(self, features: Tensor, decided: Tensor, original: Tensor, spread: float) -> Tensor:
        """Return how much of the answer is left (n,), in 0..1.

        For decisions the probability of what was decided; for values exp(-|change| / spread).

        Args:
            features: Changed features (n, ...).
            decided: What was decided on the unchanged ones.
            original: Confidence (n,) on the unchanged ones.
            spread: Standard deviation of the values.
        """
        value = self(features, decided)
        if self.kind == "regression":
            return torch.exp(-(value - original).abs() / max(spread, 1e-12))
        return value.sigmoid()


@dataclass(frozen=True, slots=True, eq=False)
class Players:
    """Which features act as one when attributions are ranked: a pixel over its channels, a step, a feature.

    Attributes:
        of: Player of each feature, int64 in the shape of one sample's features.
        count: Number of players.
        coarse: A coarser grouping (at most 64) for methods that hide one group at a time, in the same shape.
        picture: Height and width of the players on an image, else empty.
    """

    of: Tensor
    count: int
    coarse: Tensor
    picture: tuple[int, ...] = ()

    def gathered(self, attributions: Tensor) -> Tensor:
        """Return attributions (n, ...) summed over the features of each player, (n, players)."""
        sums = attributions.new_zeros(len(attributions), self.count)
        return sums.index_add(1, self.of.flatten().to(attributions.device), attributions.flatten(1))


def players_of(features: Tensor, *, image: bool) -> Players:
    """Return the players of features (n, ...).

    Args:
        features: Token ids (n, length), vectors (n, features), images (n, channels, height, width) or sequences
            (n, steps, width).
        image: Whether they are images; then neighbouring pixels are joined beyond 1,024 of them.
    """
    shape = features.shape[1:]
    if image and len(shape) == 3:
        height, width = shape[1], shape[2]
        block = 1
        while -(-height // block) * -(-width // block) > _PIXELS:
            block += 1
        rows, columns = torch.arange(height) // block, torch.arange(width) // block
        across = int(columns.max()) + 1
        of = (rows[:, None] * across + columns).expand(shape[0], -1, -1).contiguous()
        count = int(of.max()) + 1
        tiles = torch.arange(height) * min(8, height) // height, torch.arange(width) * min(8, width) // width
        coarse = (tiles[0][:, None] * min(8, width) + tiles[1]).expand(shape[0], -1, -1).contiguous()
        return Players(of, count, coarse, (count // across, across))
    size = int(torch.tensor(shape).prod())
    if len(shape) == 2 and size > _ELEMENTS:
        of = torch.arange(shape[0])[:, None].expand(-1, shape[1]).contiguous()
        return Players(of, shape[0], of * min(64, shape[0]) // shape[0])
    of = torch.arange(size).reshape(shape)
    return Players(of, size, of * min(64, size) // size)


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """Samples to be explained.

    Attributes:
        inputs: Raw inputs (n, ...).
        features: What the body takes (n, ...): token ids for texts.
        baseline: Features that say nothing, of the same shape: the training mean; the unknown word for texts.
        decided: What the network decided on each.
        players: What is ranked.
        lengths: Players that each sample has (n,): fewer than all where a text is padded.
        tokens: Whether features are token ids.
    """

    inputs: Tensor
    features: Tensor
    baseline: Tensor
    decided: Tensor
    players: Players
    lengths: Tensor
    tokens: bool

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.inputs)

    def part(self, index: Tensor) -> "Sheet":
        """Return the samples at `index`."""
        return Sheet(
            self.inputs[index],
            self.features[index],
            self.baseline[index],
            self.decided[index],
            self.players,
            self.lengths[index],
            self.tokens,
        )


@torch.no_grad()
def sheet_of(subject: Subject, network: Network, inputs: Tensor, kept: Tensor | None, known: Tensor) -> Sheet:
    """Return the samples with everything that explaining them needs.

    Args:
        subject: The subject.
        network: Its network, or a copy.
        inputs: Raw inputs (n, ...) to be explained.
        kept: Which steps count (n, steps), for sequence labelling.
        known: Raw training inputs whose mean features say nothing.

    Raises:
        InapplicableError: The task has no answer to explain, or fewer than four features take part.
    """
    task: Task = subject.task
    if task.kind in ("reconstruction", "generation"):
        raise InapplicableError(f"{task.kind} gives no single answer that features could explain")
    features = network.preprocess(inputs)
    tokens = isinstance(subject.splits.signature.inputs, TextInput) and not features.is_floating_point()
    if tokens:
        baseline = torch.where(features == 0, features, UNKNOWN)
        lengths = (features != 0).sum(1)
    else:
        baseline = network.preprocess(known).mean(0, keepdim=True).expand_as(features).contiguous()
        lengths = torch.empty(0)
    players = players_of(features, image=subject.splits.signature.inputs.kind == "image")
    if players.count < 4:
        raise InapplicableError(f"only {players.count} features take part: too few to rank")
    if not tokens:
        lengths = torch.full((len(inputs),), players.count)
    decided = Explained(network).decide(features, kept)
    return Sheet(inputs, features, baseline, decided, players, lengths, tokens)


def _log_odds(outputs: Tensor, decided: Tensor) -> Tensor:
    """Return the decided class's logit minus the log of the summed exponentials of all others."""
    one_hot = nn.functional.one_hot(decided, outputs.shape[-1]).bool()
    chosen = outputs.masked_fill(~one_hot, 0.0).sum(-1)
    others: Tensor = outputs.masked_fill(one_hot, -torch.inf).logsumexp(-1)
    return chosen - others
