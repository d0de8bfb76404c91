"""Asks whether what reaches the first learned layer has a scale that a network can learn from."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Table
from equipoise.core.finding import Finding
from equipoise.core.preprocessing import TableNumbers
from equipoise.core.signature import TextInput
from equipoise.examine.conclude import conclude
from equipoise.examine.data.data_quality import column_names
from equipoise.examine.data.first_layer import encoded_names, in_play, moments_of, what_reaches
from equipoise.examine.data.moments import Moments, decades_from_one, of_moments, offset_in_deviations
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject

MOST_SAMPLES = 1000
MOST_COLUMNS = 64
"""Columns of which a condition number is taken: those of largest and of smallest spread, half each."""

_CARD = Card(
    id="input-scale",
    theme="data",
    title="Does what the network sees have a scale to learn from?",
    why=(
        "Gradient descent takes steps of one size in all directions. Where one feature is in thousands and another in "
        "thousandths, or all lie far from 0, the step that is right for the one is useless for the other, and training "
        "crawls or blows up however the step size is chosen. Unscaled inputs are among the commonest faults of real "
        "training programs."
    ),
    how=(
        "On at most 1,000 training samples: what is given to the first layer with weights (after pre-processing and "
        "any normalising layer), and the raw inputs for comparison. Columns of a table, channels of images and "
        "features of sequences are looked at one by one; all values of a sound together; constants and 0/1 flags are "
        "left out. `decades_from_one`: the powers of ten between 1 and the root mean square of the worst feature. "
        "`offset`: |mean| over standard deviation of the worst feature. `conditioning_lost`: powers of ten by which "
        "the condition number of the second moments would shrink if every column were standardised. Intervals come "
        "from a bootstrap over samples. A fixed range such as [-1, 1] is not asked for: standardised data leave it."
    ),
    verdicts=(
        "pass: every feature within a factor of 10 of 1, at most 3 deviations from 0, and at most 2 decades of "
        "conditioning to gain. unsure: an interval reaches across a line. warn: beyond one of these. fail: beyond a "
        "factor of 100, 30 deviations, or 4 decades."
    ),
    may_help=("standardise-inputs", "batch-norm", "take logarithms of skewed columns"),
    sources=(
        "Y. LeCun, L. Bottou, G. B. Orr and K.-R. Müller, Efficient BackProp, Neural Networks: Tricks of the Trade, "
        "1998",
        "S. Wiesler and H. Ney, A convergence analysis of log-linear training, NeurIPS 2011",
        "E. Schoop, F. Huang and B. Hartmann, UMLAUT: debugging deep learning programs using program structure and "
        "model behavior, CHI 2021 (whose range rule is not used)",
    ),
    lines={
        "decades_from_one": Line(warn=1.0, fail=2.0),
        "offset": Line(warn=3.0, fail=30.0),
        "conditioning_lost": Line(warn=2.0, fail=4.0),
    },
)


@dataclass(frozen=True, slots=True)
class InputScale:
    """Ask how well scaled the inputs of the first learned layer are."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return 0.2 + min(MOST_SAMPLES, len(subject.part("train"))) * 3e-4

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: Token ids have no scale, nor have features that are all 0/1 flags or constants.
        """
        spec = subject.splits.signature.inputs
        if isinstance(spec, TextInput):
            raise InapplicableError("token ids are looked up, so they have no scale")
        inputs = subject.answers("train").inputs[:MOST_SAMPLES]
        path, given = what_reaches(subject, inputs)
        if not given.is_floating_point():
            raise InapplicableError("the first layer looks numbers up, so they have no scale")
        given = given[given.flatten(1).isfinite().all(1)]
        if len(given) < 2:
            raise InapplicableError("fewer than 2 training samples reach the first layer as finite numbers")
        numbers = subject.splits.preprocessing.inputs
        missing = numbers.missing if isinstance(numbers, TableNumbers) else ()
        everything = moments_of(given, spec, encoded_names(spec, missing))
        kept = in_play(given, everything)
        if not kept.any():
            raise InapplicableError("every feature is constant or a 0/1 flag, so there is no scale to judge")
        moments = everything.only(kept)
        estimates = {
            "decades_from_one": of_moments(decades_from_one, moments).replace(unit="decades"),
            "offset": of_moments(offset_in_deviations, moments).replace(unit="standard deviations"),
        }
        if given.ndim == 2 and 2 <= len(moments.names) <= len(given) // 2:
            estimates["conditioning_lost"] = _conditioning_lost(given.cpu().double().numpy()[:, kept])
        raw = _raw_moments(subject, inputs)
        if raw is not None:
            estimates["raw_decades_from_one"] = of_moments(decades_from_one, raw).replace(unit="decades")
            estimates["raw_offset"] = of_moments(offset_in_deviations, raw).replace(unit="standard deviations")
        return conclude(
            self.card,
            _claim(moments, estimates, path),
            estimates,
            context.lines,
            where=_where(moments),
            figures=(_table(moments, "What reaches the first learned layer"), *_raw_table(raw)),
            assumptions=(f"What reaches `{path}` is what is learned from; 0/1 flags and constants are left out.",),
        )


def _raw_moments(subject: Subject, inputs: Tensor) -> Moments | None:
    spec = subject.splits.signature.inputs
    filled = inputs.double()
    known = filled.isfinite()
    if not known.all():
        # Gaps get their column's mean, which leaves its mean as it is and shrinks its spread a little.
        means = torch.where(known, filled, 0.0).sum(0) / known.sum(0).clamp_min(1)
        filled = torch.where(known, filled, means)
    moments = moments_of(filled, spec, column_names(spec, filled.shape[1]))
    kept = in_play(filled, moments)
    return moments.only(kept) if kept.any() else None


def _conditioning_lost(columns: np.ndarray, repeats: int = 40) -> Estimate:
    """Return by how many decades standardising each column would shrink the condition number of second moments."""
    if columns.shape[1] > MOST_COLUMNS:
        order = np.argsort(columns.std(0), kind="stable")
        columns = columns[:, np.concatenate([order[: MOST_COLUMNS // 2], order[-MOST_COLUMNS // 2 :]])]
    value = _lost(columns)
    rng = np.random.default_rng(0)
    n = len(columns)
    spread = 1.96 * float(np.std([_lost(columns[rng.integers(0, n, n)]) for _ in range(repeats)]))
    return Estimate(
        value=value, low=value - spread, high=value + spread, n=n, unit="decades", method="bootstrap standard error"
    )


def _lost(columns: np.ndarray) -> float:
    deviations = columns.std(0)
    kept = deviations > 0
    scaled = (columns[:, kept] - columns[:, kept].mean(0)) / deviations[kept]
    return max(0.0, _condition(columns[:, kept]) - _condition(scaled))


def _condition(columns: np.ndarray) -> float:
    """Return the decades between the largest and the smallest eigenvalue of second moments that rounding leaves."""
    if columns.shape[1] == 0:
        return 0.0
    values = np.linalg.eigvalsh(columns.T @ columns / len(columns))
    largest = float(values[-1])
    kept = values[values > 1e-12 * largest]
    return float(np.log10(largest / kept[0])) if largest > 0 and len(kept) else 0.0


def _claim(moments: Moments, estimates: dict[str, Estimate], path: str) -> str:
    size = np.sqrt(moments.second.mean(0))
    large, small = int(size.argmax()), int(size.argmin())
    offset = estimates["offset"].value
    if len(size) == 1:
        claim = (
            f"What reaches `{path}` has root mean square {size[0]:.3g} and mean {offset:.2f} standard deviations from 0"
        )
    else:
        claim = (
            f"The {len(size):,} features that reach `{path}` have root mean squares from {size[small]:.3g} "
            f"({moments.names[small]}) to {size[large]:.3g} ({moments.names[large]}), and means at most {offset:.2f} "
            "standard deviations from 0"
        )
    lost = estimates.get("conditioning_lost")
    claim += f"; standardising them would gain {lost.value:.1f} decades of conditioning" if lost else ""
    raw = estimates.get("raw_decades_from_one")
    return claim + (f". Raw, the worst is {raw.value:.1f} decades from 1." if raw else ".")


def _where(moments: Moments) -> tuple[str, ...]:
    size, offset = np.sqrt(moments.second.mean(0)), np.abs(moments.mean) / np.maximum(moments.deviation, 1e-12)
    far = np.abs(np.log10(np.maximum(size, 1e-15)))
    order = np.argsort(-np.maximum(far, offset / 3), kind="stable")[:10]
    return tuple(
        f"{moments.names[k]} (root mean square {size[k]:.3g}, offset {offset[k]:.2g})"
        for k in order
        if far[k] > 1 or offset[k] > 3
    )


def _table(moments: Moments, title: str) -> Table:
    far = np.abs(np.log10(np.maximum(np.sqrt(moments.second.mean(0)), 1e-15)))
    order = np.argsort(-far, kind="stable")[:15]
    rows = tuple((moments.names[k], f"{moments.mean[k]:.4g}", f"{moments.deviation[k]:.4g}") for k in order)
    return Table(title=title, columns=("feature", "mean", "standard deviation"), rows=rows)


def _raw_table(raw: Moments | None) -> tuple[Table, ...]:
    return (_table(raw, "Raw inputs, farthest from 1 first"),) if raw else ()
