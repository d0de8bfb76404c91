"""What is examined: a network with its data and, when it was trained here, its fit."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

from equipoise.core.plan import Plan
from equipoise.core.signature import Task
from equipoise.data.samples import Samples, Splits
from equipoise.fit.fitted import Fit
from equipoise.networks.network import Network

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network under examination. Never changed: questions work on copies.

    Attributes:
        network: The network, in evaluation mode.
        splits: Its data.
        fit: The fit that made it, or None for a network trained elsewhere.
        limit: At most so many samples of a part are looked at (drawn once, the same for every question).
    """

    network: Network
    splits: Splits
    fit: Fit | None = None
    limit: int = 4000
    _cache: dict[str, "Answers"] = field(default_factory=dict)
    _made: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """What is predicted."""
        return self.splits.signature.task

    @property
    def plan(self) -> Plan | None:
        """The plan, when the network was trained by one."""
        return self.fit.plan if self.fit else None

    def part(self, name: str) -> Samples:
        """Return the part called `train`, `validation` or `test`."""
        return self.splits.part(name)

    def answers(self, part: str) -> "Answers":
        """Return inputs, targets and the network's answers on (at most `limit` samples of) a part; computed once."""
        if part not in self._cache:
            self._cache[part] = _answers(self, part)
        return self._cache[part]

    @property
    def made(self) -> frozenset[str]:
        """The keys of what `once` has made so far."""
        return frozenset(self._made)

    def once(self, key: str, make: Callable[[], Made]) -> Made:
        """Return what `make` returns, made at the first call with this key and shared by all questions.

        It must not depend on who asks: no generator, budget or lines of one question may enter it.
        """
        if key not in self._made:
            self._made[key] = make()
        made: Made = self._made[key]
        return made


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What the network said about some samples.

    Attributes:
        inputs: Raw inputs (n, ...), a torch tensor.
        targets: Targets as in `data.samples.Samples`, numpy.
        scores: The body's scores, numpy.
        answer: Probabilities or user's units, numpy; binary and multiclass (n, classes).
        index: Position of each sample in its part, numpy int64.
    """

    inputs: torch.Tensor
    targets: np.ndarray
    scores: np.ndarray
    answer: np.ndarray
    index: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Index of the most probable class along the last axis."""
        predicted: np.ndarray = self.answer.argmax(-1)
        return predicted


@torch.no_grad()
def _answers(subject: Subject, part: str) -> Answers:
    samples = subject.part(part)
    n = len(samples)
    index = torch.arange(n)
    if n > subject.limit:
        index = torch.randperm(n, generator=torch.Generator().manual_seed(n))[: subject.limit].sort().values
    inputs: list[torch.Tensor] = []
    targets: list[torch.Tensor] = []
    scores: list[torch.Tensor] = []
    answer: list[torch.Tensor] = []
    for chunk in index.split(512):
        batch_inputs, batch_targets = samples.batch(chunk)
        batch_scores = subject.network.scores(batch_inputs)
        inputs.append(batch_inputs)
        targets.append(batch_targets)
        scores.append(batch_scores)
        answer.append(subject.network.head.answer(batch_scores))
    return Answers(
        inputs=torch.cat(inputs),
        targets=torch.cat(targets).cpu().numpy(),
        scores=torch.cat(scores).cpu().numpy(),
        answer=torch.cat(answer).cpu().numpy(),
        index=index.numpy(),
    )
