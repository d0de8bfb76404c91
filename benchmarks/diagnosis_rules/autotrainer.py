"""The rules of AutoTrainer (Zhang et al., ICSE 2021), thresholds as published: classifiers only.

At the end of every third epoch (every epoch of trainings shorter than twelve) the gradients on the first batch, the
curves, and once half of the epochs are over the outputs of the layers are looked at; the first problem ends the run.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from benchmarks.diagnosis_programs import Subject
from benchmarks.diagnosis_rules import watching
from benchmarks.diagnosis_rules.watching import EpochEnd, Loop, Seen
from benchmarks.diagnosis_rules.words import Cause, cause, silent, verdict
from torch import Tensor

BETA_1, BETA_2, BETA_3 = 1e-3, 1e-4, 70.0
"""Vanishing: ratio of the first to the last gradient norm, and the first one itself; exploding: the ratio."""
GAMMA = 0.7
"""Dying ReLU: share of gradients that are zero."""
ZETA, ETA = 0.03, 0.2
"""Oscillation: distance of successive extremes of the accuracy, and in how many of the epochs."""
DELTA, THETA = 0.01, 0.7
"""Slow convergence: best gain of an epoch, and the accuracy that is good enough."""
OMEGA_1, OMEGA_2 = 10.0, 1.0
"""Abnormal data: mean output of a layer; improper activation: sum of a row of outputs, less 0.1."""
LARGE_LOSS = 1e3
START = 0.3
"""Share of the epochs after which the curves are looked at."""
CHECK_EVERY, SHORT = 3, 12

PRIORITY = {"abnormal_data": 3, "activation_issue": 3, "loss_issue": 3, "vanish": 2, "explode": 2, "relu": 2}


@dataclass(slots=True)
class Monitor:
    """What AutoTrainer remembers between epochs."""

    given: Subject
    losses: list[float] = field(default_factory=list)
    held_losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    held_scores: list[float] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    looked_inside: bool = False
    problems: list[Cause] = field(default_factory=list)

    def at_end(self, now: EpochEnd, loop: Loop) -> bool:
        """Look at an epoch, and return whether a problem was found."""
        self.losses.append(now.loss)
        self.held_losses.append(now.validation_loss)
        self.scores.append(now.accuracy)
        self.held_scores.append(now.validation_accuracy)
        gap = 1 if self.given.epochs < SHORT else CHECK_EVERY
        if now.epoch % gap:
            return False
        calls = self._inside(now.epoch, loop)
        if calls is not None:
            self._outputs(calls)
        self._gradients(loop)
        self._curves(gap)
        self._pairing(loop)
        found = self._problems(calls is not None)
        most = max((PRIORITY.get(name, 1) for name in found), default=0)
        for name in found:
            if PRIORITY.get(name, 1) == most:
                self.problems.append(cause("autotrainer", name, self._where(name, loop), f"epoch {now.epoch + 1}"))
        return bool(self.problems)

    def _inside(self, epoch: int, loop: Loop) -> list[Seen] | None:
        """Return the outputs of the layers on the first batch, where AutoTrainer would compute them."""
        half = epoch >= 0.5 * self.given.epochs and not self.looked_inside
        if not (half or self.seen & {"abnormal loss", "nan loss", "no gain"}):
            return None
        self.looked_inside |= half
        return watching.forward(loop.network, self.given.train[0][: self.given.batch_size])

    def _outputs(self, calls: list[Seen]) -> None:
        *hidden, last = [one.output for one in calls]
        if float(last.abs().reshape(len(last), -1).sum(1).max()) > OMEGA_2 + 0.1:
            self.seen.add("activation")
        large = any(float(one.abs().mean()) >= OMEGA_1 for one in hidden)
        if large and "activation" not in self.seen:
            self.seen.add("abnormal output")

    def _gradients(self, loop: Loop) -> None:
        size = self.given.batch_size
        found = watching.gradients(self.given, loop.network, (self.given.train[0][:size], self.given.train[1][:size]))
        if not all(bool(torch.isfinite(one).all()) for one in found.values()):
            self.seen.add("nan gradient")
            return
        kernels = [one for one in found.values() if one.dim() > 1]
        first, last = float(kernels[0].norm()), float(kernels[-1].norm())
        ratio = first / last if last else float("inf") if first else float("nan")
        if ratio < BETA_1 and first < BETA_2:
            self.seen.add("vanish")
        if ratio > BETA_3:
            self.seen.add("explode")
        every: Tensor = torch.cat([one.flatten() for one in found.values()])
        if float((every == 0).float().mean()) >= GAMMA:
            self.seen.add("relu")
        if not all(bool(torch.isfinite(one).all()) for one in loop.network.parameters()):
            self.seen.add("nan weight")

    def _curves(self, gap: int) -> None:
        every = torch.tensor([*self.losses, *self.held_losses])
        if not bool(torch.isfinite(every).all()) or float(every.max()) >= LARGE_LOSS:
            self.seen.add("nan loss")
            return
        if float(every.min()) < 0:
            self.seen.add("abnormal loss")
        if len(self.losses) < START * self.given.epochs - gap:
            return
        if oscillates(self.scores):
            self.seen.add("unstable")
        if max(self.scores) < THETA and max(self.held_scores) < THETA:
            self.seen.add("not good")
        if best_gain(self.scores) < DELTA and best_gain(self.held_scores) < DELTA:
            self.seen.add("no gain")

    def _pairing(self, loop: Loop) -> None:
        """Compare the last activation, the loss and the number of outputs with the table; losses of one's own pass."""
        name = self.given.loss_name
        kind = next((one for one in ("binary", "categorical", "mean") if one in name), "")
        if not kind or watching.takes_logits(name):
            return
        calls = watching.forward(loop.network, self.given.train[0][:2])
        width = calls[-1].output.shape[-1]
        if not ((width == 1 and kind == "binary") or (width > 1 and kind == "categorical")):
            self.seen.add("improper loss")
            return
        wanted = {"binary": "Sigmoid", "categorical": "Softmax"}[kind]
        if calls[-1].kind != wanted:
            self.seen.add("activation")

    def _problems(self, looked: bool) -> list[str]:
        seen, found = self.seen, []
        bad_numbers = seen & {"nan weight", "nan gradient"}
        if not looked:
            return ["explode"] if "nan loss" in seen and bad_numbers else []
        if "abnormal output" in seen:
            found.append("abnormal_data")
        if "abnormal loss" in seen:
            found.append("loss_issue")
        elif "nan loss" in seen and bad_numbers:
            found.append("explode")
        if seen & {"not good", "no gain"}:
            found += self._why_not_converged()
        if "unstable" in seen:
            found.append("activation_issue" if "activation" in seen else "unstable")
        if "improper loss" in seen and "activation" not in seen:
            found.append("loss_issue")
        return list(dict.fromkeys(found))

    def _why_not_converged(self) -> list[str]:
        if "activation" in self.seen:
            return ["activation_issue"]
        for name in ("relu", "explode", "vanish"):
            if name in self.seen:
                return [name]
        slow = {"not good", "no gain"} <= self.seen and "abnormal output" not in self.seen
        return ["not_converge"] if slow else []

    def _where(self, name: str, loop: Loop) -> str:
        """Return the place that its repair would change; most of its repairs name none."""
        if name == "activation_issue":
            return f"layer:{watching.forward(loop.network, self.given.train[0][:2])[-1].name}"
        return {"loss_issue": "loss", "abnormal_data": "inputs"}.get(name, "")


def oscillates(scores: list[float]) -> bool:
    """Return whether successive extremes of a curve lie far apart in many of the epochs."""
    middle = range(1, len(scores) - 1)
    highs = [scores[i] for i in middle if scores[i] >= scores[i - 1] and scores[i] >= scores[i + 1]]
    lows = [scores[i] for i in middle if scores[i] <= scores[i - 1] and scores[i] <= scores[i + 1]]
    return sum(high - low >= ZETA for high, low in zip(highs, lows, strict=False)) >= ETA * len(scores)


def best_gain(scores: list[float]) -> float:
    """Return the largest gain from one epoch to the next, at least 0."""
    return max([after - before for before, after in pairwise(scores)] + [0.0])


def judge(given: Subject) -> dict[str, Any]:
    """Return what AutoTrainer finds in a training."""
    if not watching.classifies(given.train[1]):
        return silent("AutoTrainer judges classifiers only")
    monitor = Monitor(given)
    watching.train(given, monitor.at_end)
    return verdict(monitor.problems)
