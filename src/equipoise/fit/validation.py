"""How good the network is on the validation part, at a moment of the training."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from equipoise.core.signature import Task
from equipoise.data.samples import Samples
from equipoise.fit.bodies import GenerativeBody
from equipoise.fit.feed import Part
from equipoise.fit.objectives import Objective
from equipoise.fit.seeds import derive
from equipoise.networks.network import Network
from equipoise.stats.metrics import score

BATCH = 512
"""Samples of a batch in evaluation."""

JUDGED = 1000
"""Most samples of each kind, real and made, that judge a generator."""


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """The validation part with everything needed to judge a network on it.

    Attributes:
        part: The validation part.
        truth: Its targets as in `Samples`.
        network: The network that is trained.
        objective: The loss, in float32; the same as in training, with its class weights and label smoothing.
        seed: Seed of the fit.
    """

    part: Part
    truth: np.ndarray
    network: Network
    objective: Objective
    seed: int

    @torch.no_grad()
    def judge(self) -> tuple[float, float]:
        """Return loss and score (higher is better); the network is left in evaluation mode.

        The score is `stats.metrics.score`; while a clustering network is trained, it is the explained variance of the
        reconstruction, since the clusters are found afterwards.
        """
        network, n = self.network, len(self.truth)
        restored = network.signature.task.kind in ("reconstruction", "clustering")
        network.eval()
        draws = torch.Generator(self.part.device).manual_seed(derive(self.seed, "validation"))
        self.part.announce(torch.arange(n))
        whole = [None] if n <= BATCH else list(torch.arange(n, device=self.part.device).split(BATCH))
        losses: list[Tensor] = []
        seen: list[Tensor] = []
        answers: list[Tensor] = []
        for index in whole:
            features, targets = self.part.take(index)
            loss, scores = self.objective(features, targets, draws)
            losses.append(loss * len(features))
            answers.append(scores if restored else network.head.answer(scores))
            if self.part.restores:
                seen.append(features)
        loss = float(torch.stack(losses).sum()) / n
        return loss, self._score(seen, answers, draws) if np.isfinite(loss) else float("nan")

    def _score(self, seen: list[Tensor], answers: list[Tensor], draws: torch.Generator) -> float:
        task = self.network.signature.task
        if task.kind == "generation":
            real = torch.cat(seen)[:JUDGED]
            made = cast(GenerativeBody, self.network.body).generate(len(real), draws)
            return score(task, _numbers(real), _numbers(made))
        if self.part.restores:
            return score(Task(kind="reconstruction"), _numbers(torch.cat(seen)), _numbers(torch.cat(answers)))
        return score(task, self.truth, _numbers(torch.cat(answers)))


def all_targets(samples: Samples) -> Tensor:
    """Return the targets of all samples, on the CPU."""
    targets = getattr(samples, "targets", None)
    if isinstance(targets, Tensor):
        return targets.cpu()
    return torch.cat([samples.batch(index)[1].cpu() for index in torch.arange(len(samples)).split(BATCH)])


def _numbers(values: Tensor) -> np.ndarray:
    numbers: np.ndarray = values.float().cpu().numpy()
    return numbers
