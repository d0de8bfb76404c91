"""The score of a network on changed inputs, kept per sample so that curves and areas get intervals."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equipoise.core.estimate import Estimate
from equipoise.core.signature import Task
from equipoise.data.samples import IGNORED
from equipoise.examine.question import InapplicableError
from equipoise.networks.network import Network
from equipoise.stats.intervals import bootstrap, paired_difference_of_proportions, proportion
from equipoise.stats.metrics import score_name


@dataclass(frozen=True, slots=True, eq=False)
class Credits:
    """Per-sample parts whose ratio of sums is a task's score, averaged over columns.

    Attributes:
        gained: What each sample gains (n, columns): 1 for a right answer; for R2 the explained squares.
        possible: What it could gain (n, columns).
        unanswered: How many answers were not finite; they gain nothing.
    """

    gained: np.ndarray
    possible: np.ndarray
    unanswered: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Yardstick:
    """What the answers on changed inputs are held against: always the truth about the unchanged ones.

    Attributes:
        task: The task.
        name: Name of the score.
        truth: Targets; features for reconstruction; the assignment of the unchanged inputs for clustering.
    """

    task: Task
    name: str
    truth: np.ndarray


@torch.no_grad()
def yardstick(network: Network, inputs: Tensor, targets: np.ndarray) -> Yardstick:
    """Return what answers on changed copies of `inputs` (n, ...) are held against.

    Raises:
        InapplicableError: A generative pair answers no inputs.
    """
    task = network.signature.task
    if task.kind == "generation":
        raise InapplicableError("a generator draws its samples from its own noise: there is no input to change")
    if task.kind == "reconstruction":
        features = torch.cat([network.preprocess(chunk) for chunk in inputs.split(512)])
        return Yardstick(task, score_name(task), features.cpu().numpy())
    if task.kind == "clustering":
        answer = torch.cat([network.answer(chunk) for chunk in inputs.split(512)])
        return Yardstick(task, "agreement with the clean assignment", answer.argmax(-1).cpu().numpy())
    return Yardstick(task, score_name(task), targets)


@torch.no_grad()
def credits_on(network: Network, inputs: Tensor, against: Yardstick) -> Credits:
    """Return each sample's credits for the network's answers on `inputs` (n, ...)."""
    said = network.scores if against.task.kind == "reconstruction" else network.answer
    answer = torch.cat([said(chunk) for chunk in inputs.split(512)]).cpu().numpy()
    return credit(against.task, against.truth, answer)


def credit(task: Task, truth: np.ndarray, answer: np.ndarray) -> Credits:
    """Return the parts of `stats.metrics.score`; an answer that is not finite gains nothing.

    Args:
        task: The task.
        truth: As in `Yardstick`.
        answer: Probabilities (n, ..., classes) or values.
    """
    n = len(answer)
    parts = _credit(task, truth, answer)
    told = np.asarray(np.isfinite(answer).reshape(n, -1).all(axis=1))[:, None]
    return Credits(np.where(told, parts.gained, 0.0), parts.possible, int((~told).sum()))


def _credit(task: Task, truth: np.ndarray, answer: np.ndarray) -> Credits:
    n = len(answer)
    if task.kind in ("binary", "multiclass", "clustering"):
        right = (answer.argmax(-1) == truth).astype(np.float64)[:, None]
        return Credits(right, np.ones((n, 1)))
    if task.kind == "multilabel":
        called, true = answer > 0.5, truth > 0.5
        return Credits(2.0 * (called & true).sum(1)[:, None], (called.sum(1) + true.sum(1)).astype(float)[:, None])
    if task.kind == "sequence-labelling":
        kept = truth != IGNORED
        right = ((answer.argmax(-1) == truth) & kept).sum(1).astype(np.float64)
        return Credits(right[:, None], kept.sum(1).astype(np.float64)[:, None])
    t, a = truth.reshape(n, -1).astype(np.float64), answer.reshape(n, -1).astype(np.float64)
    possible, missed = (t - t.mean(0)) ** 2, (t - a) ** 2
    if task.kind == "reconstruction":
        possible, missed = possible.sum(1, keepdims=True), missed.sum(1, keepdims=True)
    return Credits(possible - missed, possible)


def score_of(gained: np.ndarray, possible: np.ndarray) -> float:
    """Return the score of credits (n, columns): the ratio of their sums, averaged over columns (0 without gain)."""
    total = possible.sum(0)
    return float(np.where(total > 0, gained.sum(0) / np.where(total > 0, total, 1.0), 0.0).mean())


def score_interval(credits: Credits, *, seed: int = 0) -> Estimate:
    """Return the score with its interval: Wilson where each sample is right or wrong, else a bootstrap."""
    if _right_or_wrong(credits):
        return proportion(int(credits.gained.sum()), len(credits.gained))
    return bootstrap(score_of, credits.gained, credits.possible, seed=seed, repeats=400)


def retained(curve: list[Credits], weights: np.ndarray, *, seed: int = 0, repeats: int = 600) -> Estimate:
    """Return the weighted mean of scores over a curve, relative to its first (clean) score, with its interval.

    Scores below 0 count as 0, so that an R2 that falls without bound cannot outweigh the rest of the curve. Samples are
    resampled together over the whole curve.

    Args:
        curve: Credits of the same samples, clean first.
        weights: Weight of each entry of the curve (curve,), summing to 1.
        seed: Seed of the resampling.
        repeats: Number of resamples.
    """
    gained = np.stack([one.gained for one in curve], axis=1)
    possible = np.stack([one.possible for one in curve], axis=1)

    def share(g: np.ndarray, p: np.ndarray) -> float:
        totals = p.sum(0)
        scores = np.where(totals > 0, g.sum(0) / np.where(totals > 0, totals, 1.0), 0.0).mean(1).clip(min=0.0)
        return float(scores @ weights / scores[0]) if scores[0] > 0 else float("nan")

    return bootstrap(share, gained, possible, seed=seed, repeats=repeats)


def mean_credits(draws: list[Credits]) -> Credits:
    """Return the mean credits of the same samples over several random draws of one change."""
    return Credits(
        np.mean([one.gained for one in draws], axis=0),
        np.mean([one.possible for one in draws], axis=0),
        sum(one.unanswered for one in draws),
    )


def need_skill(clean: Credits, against: Yardstick) -> None:
    """Refuse a network that has nothing to lose: one that is not clearly better than a single answer for everything.

    Args:
        clean: Its credits on unchanged inputs.
        against: What they were held against.

    Raises:
        InapplicableError: Answers on unchanged inputs that are not finite, or a score whose difference to that of the
            trivial answer has an interval that does not lie above 0.
    """
    if clean.unanswered:
        raise InapplicableError(
            f"the network's answers on {clean.unanswered:,} of {len(clean.gained):,} unchanged inputs are not finite, "
            "so nothing can be scored; see data-quality"
        )
    trivial = trivial_credits(against)
    if _right_or_wrong(clean) and _right_or_wrong(trivial):
        won, lost = (clean.gained > trivial.gained).sum(), (clean.gained < trivial.gained).sum()
        gap = paired_difference_of_proportions(int(won), int(lost), len(clean.gained))
    else:

        def more(*parts: np.ndarray) -> float:
            return score_of(parts[0], parts[1]) - score_of(parts[2], parts[3])

        gap = bootstrap(more, clean.gained, clean.possible, trivial.gained, trivial.possible, repeats=400)
    if gap.low <= 0:
        raise InapplicableError(
            f"the {against.name} on unchanged inputs is {score_of(clean.gained, clean.possible):.3f}, which exceeds "
            f"that of one answer for every input by {gap.value:.3f} [{gap.low:.3f}, {gap.high:.3f}], not clearly more "
            "than 0: it has no skill to lose, nothing that a change could take away"
        )


def trivial_credits(against: Yardstick) -> Credits:
    """Return the credits of the best single answer for every sample: the commonest class, the mean.

    Of several labels it calls those whose common call has the best micro F1.
    """
    task, truth = against.task, against.truth
    n = len(truth)
    if task.kind in ("regression", "reconstruction"):
        flat = truth.reshape(n, -1).astype(np.float64)
        return credit(task, flat, np.tile(flat.mean(0), (n, 1)))
    if task.kind == "multilabel":
        order = np.argsort(-(truth > 0.5).mean(0), kind="stable")
        calls = [np.isin(np.arange(truth.shape[1]), order[: k + 1]) for k in range(truth.shape[1])]
        found = [credit(task, truth, np.tile(one, (n, 1)).astype(np.float64)) for one in calls]
        return max(found, key=lambda one: score_of(one.gained, one.possible))
    known = truth[truth != IGNORED].astype(np.int64)
    classes = np.bincount(known.reshape(-1), minlength=1).astype(np.float64)
    return credit(task, truth, np.broadcast_to(classes, (*truth.shape, len(classes))))


def _right_or_wrong(credits: Credits) -> bool:
    ones = credits.possible.shape[1] == 1 and bool((credits.possible == 1).all())
    return ones and bool(np.isin(credits.gained, (0.0, 1.0)).all())


def area_weights(levels: tuple[float, ...]) -> np.ndarray:
    """Return the weights (levels,) by which scores at rising levels add up to the mean height under their curve."""
    x = np.asarray(levels, dtype=np.float64)
    widths = np.diff(x) / (x[-1] - x[0])
    weights = np.zeros(len(x))
    weights[:-1] += widths / 2
    weights[1:] += widths / 2
    return weights
