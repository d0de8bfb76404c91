"""Asks how much of a network's score survives random noise on its inputs."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Curves, Series, Tile
from equipoise.core.finding import Finding
from equipoise.core.signature import InputSpec, Task
from equipoise.data.tiles import tile
from equipoise.examine.change import (
    Credits,
    area_weights,
    credits_on,
    mean_credits,
    need_skill,
    retained,
    score_interval,
    yardstick,
)
from equipoise.examine.conclude import conclude
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.raw_scale import standard_deviations, within_range
from equipoise.examine.subject import Subject
from equipoise.examine.wording import percent_bracketed
from equipoise.examine.workload import affordable, drawn, seconds_per_sample

_CARD = Card(
    id="input-noise",
    theme="noise",
    title="Does it stand random noise on its inputs?",
    why=(
        "Sensors hiss, people round, and the next camera is not the one the data came from. A network that has learned "
        "the thing itself loses its score slowly as noise grows; one that leans on fine detail loses it at once. Noise "
        "is also the cheapest stand-in for every disturbance that nobody thought of."
    ),
    how=(
        "Gaussian noise is added to the raw test inputs at rising levels, in units of each feature's standard "
        "deviation over the training part (a channel's for images; categories of a table stay as they are, images and "
        "sounds stay within their range). Each level is drawn several times. The number judged is the mean height of "
        "the score over the levels, divided by the clean score: 1 means that noise takes nothing. Its interval comes "
        "from a bootstrap that resamples the same samples at every level together, so that it measures the loss and "
        "not the luck of the test part."
    ),
    verdicts=(
        "pass: at least 70 % of the score survives on average up to noise half as large as the signal. warn: "
        "less. fail: less than half. unsure: the interval crosses the warning line."
    ),
    may_help=("noise-training", "denoising", "weight-decay", "deep-ensemble"),
    sources=(
        "C. M. Bishop, Training with noise is equivalent to Tikhonov regularization, Neural Computation 1995",
        "D. Hendrycks and T. Dietterich, Benchmarking neural network robustness to common corruptions and "
        "perturbations, ICLR 2019",
        "N. Ford, J. Gilmer, N. Carlini and E. D. Cubuk, Adversarial examples are a natural consequence of test error "
        "in noise, ICML 2019",
    ),
    lines={"score_kept": Line(warn=0.7, fail=0.5, worse="below")},
)


@dataclass(frozen=True, slots=True)
class InputNoise:
    """Ask how much of the score survives Gaussian noise.

    Attributes:
        levels: Noise levels in standard deviations of the inputs, rising, the first 0; these are judged.
        beyond: Louder levels that are only shown.
        draws: Noise draws a level.
        samples: At most so many test samples.
    """

    levels: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    beyond: tuple[float, ...] = (0.75, 1.0)
    draws: int = 3
    samples: int = 1000
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        n = min(self.samples, len(subject.part("test")))
        return 0.5 + 1.2 * n * self._passes() * seconds_per_sample(subject)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The inputs are token ids or categories only, the network has no score to lose, or noise
                makes its answers other than numbers.
        """
        spec = subject.splits.signature.inputs
        scale = standard_deviations(subject, context.generator)
        count = affordable(subject, context, passes=self._passes(), most=self.samples)
        index = drawn(len(subject.part("test")), count, context.generator)
        inputs, raw_targets = subject.part("test").batch(index)
        against = yardstick(subject.network, inputs, raw_targets.cpu().numpy())
        curve = [credits_on(subject.network, inputs, against)]
        need_skill(curve[0], against)
        every = (*self.levels, *self.beyond)
        for level in every[1:]:
            noisy = [_noisy(inputs, scale, level, spec, context.generator) for _ in range(self.draws)]
            curve.append(mean_credits([credits_on(subject.network, one, against) for one in noisy]))
            _need_answers(curve[-1], level, len(inputs) * self.draws)
        scores = [score_interval(one) for one in curve]
        judged = curve[: len(self.levels)]
        kept = retained(judged, area_weights(self.levels)).replace(method="bootstrap over samples")
        loudest = _noisy(inputs, scale, self.levels[-1], spec, context.generator)
        return conclude(
            _CARD,
            _claim(kept, scores, self.levels, against.name),
            {"score_kept": kept, **_named(every, scores)},
            context.lines,
            worst_samples=_first_to_fall(subject.task, spec, inputs, loudest, judged, self.levels[-1]),
            figures=(_figure(every, scores, against.name),),
            assumptions=(
                "Noise of separate features is independent; real disturbances often are not.",
                "The score is not corrected for chance: a network that knows little has little to lose.",
            ),
        )

    def _passes(self) -> int:
        return 1 + self.draws * (len(self.levels) + len(self.beyond) - 1)


def _need_answers(under: Credits, level: float, n: int) -> None:
    if under.unanswered:
        raise InapplicableError(
            f"under noise of {level:g} standard deviations the answers to {under.unanswered:,} of {n:,} inputs are not "
            "finite, so there is no score to compare; see input-scale and data-quality"
        )


def _noisy(inputs: Tensor, scale: Tensor, level: float, spec: InputSpec, generator: torch.Generator) -> Tensor:
    noise = torch.randn(inputs.shape, generator=generator).to(inputs.device)
    return within_range(inputs + level * scale.to(inputs.device) * noise, spec)


def _claim(kept: Estimate, scores: list[Estimate], levels: tuple[float, ...], name: str) -> str:
    return (
        f"Under noise of up to {levels[-1]:g} standard deviations it keeps {percent_bracketed(kept, 0)} of its {name} "
        f"on average, n = {kept.n:,}: {scores[0].value:.3f} without noise, "
        f"{scores[1].value:.3f} at {levels[1]:g}, {scores[len(levels) - 1].value:.3f} at {levels[-1]:g}."
    )


def _named(levels: tuple[float, ...], scores: list[Estimate]) -> dict[str, Estimate]:
    return {f"score_at_{level:g}": score for level, score in zip(levels, scores, strict=True)}


def _figure(levels: tuple[float, ...], scores: list[Estimate], name: str) -> Curves:
    series = Series(
        name=name,
        x=levels,
        y=tuple(one.value for one in scores),
        low=tuple(one.low for one in scores),
        high=tuple(one.high for one in scores),
    )
    return Curves(
        title="Score against noise",
        x_label="noise (standard deviations of the inputs)",
        y_label=name,
        series=(series,),
        lines={"without noise": scores[0].value},
    )


def _first_to_fall(
    task: Task, spec: InputSpec, inputs: Tensor, noisy: Tensor, curve: list[Credits], level: float
) -> tuple[Tile, ...]:
    """Return up to six samples that lose most over the curve, each beside its noisy copy."""
    lost = [(curve[0].gained - one.gained).sum(1) for one in curve[1:]]
    total = np.sum(lost, axis=0)
    order = np.argsort(-total, kind="stable")[:6]
    tiles: list[Tile] = []
    for k in (int(one) for one in order if total[one] > 0):
        fate = (
            f"wrong at {np.mean([one[k] > 0 for one in lost]):.0%} of the noise levels"
            if task.classifies
            else "loses most"
        )
        shown = tile(spec, inputs[k], f"{fate}; noise {level:g}")
        tiles.append(shown.replace(overlay=tile(spec, noisy[k], "").picture) if shown.picture else shown)
    return tuple(tiles)
