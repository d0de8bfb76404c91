"""What a loss does, found out by calling it on outputs made up for the purpose: any callable will do."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from equipoise.examine.probes.loss_aim import aims_at_targets
from equipoise.examine.probes.loss_forms import FORMS, Accepts, Domain, Form, points
from equipoise.examine.probes.task import Task, aligned, as_outputs, canonical

Loss = Callable[[Tensor, Tensor], Tensor]
Below = Literal["finite", "flat", "not finite", "error"]

DOMAINS: tuple[Domain, ...] = ("real", "unit", "simplex")
_ROWS, _POINTS, _BATCH = 5, 8, 16
_SAME = 2e-3


@dataclass(frozen=True, slots=True)
class LossBehaviour:
    """What a loss does with outputs and targets of the shapes at hand.

    Attributes:
        form: The usual name of the loss, or `unknown`.
        accepts: What it wants: logits, probabilities, log-probabilities or values.
        sign: 1 when it falls as outputs approach their targets, -1 when it rises (training goes away from them), 0 when
            it does not depend on the outputs or that cannot be told.
        normalises: Whether it brings rows of outputs to sum 1 itself, by division.
        below_zero: What happens to outputs below zero: `finite`, `flat` (clipped: no gradient), `not finite` or
            `error`.
        mixes_samples: Whether what one sample's output should be depends on another sample's target.
        indifferent: Whether its value does not depend on the outputs at all.
        summed: Whether it grows with the number of samples.
        at_targets: Whether it is least, or greatest, where outputs are their targets: else the targets mean something
            that only the loss knows.
    """

    form: str
    accepts: Accepts
    sign: int
    normalises: bool
    below_zero: Below
    mixes_samples: bool
    indifferent: bool
    summed: bool
    at_targets: bool = True


UNKNOWN = LossBehaviour("unknown", "unknown", 0, False, "finite", False, False, False, at_targets=False)
"""A loss that cannot be asked: its outputs or targets have a structure that only it knows."""


def loss_behaviour(loss: Loss, outputs: Tensor, targets: Tensor, task: Task) -> LossBehaviour:
    """Return what a loss does, by experiment on synthetic outputs for real targets.

    One sample's outputs are moved while the others rest, so weights of classes and samples, reductions and constant
    penalties only stretch or shift what is compared with the formulas.

    Args:
        loss: Maps (outputs, targets) to a scalar.
        outputs: Outputs (n, ...) of the network, for their shape and type.
        targets: Targets (n, ...) of the same samples.
        task: What the targets show; see `task_of`.
    """
    if task.kind == "opaque" or len(outputs) != len(targets) or outputs.dim() == 0:
        return UNKNOWN
    bench = _bench(loss, outputs, targets, task)
    profiles = {domain: bench.profiles(domain) for domain in DOMAINS}
    form = _form(bench, profiles)
    below = bench.below_zero()
    usable = next((domain for domain in DOMAINS if profiles[domain] is not None), None)
    mixes, sign = usable is not None and bench.mixes(usable), bench.sign(form)
    # A loss that broadcasts is a broken one of its kind.
    broadcasts = mixes and outputs.shape != targets.shape and outputs.numel() == targets.numel()
    return LossBehaviour(
        form=form.name if form else "unknown",
        accepts=form.accepts if form else _accepted(bench, below),
        sign=sign,
        normalises=bench.normalises(),
        below_zero=below,
        mixes_samples=mixes,
        indifferent=all(one is None or float(one.values.std(1).max()) < 1e-9 for one in profiles.values()),
        summed=bench.summed(),
        at_targets=form is not None or broadcasts or aims_at_targets(bench.call, bench.dense, task, sign),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Profiles:
    """Loss as a sample's outputs move: values (rows, points), and the outputs tried (points, positions, columns)."""

    values: Tensor
    tried: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    loss: Loss
    like: Tensor
    targets: Tensor
    dense: Tensor | None
    task: Task
    rows: tuple[int, ...]

    def generator(self) -> torch.Generator:
        """Return a fresh generator, so that every experiment sees the same points."""
        return torch.Generator().manual_seed(0)

    def call(self, values: Tensor, targets: Tensor | None = None) -> float:
        """Return the loss of outputs in the canonical layout; NaN when it raises."""
        outputs = as_outputs(self.task, values.to(self.like.device), self.like)
        try:
            torch.manual_seed(0)  # a loss may draw numbers of its own: the same at every call
            with torch.no_grad():
                return float(self.loss(outputs, (self.targets if targets is None else targets).clone()))
        except Exception:  # whatever the user's loss raises
            return math.nan

    def shape(self) -> tuple[int, int, int]:
        """Return samples, positions and columns."""
        n, positions, columns = canonical(self.task, self.like).shape
        return n, positions, columns

    def filler(self, domain: Domain) -> Tensor:
        """Return outputs of all samples inside a domain."""
        return points(domain, self.shape(), self.generator())

    def profiles(self, domain: Domain, targets: Tensor | None = None, most: int = _ROWS) -> _Profiles | None:
        """Return the loss over points tried for each of a few samples, or None where it is not finite."""
        filler = self.filler(domain)
        tried = points(domain, (_POINTS, *self.shape()[1:]), self.generator().manual_seed(1))
        if domain == "real" and self.task.kind == "values" and self.targets.numel():
            # Next to large targets a square looks like a line.
            tried = tried * max(1.0, float(self.targets.double().square().mean().sqrt()))
        rows = self.rows[:most]
        values = torch.empty(len(rows), _POINTS, dtype=torch.float64)
        for place, row in enumerate(rows):
            for k in range(_POINTS):
                outputs = filler.clone()
                outputs[row] = tried[k]
                values[place, k] = self.call(outputs, targets)
                if not math.isfinite(float(values[place, k])):
                    return None
        return _Profiles(values, tried)

    def below_zero(self) -> Below:
        """Return what the loss does with outputs that are all below zero."""
        outputs = as_outputs(self.task, -self.filler("unit").to(self.like.device), self.like).requires_grad_()
        try:
            value = self.loss(outputs, self.targets.clone())
            (gradient,) = torch.autograd.grad(value, outputs, allow_unused=True)
        except Exception:  # whatever the user's loss raises
            return "error"
        if not bool(torch.isfinite(value).all()) or (gradient is not None and not bool(gradient.isfinite().all())):
            return "not finite"
        return "flat" if gradient is None or not bool(gradient.any()) else "finite"

    def normalises(self) -> bool:
        """Whether scaling each row of positive outputs changes nothing."""
        filler = self.filler("unit")
        if filler.shape[-1] < 2:
            return False
        scale = 0.5 + torch.rand(len(filler), 1, 1, generator=self.generator(), dtype=torch.float64)
        return _close(self.call(filler * 0.4), self.call(filler * 0.4 * scale))

    def shift_invariant(self) -> bool:
        """Whether adding a number to each row of outputs changes nothing: it applies softmax itself."""
        filler = self.filler("real")
        shift = torch.randn(len(filler), 1, 1, generator=self.generator(), dtype=torch.float64)
        return filler.shape[-1] > 1 and _close(self.call(filler), self.call(filler + shift))

    def of_difference(self) -> bool:
        """Whether the loss depends on the difference of outputs and targets alone."""
        if not self.targets.is_floating_point():
            return False
        filler = self.filler("real")
        shifts = (0.37, -1.3)
        return all(_close(self.call(filler), self.call(filler + by, self.targets + by)) for by in shifts)

    def sign(self, form: Form | None) -> int:
        """Return 1 when outputs near their targets cost less than outputs near others' targets, -1 when more."""
        if self.dense is None:
            return 0
        right, wrong = self.dense, self.dense.roll(1, 0)
        for shift in range(2, len(self.dense)):
            if not torch.equal(right, wrong):
                break
            wrong = self.dense.roll(shift, 0)
        if self.task.kind != "values" and not (form and form.accepts == "values"):
            two = self.task.kind in ("binary", "multilabel") and self.task.high > self.task.low
            low, span = (self.task.low, self.task.high - self.task.low) if two else (0.0, 1.0)
            right, wrong = (0.05 + 0.9 * (one - low) / span for one in (right, wrong))
            if not self.task.categorical and torch.equal(right, wrong):
                wrong = 1 - right
            if self.task.categorical:
                right, wrong = (one / one.sum(-1, keepdim=True) for one in (right, wrong))
        good, bad = self.call(right), self.call(wrong)
        if not (math.isfinite(good) and math.isfinite(bad)) or _close(good, bad):
            return 0
        return 1 if good < bad else -1

    def mixes(self, domain: Domain) -> bool:
        """Whether other samples' targets change how the loss depends on one sample's outputs."""
        row = self.rows[0]
        swapped = self.targets.clone()
        others = [k for k in range(len(swapped)) if k != row]
        if not others:
            return False
        # All of them get one target, so that their mean changes whatever they were.
        known = self.targets[others]
        target = next((one for one in self.targets if not bool((known == one).all())), self.targets[row] + 1)
        swapped[others] = target
        before, after = self.profiles(domain, most=1), self.profiles(domain, swapped, most=1)
        if before is None or after is None:
            return False
        return _affine(before.values[0], after.values[0])[0] > _SAME

    def summed(self) -> bool:
        """Whether the loss of everything twice is twice the loss."""
        filler = self.filler("simplex")
        twice = _Bench(
            self.loss,
            torch.cat([self.like, self.like]),
            torch.cat([self.targets, self.targets]),
            None,
            self.task,
            self.rows,
        )
        once, both = self.call(filler), twice.call(torch.cat([filler, filler]))
        return math.isfinite(both) and not _close(once, both) and _close(2 * once, both)


def _bench(loss: Loss, outputs: Tensor, targets: Tensor, task: Task) -> _Bench:
    """Choose a few samples whose targets differ, and put them first."""
    flat = targets.detach().double().reshape(len(targets), -1)
    order: list[int] = []
    seen: set[tuple[float, ...]] = set()
    for k in range(len(flat)):
        key = tuple(flat[k].tolist())
        if key not in seen:
            seen.add(key)
            order.append(k)
    order += [k for k in range(len(flat)) if k not in set(order)]
    picked = torch.tensor(order[:_BATCH], dtype=torch.long)
    like, chosen = outputs.detach()[picked], targets.detach()[picked]
    if like.dtype in (torch.float16, torch.bfloat16):
        like = like.float()  # too coarse to tell formulas apart
    rows = tuple(range(min(_ROWS, len(picked))))
    return _Bench(loss, like, chosen, aligned(task, like, chosen), task, rows)


def _form(bench: _Bench, profiles: Mapping[Domain, _Profiles | None]) -> Form | None:
    """Return the formula that describes the loss best, if any does."""
    distances = [(_distance(bench, profiles[one.domain], one), place) for place, one in enumerate(FORMS)]
    best, place = min(distances)
    return FORMS[place] if best < _SAME else None


def _distance(bench: _Bench, seen: _Profiles | None, form: Form) -> float:
    """Return how far the loss of the samples tried is from a formula's value, stretched and shifted, at worst.

    0 is the formula itself; infinity when it is out of the question, as when samples are stretched in both directions.
    """
    if seen is None or bench.dense is None:
        return math.inf
    if form.domain == "unit" and form.accepts == "values" and not 0 <= bench.task.low <= bench.task.high <= 1:
        return math.inf  # on one side of every target a hinge looks like an absolute error
    slopes: list[float] = []
    worst = 0.0
    for place, row in enumerate(bench.rows):
        expected = form.formula(seen.tried, bench.dense[row].to(seen.tried.device).expand_as(seen.tried)).mean(-1)
        distance, slope = _affine(expected, seen.values[place])
        worst = max(worst, distance)
        if slope is not None:
            slopes.append(slope)
    one_way = bool(slopes) and (min(slopes) > 0 or max(slopes) < 0)
    return worst if one_way else math.inf


def _affine(base: Tensor, seen: Tensor) -> tuple[float, float | None]:
    """Return how far `seen` is from a + b * base, relative to its range, and b; None for b when both are constant."""
    centred, moved = base - base.mean(), seen - seen.mean()
    noise = 1e-6 * float(seen.abs().max()) + 1e-12
    still, flat = float(moved.abs().max()) < noise, float(centred.abs().max()) < 1e-9
    if still or flat:
        return (0.0 if still and flat else math.inf), None
    slope = float(centred @ moved / (centred @ centred))
    residual = float((moved - slope * centred).abs().max())
    return max(0.0, residual - noise) / float(moved.abs().max()), slope


def _accepted(bench: _Bench, below: Below) -> Accepts:
    """Return what a loss without a known formula wants, told by its symmetries."""
    if bench.shift_invariant():
        return "logits"
    if bench.of_difference():
        return "values"
    if below != "finite":
        return "probabilities"
    return "unknown"


def _close(one: float, other: float) -> bool:
    return math.isfinite(one) and math.isfinite(other) and abs(one - other) <= 1e-5 * max(abs(one), abs(other), 1e-6)
