"""A network's answers on a part, brought to the form that scores are computed from, for every kind of task."""

from dataclasses import dataclass

import numpy as np
import torch

from equipoise.core.estimate import Estimate
from equipoise.core.signature import Task
from equipoise.examine.question import InapplicableError
from equipoise.examine.subject import Subject
from equipoise.stats.intervals import bootstrap, paired_difference_of_proportions, proportion
from equipoise.stats.metrics import IGNORED, negative_log_likelihood, score_estimate


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Truth and answers of one part.

    Attributes:
        targets: What `stats.metrics.score` takes: targets; features (n, d) for reconstruction and
            generation; codes (n, d) for clustering.
        answer: Probabilities, user's units, features made (reconstruction, generation) or assignments (clustering).
        estimate: The score with its interval.
    """

    targets: np.ndarray
    answer: np.ndarray
    estimate: Estimate


def scored(subject: Subject, part: str) -> Scored:
    """Return truth, answers and score of (at most `subject.limit` samples of) a part; computed once.

    Raises:
        InapplicableError: The answers are not numbers, or nothing can be scored.
    """
    return subject.once(f"scored {part}", lambda: _scored(subject, part))


def _scored(subject: Subject, part: str) -> Scored:
    targets, answer = _pair(subject, part)
    need_finite(answer, f"{part} samples")
    return Scored(targets, answer, score_estimate(subject.task, targets, answer))


def need_finite(answer: np.ndarray, of: str) -> None:
    """Refuse answers (n, ...) that are not finite; `of` says to what they are answers.

    Raises:
        InapplicableError: At least one is not.
    """
    wrong = int((~np.isfinite(answer.reshape(len(answer), -1))).any(1).sum())
    if wrong:
        raise InapplicableError(
            f"the network's answers are not finite for {wrong:,} of {len(answer):,} {of}, so nothing can be scored; "
            "see data-quality"
        )


def _pair(subject: Subject, part: str) -> tuple[np.ndarray, np.ndarray]:
    answers, kind = subject.answers(part), subject.task.kind
    n = len(answers.targets)
    if kind == "clustering":
        return answers.scores.reshape(n, -1), answers.answer
    if kind == "reconstruction":
        return features_of(subject, part), answers.scores.reshape(n, -1)
    if kind == "generation":
        generate = getattr(subject.network.body, "generate", None)
        if generate is None:
            raise InapplicableError("the network has no `generate`, so there are no generated samples to judge")
        with torch.no_grad():
            made = generate(n, torch.Generator().manual_seed(0))
        return features_of(subject, part), made.reshape(n, -1).cpu().numpy()
    return answers.targets, answers.answer


def features_of(subject: Subject, part: str) -> np.ndarray:
    """Return what reaches the network's body, flat (n, features) float32; token ids as they are. Computed once."""
    return subject.once(f"features {part}", lambda: _features(subject, part))


@torch.no_grad()
def _features(subject: Subject, part: str) -> np.ndarray:
    chunks = [subject.network.preprocess(chunk).cpu() for chunk in subject.answers(part).inputs.split(512)]
    flat: np.ndarray = torch.cat(chunks).flatten(1).numpy()
    return flat


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Per-sample parts of a score: it is 1 - sum(wrong) / sum(possible).

    Attributes:
        wrong: Error of each sample (n,).
        possible: What it is measured by (n,).
    """

    wrong: np.ndarray
    possible: np.ndarray


def errors(task: Task, targets: np.ndarray, answer: np.ndarray) -> Errors:
    """Return the per-sample parts of `stats.metrics.score`, for paired comparisons.

    Raises:
        ValueError: A task whose score is no ratio of sums (clustering, generation).
    """
    n = len(answer)
    if task.kind in ("binary", "multiclass"):
        return Errors((answer.argmax(-1) != targets).astype(float), np.ones(n))
    if task.kind == "sequence-labelling":
        kept = targets != IGNORED
        return Errors(((answer.argmax(-1) != targets) & kept).sum(1).astype(float), kept.sum(1).astype(float))
    if task.kind == "multilabel":
        called, true = answer > 0.5, targets > 0.5
        return Errors((called ^ true).sum(1).astype(float), (called.sum(1) + true.sum(1)).astype(float))
    if task.kind not in ("regression", "reconstruction"):
        raise ValueError(
            f"got a task of kind {task.kind!r}; expected one whose score is a ratio of sums over samples. "
            "Compare its scores themselves."
        )
    t, a = targets.reshape(n, -1).astype(float), answer.reshape(n, -1).astype(float)
    spread = (t - t.mean(0)) ** 2
    # R2 is averaged over columns, explained variance is taken over all of them together.
    scale = np.where(spread.sum(0) > 0, spread.sum(0), np.inf) if task.kind == "regression" else np.ones(t.shape[1])
    return Errors(((t - a) ** 2 / scale).sum(1), (spread / scale).sum(1))


def score_from(wrong: np.ndarray, possible: np.ndarray) -> float:
    """Return the score that per-sample errors add up to; 0 where nothing was possible."""
    total = float(possible.sum())
    return 1 - float(wrong.sum()) / total if total > 0 else 0.0


def score_difference(one: Errors, other: Errors) -> Estimate:
    """Return the score of one minus the other on the same samples.

    Where each sample is right or wrong the interval is Bonett and Price's, else a paired bootstrap.
    """
    if _right_or_wrong(one) and _right_or_wrong(other):
        only_one, only_other = (one.wrong < other.wrong).sum(), (one.wrong > other.wrong).sum()
        return paired_difference_of_proportions(int(only_one), int(only_other), len(one.wrong))

    def difference(*parts: np.ndarray) -> float:
        return score_from(parts[0], parts[1]) - score_from(parts[2], parts[3])

    return bootstrap(difference, one.wrong, one.possible, other.wrong, other.possible)


def share_removed(one: Errors, other: Errors) -> Estimate:
    """Return which share of the other's shortfall from a perfect score the one removes, with a paired bootstrap.

    1 is perfect, 0 no better, below 0 worse.

    Raises:
        InapplicableError: The other is perfect, so that nothing can be removed.
    """
    if score_from(other.wrong, other.possible) >= 1:
        raise InapplicableError("answering every sample alike is already perfect on these samples")

    def share(*parts: np.ndarray) -> float:
        left = 1 - score_from(parts[2], parts[3])
        return (score_from(parts[0], parts[1]) - 1 + left) / left if left > 0 else float("nan")

    removed = bootstrap(share, one.wrong, one.possible, other.wrong, other.possible)
    if _right_or_wrong(one) and one.wrong.sum() == 0:
        # No resample of a perfect score has an error: its uncertainty is that of the score.
        low = proportion(len(one.wrong), len(one.wrong)).low
        left = 1 - score_from(other.wrong, other.possible)
        return removed.replace(low=min(removed.low, (low - 1 + left) / left), method="Wilson")
    return removed


def _right_or_wrong(one: Errors) -> bool:
    return bool((one.possible == 1).all() and np.isin(one.wrong, (0.0, 1.0)).all())


def sample_losses(subject: Subject, part: str) -> np.ndarray | None:
    """Return each sample's loss (n,): nats for classes, squared error in units of the training variance otherwise.

    None for clustering and generation, whose losses are no property of single samples.
    """
    kind = subject.task.kind
    if kind in ("clustering", "generation"):
        return None
    pair = scored(subject, part)
    if kind in ("regression", "reconstruction"):
        n = len(pair.targets)
        train = scored(subject, "train").targets
        variance = train.reshape(len(train), -1).astype(float).var(0)
        squared = (pair.targets.reshape(n, -1).astype(float) - pair.answer.reshape(n, -1)) ** 2
        if kind == "reconstruction":
            # Features that hardly vary would outweigh all others by their own variance.
            return np.asarray(squared.sum(1) / max(float(variance.sum()), 1e-30))
        kept = variance > 0
        losses: np.ndarray = (squared[:, kept] / variance[kept]).mean(1) if kept.any() else squared.mean(1)
        return losses
    return negative_log_likelihood(pair.targets, pair.answer)
