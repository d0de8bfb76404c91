"""Asks which units sit at the flat ends of their activation."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
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
from equipoise.networks.network import Network
from equipoise.stats.intervals import mean, proportion

_CARD = Card(
    id="saturated-units",
    theme="learning",
    title="Are units stuck at the flat ends of their activation?",
    why=(
        "Far from 0 a sigmoid or tanh is flat: its gradient there is nearly 0, so a saturated unit learns nothing and "
        "lets nothing through to the layers before it. A unit that is saturated now this way, now that way acts as a "
        "switch, which a trained network may well want; one that always sits at the same end tells nothing at all. "
        "Both come from unscaled inputs, too large weights or a too high learning rate."
    ),
    how=(
        "Every sigmoid, tanh and the like of the trained network is caught, as a module or as a plain function call, "
        "and the gates inside LSTM and GRU layers are worked out from their weights. An output is saturated when it "
        "lies within 5 % of its range of an asymptote (a sigmoid below 0.05 or above 0.95, a tanh beyond 0.9), where "
        "the slope is below a fifth of its largest. The share of saturated outputs is averaged over samples (Student "
        "t interval). A unit is stuck when 95 % of its outputs lie at the same end, of a gate only the end that cuts "
        "its unit off; the interval of the share of stuck units follows from each unit's Wilson interval. Gates and "
        "the final output do not count in the share of outputs: a confident probability and an open gate are no fault."
    ),
    verdicts=(
        "pass: at most 20 % of the units are stuck and at most 80 % of the outputs saturated. warn: more. fail: more "
        "than half of the units are stuck or 95 % of the outputs saturated. unsure: an interval crosses its line."
    ),
    may_help=(
        "standardise-inputs",
        "glorot-initialisation",
        "batch-norm",
        "layer-norm",
        "relu",
        "lower-step",
        "weight-decay",
    ),
    sources=(
        "X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward neural networks, "
        "AISTATS 2010",
        "A. Rakitianskaia and A. Engelbrecht, Measuring saturation in neural networks, IEEE SSCI 2015",
        "A. Karpathy, J. Johnson and L. Fei-Fei, Visualizing and understanding recurrent networks, ICLR workshop 2016",
    ),
    lines={"stuck_units": Line(warn=0.2, fail=0.5), "saturated_outputs": Line(warn=0.8, fail=0.95)},
)


@dataclass(frozen=True, slots=True)
class SaturatedUnits:
    """Ask which sigmoid, tanh and gate units are saturated.

    Attributes:
        margin: Distance from an asymptote, as a share of the activation's range, that counts as saturated.
        stuck: Share of a unit's outputs at one end from which on it counts as stuck.
        samples: At most so many samples of each of the two parts.
        batch: Samples a forward pass.
    """

    margin: float = 0.05
    stuck: float = 0.95
    samples: int = 500
    batch: int = 128
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        n = sum(min(self.samples, len(subject.part(part))) for part in ("train", "test"))
        return 0.2 + 6 * n * seconds_per_sample(subject)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network has no activation with two asymptotes.
        """
        layers: dict[tuple[str, str], _Layer] = {}
        heard: set[str] = set()
        network = copy.deepcopy(subject.network).eval()
        for part in ("train", "test"):
            samples = subject.part(part)
            for chunk in drawn(len(samples), self.samples, context.generator).split(self.batch):
                inputs, _ = samples.batch(chunk)
                _merge(layers, self._heard(network, inputs, heard))
        if not layers:
            functions = ", ".join(sorted(heard - {"output", "state"})) or "none that can be seen"
            raise InapplicableError(
                f"no hidden activation of this network has two flat ends (its activations: {functions}), so none can "
                "saturate"
            )
        return self._finding(layers, context)

    def _heard(self, network: Network, inputs: Tensor, heard: set[str]) -> dict[tuple[str, str], "_Layer"]:
        layers: dict[tuple[str, str], _Layer] = {}
        listen(network, inputs, lambda one: self._note(layers, heard, one))
        return layers

    def _note(self, layers: dict[tuple[str, str], "_Layer"], heard: set[str], one: Activity) -> None:
        heard.add(one.function)
        if one.bounds is None or one.final:
            return
        low, high = one.bounds
        reach = self.margin * (high - low)
        at_low = (one.values <= low + reach).double().mean(2)
        at_high = (one.values >= high - reach).double().mean(2)
        found = _Layer([at_low.cpu().numpy()], [at_high.cpu().numpy()], one.closed)
        key = (one.layer, one.function)
        # A cell called once a step is heard many times for the same samples.
        layers[key] = layers[key].beside(found) if key in layers else found

    def _finding(self, layers: Mapping[tuple[str, str], "_Layer"], context: Context) -> Finding:
        rows = {f"{layer} ({function})": (function, record) for (layer, function), record in layers.items()}
        outputs = [record.saturated() for function, record in rows.values() if not function.startswith("gate:")]
        stuck = {name: self._stuck(record) for name, (_, record) in rows.items()}
        units = {name: record.units for name, (_, record) in rows.items()}
        total = _pooled(list(stuck.values()), list(units.values()))
        estimates = {"stuck_units": total}
        claim = f"{percent_bracketed(total)} of {sum(units.values())} units are stuck at one end"
        if outputs:
            share = _bounded(mean(np.concatenate(outputs, axis=1).mean(1)))
            estimates["saturated_outputs"] = share
            claim += f", and {percent_bracketed(share)} of the outputs are saturated, n = {share.n:,}"
        saturated = {name: _bounded(mean(record.saturated().mean(1))) for name, (_, record) in rows.items()}
        order = sorted(stuck, key=lambda name: (-stuck[name].value, -saturated[name].value))
        return conclude(
            _CARD,
            claim + ".",
            estimates | {f"stuck_in_{name}": one for name, one in stuck.items()},
            context.lines,
            where=[f"{name}: {stuck[name].value:.0%} stuck" for name in order if stuck[name].value > 0],
            figures=(_bars(saturated), _table(stuck, saturated, units)),
            assumptions=("The samples are like those that will come.",),
        )

    def _stuck(self, record: "_Layer") -> Estimate:
        """Return the share of stuck units; the interval counts units whose own interval reaches or clears the line."""
        n, units = len(record.low_side()), record.units
        worst = np.zeros(units)
        if "low" in record.closed:
            worst = np.maximum(worst, record.low_side().mean(0))
        if "high" in record.closed:
            worst = np.maximum(worst, record.high_side().mean(0))
        own = [proportion(round(share * n), n) for share in worst]
        value = float((worst >= self.stuck).mean())
        low = sum(one.low >= self.stuck for one in own) / units
        high = sum(one.high >= self.stuck and one.value > 0 for one in own) / units
        return Estimate(value=value, low=min(low, value), high=max(high, value), n=n, method="Wilson a unit")


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """For each chunk of samples: share of a unit's outputs at its low and its high end, (n, units)."""

    low: list[np.ndarray]
    high: list[np.ndarray]
    closed: tuple[str, ...]
    calls: int = 1

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.low[0].shape[1])

    def beside(self, other: "_Layer") -> "_Layer":
        """Return the mean with another call on the same samples."""
        if other.low[0].shape != self.low[0].shape:
            return self
        k = self.calls
        low = (self.low[0] * k + other.low[0]) / (k + 1)
        high = (self.high[0] * k + other.high[0]) / (k + 1)
        return _Layer([low], [high], self.closed, k + 1)

    def low_side(self) -> np.ndarray:
        """Return the share of each sample's and unit's outputs at the low end, (n, units)."""
        return np.concatenate(self.low)

    def high_side(self) -> np.ndarray:
        """Return the share of each sample's and unit's outputs at the high end, (n, units)."""
        return np.concatenate(self.high)

    def saturated(self) -> np.ndarray:
        """Return the share of each sample's and unit's outputs at either end, (n, units)."""
        both: np.ndarray = self.low_side() + self.high_side()
        return both


def _merge(layers: dict[tuple[str, str], _Layer], chunk: Mapping[tuple[str, str], _Layer]) -> None:
    for key, found in chunk.items():
        if key not in layers:
            layers[key] = found
        elif layers[key].units == found.units:
            layers[key].low.extend(found.low)
            layers[key].high.extend(found.high)


def _pooled(shares: list[Estimate], units: list[int]) -> Estimate:
    weights = np.asarray(units) / sum(units)
    value, low, high = (
        float(np.dot(weights, [getattr(one, end) for one in shares])) for end in ("value", "low", "high")
    )
    return shares[0].replace(value=value, low=min(low, value), high=max(high, value))


def _bounded(share: Estimate) -> Estimate:
    return share.replace(low=max(0.0, share.low), high=min(1.0, share.high))


def _bars(saturated: Mapping[str, Estimate]) -> Bars:
    return Bars(
        title="Saturated outputs by layer",
        value_label="share of outputs at a flat end",
        labels=tuple(saturated),
        values=tuple(one.value for one in saturated.values()),
        low=tuple(one.low for one in saturated.values()),
        high=tuple(one.high for one in saturated.values()),
    )


def _table(stuck: Mapping[str, Estimate], saturated: Mapping[str, Estimate], units: Mapping[str, int]) -> Table:
    return Table(
        title="Saturation by layer",
        columns=("layer", "units", "stuck units", "saturated outputs"),
        rows=tuple(
            (
                name,
                str(units[name]),
                percent_bracketed(stuck[name]),
                percent_bracketed(saturated[name]),
            )
            for name in stuck
        ),
    )
