"""What a treatment must improve: the score, or what the question that it answers is about."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equipoise.core.signature import Task
from equipoise.data.corruptions import applicable, corrupt
from equipoise.data.samples import take
from equipoise.examine.question import InapplicableError
from equipoise.examine.raw_scale import standard_deviations, within_range
from equipoise.examine.subject import Subject
from equipoise.fit.fitted import Fit
from equipoise.fit.temperature import best_temperature
from equipoise.fit.validation import BATCH, all_targets
from equipoise.networks.network import answers
from equipoise.stats.metrics import negative_log_likelihood, score, score_name

NOISE, SEVERITY = 0.3, 0.5
"""Standard deviations of noise, and severity of disturbances, under which a network is scored: the middle of what the
questions ask."""

SAMPLES = 1000
"""Most samples that are disturbed."""

FOLDS = 10
"""Parts of the validation part that are each judged with the temperature that the others choose."""

SCORED = ("binary", "multiclass", "multilabel", "regression")
"""Tasks whose targets and answers give a score without more."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What a trial is decided by instead of the score.

    Attributes:
        name: What it is, in a few words.
        read: Reads it off a network on a part of its data; higher is better.
    """

    name: str
    read: Callable[[Fit, str], float]

    def on_validation(self, done: Fit) -> float:
        """Return it for the validation part, on which trials are decided."""
        return self.read(done, "validation")

    def on_test(self, done: Fit) -> float:
        """Return it for the test part, which is read once, at the end of a course."""
        return self.read(done, "test")


def aim_of(question: str, task: Task) -> Aim | None:
    """Return what treatments for a finding must improve, or None where that is the score itself."""
    if task.kind not in SCORED:
        return None
    if question == "calibration" and task.kind != "regression":
        return Aim("log likelihood (nats)", log_likelihood)
    if question == "input-noise":
        return Aim(f"{score_name(task)} under noise", score_under_noise)
    if question == "corruption":
        return Aim(f"{score_name(task)} under disturbances", score_under_disturbances)
    return None


def log_likelihood(done: Fit, part: str) -> float:
    """Return the mean log likelihood of the true classes, a proper score that rewards honest probabilities.

    A temperature was fitted on the validation part, where it can do no harm; so there, each tenth of the samples is
    judged with the temperature that the others choose.
    """
    if part == "validation" and "temperature" in done.plan.finish:
        return _with_other_temperatures(done)
    told = Subject(done.network, done.splits, done).answers(part)
    return -float(negative_log_likelihood(told.targets, told.answer).mean())


@torch.no_grad()
def _with_other_temperatures(done: Fit) -> float:
    samples, kind = done.splits.validation, done.splits.signature.task.kind
    chunks = torch.arange(len(samples)).split(BATCH)
    scores = torch.cat([done.network.scores(samples.batch(chunk)[0]) for chunk in chunks]).double()
    targets, fold_of = all_targets(samples), torch.arange(len(samples)) % FOLDS
    head = copy.deepcopy(done.network.head)
    losses: list[np.ndarray] = []
    for fold in fold_of.unique():
        here = fold_of == fold
        head.get_buffer("temperature").fill_(best_temperature(scores[~here], targets[~here], kind))
        losses.append(negative_log_likelihood(targets[here].numpy(), head.answer(scores[here]).numpy()))
    return -float(np.concatenate(losses).mean())


def score_under_noise(done: Fit, part: str) -> float:
    """Return the score with Gaussian noise of `NOISE` standard deviations on every input; NaN where none fits them."""
    subject, generator = Subject(done.network, done.splits, done), torch.Generator().manual_seed(done.seed)
    spec = subject.splits.signature.inputs
    try:
        scale = standard_deviations(subject, generator)
    except InapplicableError:
        return float("nan")
    inputs, targets, _ = take(subject.part(part), SAMPLES, generator)
    noise = torch.randn(inputs.shape, generator=generator)
    return _score(subject, within_range(inputs + NOISE * scale * noise, spec), targets)


def score_under_disturbances(done: Fit, part: str) -> float:
    """Return the mean score over all disturbances of the kind of input; NaN where none is known."""
    subject, generator = Subject(done.network, done.splits, done), torch.Generator().manual_seed(done.seed)
    spec, numbers = subject.splits.signature.inputs, subject.splits.preprocessing
    inputs, targets, _ = take(subject.part(part), SAMPLES, generator)
    scores = [
        _score(subject, corrupt(inputs, name, SEVERITY, spec, numbers, generator), targets) for name in applicable(spec)
    ]
    return float(np.mean(scores)) if scores else float("nan")


def _score(subject: Subject, inputs: Tensor, targets: Tensor) -> float:
    answer = answers(subject.network, inputs).cpu().numpy()
    return score(subject.task, targets.cpu().numpy(), answer) if np.isfinite(answer).all() else float("nan")
