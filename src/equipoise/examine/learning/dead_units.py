"""Asks which units say the same whatever comes in."""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Bars, Table
from equipoise.core.finding import Finding
from equipoise.examine.activations import Activity, listen
from equipoise.examine.conclude import conclude
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.examine.wording import percent_bracketed
from equipoise.examine.workload import drawn, seconds_per_sample

_CARD = Card(
    id="dead-units",
    theme="learning",
    title="Are there units that never fire?",
    why=(
        "A rectifier whose input is negative for every sample outputs 0, receives no gradient and never comes back: "
        "the network pays for a unit that it does not have. A few are normal. Many mean that the learning rate was "
        "too high, the inputs unscaled or the biases badly set, and that a smaller network would do the same."
    ),
    how=(
        "Every activation of the trained network is caught, as a module or as a plain function call, for samples of "
        "the training and the test part. A unit (a channel of a convolution, a feature of anything else) is dead when "
        "its output is the same for every sample and at every position: 0 for a rectifier, any constant for others. "
        "Units are counted, not elements: a healthy rectifier is 0 for half of the samples. Only silence on all "
        "samples counts, so more samples can only wake units: the upper end of the interval is the count itself, the "
        "lower end leaves out those expected to wake if as many samples again were seen (from the units that fired "
        "exactly once or twice, with twice the square root of the first on top)."
    ),
    verdicts=(
        "pass: at most 25 % of all units are dead and no layer has lost half of its units. warn: more. fail: more than "
        "half of all units, or nine tenths of one layer. unsure: the interval crosses a warning line."
    ),
    may_help=(
        "lower-step",
        "he-initialisation",
        "leaky-relu",
        "gelu",
        "batch-norm",
        "standardise-inputs",
        "capacity-down",
    ),
    sources=(
        "X. Glorot, A. Bordes and Y. Bengio, Deep sparse rectifier neural networks, AISTATS 2011",
        "L. Lu, Y. Shin, Y. Su and G. E. Karniadakis, Dying ReLU and initialization: theory and numerical examples, "
        "Communications in Computational Physics 2020",
        "I. J. Good and G. H. Toulmin, The number of new species, and the increase in population coverage, when a "
        "sample is increased, Biometrika 1956",
    ),
    lines={"dead_share": Line(warn=0.25, fail=0.5), "worst_layer": Line(warn=0.5, fail=0.9)},
)


@dataclass(frozen=True, slots=True)
class DeadUnits:
    """Ask which units are silent or constant on every sample.

    Attributes:
        samples: At most so many samples of each of the two parts.
        batch: Samples a forward pass.
        tolerance: A unit is constant when its output varies by less than this, relative to the largest of its layer.
    """

    samples: int = 1000
    batch: int = 128
    tolerance: float = 1e-4
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        n = sum(min(self.samples, len(subject.part(part))) for part in ("train", "test"))
        return 0.2 + 4 * n * seconds_per_sample(subject)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network has no units whose outputs can be seen.
        """
        layers: dict[tuple[str, str], _Layer] = {}
        network = copy.deepcopy(subject.network).eval()
        n = 0
        for part in ("train", "test"):
            samples = subject.part(part)
            index = drawn(len(samples), self.samples, context.generator)
            n += len(index)
            for chunk in index.split(self.batch):
                inputs, _ = samples.batch(chunk)
                listen(network, inputs, lambda one: _note(layers, one, self.tolerance))
        counted = _without_doubles(layers)
        if not counted:
            raise InapplicableError("no activation or recurrent state of this network can be seen from outside")
        return _finding(counted, n, context)


@dataclass(slots=True, eq=False)
class _Layer:
    """Running record of a layer (units,): what its units said first, how often anything else, how often not 0."""

    resting: Tensor
    tolerance: float
    awake: Tensor
    fired: Tensor

    def counts(self) -> tuple[int, int, int, int]:
        """Return units, dead ones, and those that only one or only two samples woke."""
        dead = self.awake == 0
        # A rectifier that only the first sample woke differs from it in all others, but fired once.
        rare = torch.minimum(self.awake, torch.where(self.fired > 0, self.fired, self.awake))
        return len(dead), int(dead.sum()), int((~dead & (rare == 1)).sum()), int((~dead & (rare == 2)).sum())


def _note(layers: dict[tuple[str, str], _Layer], one: Activity, tolerance: float) -> None:
    low, high = one.values.amin(2), one.values.amax(2)
    key = (one.layer, one.function)
    if key not in layers:
        scale = tolerance * float(one.values.abs().max())
        nobody = torch.zeros(low.shape[1], dtype=torch.int64, device=low.device)
        layers[key] = _Layer(low[0].clone(), scale, nobody, nobody.clone())
    layer = layers[key]
    if low.shape[1] == len(layer.resting):
        away = ((low - layer.resting).abs() > layer.tolerance) | ((high - layer.resting).abs() > layer.tolerance)
        layer.awake += away.sum(0)
        layer.fired += ((low.abs() > layer.tolerance) | (high.abs() > layer.tolerance)).sum(0)


def _without_doubles(layers: dict[tuple[str, str], _Layer]) -> dict[str, _Layer]:
    """Return one record a layer and function, without gates and without candidates whose states are there."""
    states = {layer for layer, function in layers if function == "state"}
    kept: dict[str, _Layer] = {}
    for (layer, function), record in layers.items():
        if function.startswith("gate:") or (layer in states and function in ("tanh", "relu")):
            continue
        kept[f"{layer} ({function})"] = record
    return kept


def _share(units: int, dead: int, once: int, twice: int, n: int) -> Estimate:
    """Return the share of dead units; its lower end leaves out those that as many samples again should wake."""
    waking = max(0.0, once - twice) + 2 * once**0.5
    low = max(0.0, dead - waking)
    return Estimate(value=dead / units, low=low / units, high=dead / units, n=n, method="Good-Toulmin")


def _finding(layers: dict[str, _Layer], n: int, context: Context) -> Finding:
    counts = {name: layer.counts() for name, layer in layers.items()}
    shares = {name: _share(*count, n) for name, count in counts.items()}
    units, dead, once, twice = (sum(count[k] for count in counts.values()) for k in range(4))
    total = _share(units, dead, once, twice, n)
    by_share = sorted(shares, key=lambda name: -shares[name].value)
    worst = by_share[0]
    claim = f"{dead} of {units} units ({percent_bracketed(total)}) say the same for all {n:,} samples"
    claim += f"; most in {worst}: {counts[worst][1]} of {counts[worst][0]}." if dead else "."
    return conclude(
        _CARD,
        claim,
        {"dead_share": total, "worst_layer": shares[worst], **{f"dead_in_{name}": shares[name] for name in shares}},
        context.lines,
        where=[f"{name}: {counts[name][1]} of {counts[name][0]}" for name in by_share if counts[name][1]],
        figures=(_bars(shares), _table(counts, shares)),
        assumptions=("The samples are like those that will come: a unit silent on them may answer to others.",),
    )


def _bars(shares: dict[str, Estimate]) -> Bars:
    return Bars(
        title="Dead units by layer",
        value_label="share of units that say the same for every sample",
        labels=tuple(shares),
        values=tuple(one.value for one in shares.values()),
        low=tuple(one.low for one in shares.values()),
        high=tuple(one.high for one in shares.values()),
    )


def _table(counts: dict[str, tuple[int, int, int, int]], shares: dict[str, Estimate]) -> Table:
    return Table(
        title="Units by layer",
        columns=("layer", "units", "dead", "share", "woken by one sample only"),
        rows=tuple(
            (name, str(units), str(dead), percent_bracketed(shares[name]), str(once))
            for name, (units, dead, once, _) in counts.items()
        ),
    )
