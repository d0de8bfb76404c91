"""Asks how much of a network's score survives the disturbances that its kind of input meets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Bars, Curves, Figure, Gallery, Series, Table
from equipoise.core.finding import Finding
from equipoise.core.preprocessing import Preprocessing
from equipoise.data.corruptions import applicable, corrupt
from equipoise.data.numbers import fit_numbers
from equipoise.data.tiles import tile
from equipoise.examine.change import Credits, Yardstick, credits_on, need_skill, retained, score_interval, yardstick
from equipoise.examine.conclude import conclude
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.examine.wording import percent, percent_bracketed
from equipoise.examine.workload import affordable, drawn, seconds_per_sample

_CARD = Card(
    id="corruption",
    theme="noise",
    title="Does it stand blur, gaps and the like?",
    why=(
        "A network is trained on clean data and used on whatever arrives: a blurred or compressed picture, a clipped "
        "or interrupted recording, a row with empty cells, a text with a misspelt word. A score on clean data says "
        "nothing about those, and networks of equal clean score differ widely on them."
    ),
    how=(
        "Every disturbance that makes sense for the kind of input is applied to the raw test inputs at several "
        "severities, from hardly visible to heavy. The number judged is the mean score over all disturbances and "
        "severities, divided by the clean score; its interval comes from a bootstrap that resamples the same samples "
        "under every disturbance together. Each disturbance has its own number and interval beside it."
    ),
    verdicts=(
        "pass: at least half of the score survives on average. warn: less. fail: less than 30 %. unsure: the interval "
        "crosses the warning line. The worst disturbance is named whatever the verdict."
    ),
    may_help=("noise-training", "erase", "brightness", "denoising", "deep-ensemble", "an input guard"),
    sources=(
        "D. Hendrycks and T. Dietterich, Benchmarking neural network robustness to common corruptions and "
        "perturbations, ICLR 2019",
        "R. Geirhos et al., Generalisation in humans and deep neural networks, NeurIPS 2018",
        "Y. Belinkov and Y. Bisk, Synthetic and natural noise both break neural machine translation, ICLR 2018",
    ),
    lines={"score_kept": Line(warn=0.5, fail=0.3, worse="below")},
)


@dataclass(frozen=True, slots=True)
class Corruption:
    """Ask how much of the score survives every applicable corruption.

    Attributes:
        severities: Severities in (0, 1], rising.
        samples: At most so many test samples.
    """

    severities: tuple[float, ...] = (0.2, 0.5, 0.8)
    samples: int = 1000
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        kinds = len(applicable(subject.splits.signature.inputs))
        n = min(self.samples, len(subject.part("test")))
        return 0.5 + n * kinds * len(self.severities) * (seconds_per_sample(subject) + 5e-5) + 0.1 * kinds

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: No corruption applies to the inputs, or the network has no score to lose.
        """
        spec = subject.splits.signature.inputs
        names = applicable(spec)
        if not names:
            raise InapplicableError(f"no disturbance is known for inputs of the kind {spec.kind!r}")
        passes = 1 + len(names) * len(self.severities)
        index = drawn(
            len(subject.part("test")),
            affordable(subject, context, passes=passes, most=self.samples),
            context.generator,
        )
        inputs, targets = subject.part("test").batch(index)
        against = yardstick(subject.network, inputs, targets.cpu().numpy())
        clean = credits_on(subject.network, inputs, against)
        need_skill(clean, against)
        score = score_interval(clean)
        found = {name: self._under(name, subject, inputs, against, context.generator) for name in names}
        kept = {name: _kept(clean, credits) for name, credits in found.items()}
        worst = sorted(kept, key=lambda name: kept[name].value)
        together = _kept(clean, [one for credits in found.values() for one in credits])
        return conclude(
            _CARD,
            _claim(together, worst[0], kept[worst[0]], against.name),
            {"score_kept": together, "clean_score": score, **{f"kept_under_{name}": kept[name] for name in worst}},
            context.lines,
            where=[f"{name}: keeps {percent(kept[name].value, 0)}" for name in worst],
            figures=(
                *_figures(self.severities, score, found, kept, worst, against.name),
                self._gallery(subject, inputs, names, context),
            ),
            assumptions=(
                "All disturbances and severities weigh the same in the mean.",
                _unanswered(found, len(inputs) * len(self.severities)),
                "The score is not corrected for chance: a network that knows little has little to lose.",
            ),
        )

    def _under(
        self, name: str, subject: Subject, inputs: Tensor, against: Yardstick, generator: torch.Generator
    ) -> list[Credits]:
        spec, numbers = subject.splits.signature.inputs, _numbers(subject)
        return [
            credits_on(subject.network, corrupt(inputs, name, severity, spec, numbers, generator), against)
            for severity in self.severities
        ]

    def _gallery(self, subject: Subject, inputs: Tensor, names: tuple[str, ...], context: Context) -> Gallery:
        spec, numbers = subject.splits.signature.inputs, _numbers(subject)
        severity = self.severities[len(self.severities) // 2]
        tiles = [tile(spec, inputs[0], "as it is")]
        for name in names:
            changed = corrupt(inputs[:1], name, severity, spec, numbers, context.generator)
            tiles.append(tile(spec, changed[0], f"{name} {severity:g}"))
        return Gallery(title=f"One sample under every disturbance, severity {severity:g}", tiles=tuple(tiles))


def _numbers(subject: Subject) -> Preprocessing:
    """Return the scale of the inputs; a network that brings its own pre-processing comes without."""
    splits = subject.splits
    fitted = splits.preprocessing.inputs.kind == splits.signature.inputs.kind
    return splits.preprocessing if fitted else fit_numbers(splits.train, splits.signature)


def _unanswered(found: Mapping[str, list[Credits]], n: int) -> str:
    counts = {name: sum(one.unanswered for one in credits) for name, credits in found.items()}
    told = ", ".join(f"{count:,} of {n:,} under {name}" for name, count in counts.items() if count)
    rule = "An answer that is not a number counts as wrong"
    return f"{rule}: {told}." if told else f"{rule}; there was none."


def _kept(clean: Credits, changed: list[Credits]) -> Estimate:
    weights = np.full(len(changed) + 1, 1 / len(changed))
    weights[0] = 0.0
    return retained([clean, *changed], weights, repeats=400).replace(method="bootstrap over samples")


def _claim(kept: Estimate, worst: str, under_worst: Estimate, name: str) -> str:
    return (
        f"Under disturbances it keeps {percent_bracketed(kept, 0)} of its {name} on average, n = {kept.n:,}; "
        f"worst is {worst}, which leaves {percent_bracketed(under_worst, 0)}."
    )


def _figures(
    severities: tuple[float, ...],
    clean: Estimate,
    found: Mapping[str, list[Credits]],
    kept: Mapping[str, Estimate],
    worst: list[str],
    name: str,
) -> tuple[Figure, ...]:
    scores = {one: [clean, *(score_interval(credits) for credits in found[one])] for one in worst}
    levels = (0.0, *severities)
    curves = Curves(
        title="Score against severity",
        x_label="severity",
        y_label=name,
        series=tuple(Series(name=one, x=levels, y=tuple(s.value for s in scores[one])) for one in worst),
    )
    bars = Bars(
        title="Share of the score kept under each disturbance",
        value_label="share of the clean score",
        labels=tuple(worst),
        values=tuple(kept[one].value for one in worst),
        low=tuple(kept[one].low for one in worst),
        high=tuple(kept[one].high for one in worst),
    )
    table = Table(
        title=f"{name} with its interval",
        columns=("disturbance", *(f"severity {level:g}" for level in levels)),
        rows=tuple((one, *(f"{s.value:.3f} [{s.low:.3f}, {s.high:.3f}]" for s in scores[one])) for one in worst),
    )
    return bars, curves, table
