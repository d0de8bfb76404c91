"""Asks which features the answers rest on."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from equipoise.core.estimate import Estimate, Line, exact
from equipoise.core.figure import Bars, Figure, Gallery, Table
from equipoise.core.finding import Finding
from equipoise.core.signature import ImageInput, InputSpec, SoundInput, TextInput
from equipoise.data.tiles import tile
from equipoise.examine.conclude import conclude
from equipoise.examine.explanation.groups import Groups, groups_of
from equipoise.examine.explanation.importance import Importance, permuted, words_hidden
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.examine.wording import percent_bracketed
from equipoise.examine.workload import affordable, drawn, seconds_per_sample
from equipoise.stats.intervals import bootstrap, mean

_CARD = Card(
    id="feature-use",
    theme="explanation",
    title="Which features do the answers rest on?",
    why=(
        "A network that answers from a single feature has often found a leak: an identifier, a date, a mark in the "
        "corner of every picture of one class. Features that it never uses cost money to collect. And whoever must "
        "defend an answer has to know what it rests on."
    ),
    how=(
        "Each feature of the test samples is swapped among the samples, which keeps its values and breaks its tie to "
        "the rest, and the rise of the loss is measured for each sample (negative log likelihood; for regression "
        "squared error over the target's variance; for clustering the divergence of the assignment). A feature is a "
        "column, a patch of pixels, a stretch of sound, a feature of an array; in texts, each frequent word is "
        "replaced by the unknown word. Rises carry Student t intervals. The share of all rises that the strongest "
        "feature causes is judged, with a bootstrap interval, and so is how much answers move when whole inputs are "
        "swapped."
    ),
    verdicts=(
        "pass: the strongest feature causes at most 90 % of the rise, and answers depend on the input. warn: more "
        "than 90 %, a hint at a leak or a shortcut; one feature may rightly decide, so this alone never fails: say so "
        "in the plan's claims. fail: answers that hardly depend on the input at all. unsure: an interval crosses its "
        "line."
    ),
    may_help=("drop a leaking feature", "feature-selection", "dropout", "more data"),
    sources=(
        "L. Breiman, Random forests, Machine Learning 2001 (permutation importance)",
        "A. Fisher, C. Rudin and F. Dominici, All models are wrong, but many are useful, Journal of Machine Learning "
        "Research 2019",
        "M. D. Zeiler and R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014 (occlusion)",
        "R. Geirhos et al., Shortcut learning in deep neural networks, Nature Machine Intelligence 2020",
    ),
    lines={
        "top_share": Line(warn=0.9, fail=1.0),
        "input_dependence": Line(warn=0.02, fail=0.001, worse="below"),
    },
)

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class FeatureUse:
    """Ask which features the network uses, and whether one dominates.

    Attributes:
        repeats: Times each feature is swapped, fewer when there are many.
        words: At most so many of the commonest words of texts.
        samples: At most so many test samples.
    """

    repeats: int = 3
    words: int = 100
    samples: int = 500
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        n = min(self.samples, len(subject.part("test")))
        return 0.3 + 1.3 * n * self._passes(subject) * seconds_per_sample(subject)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The task has to use everything, there is one feature only, or answers are not finite.
        """
        spec = subject.splits.signature.inputs
        if subject.task.kind in ("reconstruction", "generation"):
            raise InapplicableError(f"{subject.task.kind} has to use every feature, so none can stand out")
        groups = None if isinstance(spec, TextInput) else groups_of(spec)
        if groups is not None and len(groups.names) < 2:
            raise InapplicableError(f"there is one {groups.thing} only, so none can stand out")
        count = affordable(subject, context, passes=self._passes(subject), most=self.samples)
        inputs, targets = subject.part("test").batch(drawn(len(subject.part("test")), count, context.generator))
        truth = targets.cpu().numpy()
        if groups is None and isinstance(spec, TextInput):
            found = words_hidden(subject.network, inputs, truth, spec, self.words, context.generator)
        else:
            places = groups_of(spec)
            found = permuted(subject.network, inputs, truth, places, self._times(places), context.generator)
        if len(found.names) < 2:
            raise InapplicableError("the test part has fewer than two features that differ between samples")
        return _finding(found, spec, groups, inputs, context)

    def _passes(self, subject: Subject) -> int:
        spec = subject.splits.signature.inputs
        if isinstance(spec, TextInput):
            return 2 + min(self.words, spec.length)
        groups = groups_of(spec)
        return 2 + self._times(groups) * len(groups.names)

    def _times(self, groups: Groups) -> int:
        return max(1, min(self.repeats, 64 // len(groups.names)))


def _finding(found: Importance, spec: InputSpec, groups: Groups | None, inputs: Tensor, context: Context) -> Finding:
    rises = found.rises.mean(0)
    order = [int(k) for k in np.argsort(-rises, kind="stable")]
    top = order[0]
    dependence = mean(found.dependence)
    estimates = {
        "input_dependence": dependence.replace(low=max(0.0, dependence.low)),
        "features": exact(len(found.names), unit="features"),
        "unused_features": exact(int((~found.used).sum()), unit="features"),
    }
    claim = f"The answers do not gain from any of {len(found.names)} features, n = {len(inputs):,}"
    if rises[top] > 0:
        share = _top_share(found.rises, top)
        estimates["top_share"] = share
        claim = (
            f"{found.names[top]} causes {percent_bracketed(share, 0)} of the rise in loss when "
            f"features are swapped, n = {share.n:,}; {_used(found)}"
        )
    each = {found.names[k]: mean(found.rises[:, k], unit=found.unit) for k in order[:_SHOWN]}
    estimates |= {f"rise_from_{name}": one for name, one in each.items()}
    clear = [name for name, one in each.items() if one.low > 0]
    unused = [name for name, used in zip(found.names, found.used, strict=True) if not used]
    return conclude(
        _CARD,
        claim + ".",
        estimates,
        context.lines,
        where=clear or [found.names[top]],
        figures=(*_pictures(found, spec, groups, inputs), _bars(each, found.unit), _table(each, unused)),
        assumptions=(
            "Swapping makes combinations that may never occur; features that say the same share their importance.",
            *found.notes,
        ),
    )


def _top_share(rises: np.ndarray, top: int) -> Estimate:
    def share(drawn_rises: np.ndarray) -> float:
        means = drawn_rises.mean(0).clip(min=0.0)
        total = float(means.sum())
        return float(means[top]) / total if total > 0 else float("nan")

    return bootstrap(share, rises, repeats=600).replace(method="bootstrap over samples")


def _used(found: Importance) -> str:
    used, count = int(found.used.sum()), len(found.names)
    return f"{used} of {count} features change any answer"


def _pictures(found: Importance, spec: InputSpec, groups: Groups | None, inputs: Tensor) -> tuple[Figure, ...]:
    """Return the heat map over an image or a sound: importance of each place beside the mean or the first sample."""
    if groups is None or not isinstance(spec, (ImageInput, SoundInput)):
        return ()
    worth = torch.zeros(len(groups.names), dtype=torch.float64)
    worth[list(found.places)] = torch.from_numpy(found.rises.mean(0)).clamp(min=0.0)
    heat = worth[groups.of]
    if isinstance(spec, ImageInput):
        shown = tile(
            spec, inputs.float().mean(0), "mean test image; red: the answers rest on it", overlay=heat / spec.channels
        )
    else:
        shown = tile(spec, inputs[0], "one recording; red: the answers rest on it", overlay=heat)
    return (Gallery(title="Where the answers look", tiles=(shown,)),)


def _bars(each: dict[str, Estimate], unit: str) -> Bars:
    return Bars(
        title="Rise of the loss when a feature is swapped",
        value_label=unit,
        labels=tuple(each),
        values=tuple(one.value for one in each.values()),
        low=tuple(one.low for one in each.values()),
        high=tuple(one.high for one in each.values()),
    )


def _table(each: dict[str, Estimate], unused: list[str]) -> Table:
    rows = [(name, f"{one.value:.4f} [{one.low:.4f}, {one.high:.4f}]") for name, one in each.items()]
    shown = ", ".join(unused[:_SHOWN]) + (f" and {len(unused) - _SHOWN} more" if len(unused) > _SHOWN else "")
    return Table(
        title="Features by importance",
        columns=("feature", "rise of the loss"),
        rows=(*rows, ("never used", shown or "none")),
    )
