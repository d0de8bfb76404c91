"""Batches in a fixed or sorted order: seen in the losses while training, or in the labels as they are shown."""

import math

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.sequential import spread
from equipoise.vitals.window import Window

BUFFER = 1024
"""So many of the last losses are kept to find a period in."""
SHORTEST = 8
"""Shortest period in sampled steps that is looked for."""


class FixedOrder:
    """The losses repeat themselves epoch after epoch, so batches come in a fixed order.

    The period is handed in, or chosen where losses so far correlate best with themselves; then only later losses count,
    so the choice costs nothing. Hypothesis: within an epoch, which loss comes when does not depend on the epoch before.
    Test: two fresh neighbouring epochs are correlated, after subtraction of the epoch-long running mean, under every
    circular shift of one against the other; shifts keep whatever autocorrelation there is. If order carries over, no
    shift comes first: that shift 0 does has chance 1 / period under the hypothesis. Betting half on it gives e-values
    (1 + period) / 2 or 1 / 2 whose product is a supermartingale (Vovk and Wang, Annals of Statistics 2021; circular
    shifts: Efron, 1982 and Harris, Neurons Behav. Data Anal. Theory 2020). The j-th period tried gets
    5e-4 / (j (j + 1)).
    A fixed order only does harm when batches differ: the alarm also asks that, over an epoch, the middle 80 % of the
    losses spread by over half their median; less is `unsure`.
    Source: Bottou, Curiously fast convergence of some stochastic gradient descent algorithms, 2009 (shuffling).
    """

    name = "fixed-order"
    faults = ("no_shuffle",)

    def __init__(self, period: int | None = None) -> None:
        """Make a detector.

        Args:
            period: Sampled steps an epoch, or None when unknown.
        """
        self._given = period
        self._period = period or 0
        self._tried = 1 if period else 0
        self._log_evidence = 0.0
        self._seen = np.empty(0)
        self._next_choice = 64
        self._fresh = np.empty(0)
        self._count = 0
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when a fixed order is established."""
        losses = window.loss[np.isfinite(window.loss)].astype(np.float64)
        self._count += len(losses)
        if self._said or not len(losses):
            return ()
        if self._period:
            self._fresh = np.concatenate((self._fresh, losses))
            self._bet()
        self._seen = np.concatenate((self._seen, losses))[-BUFFER:]
        if self._log_evidence >= -math.log(ALPHA / max(1, self._tried * (self._tried + 1) if not self._given else 1)):
            self._said = True
            return (self._symptom(int(window.steps[-1])),)
        if self._given is None and self._count >= self._next_choice:
            self._next_choice = math.ceil(1.5 * self._next_choice)
            if self._log_evidence <= 0:
                self._choose()
        return ()

    def _choose(self) -> None:
        """Choose the lag at which the losses so far correlate best with themselves, if any does at all."""
        n = len(self._seen)
        longest = n // 3
        values = _level(_ranks(self._seen), 2 * SHORTEST + 1)
        spectrum = np.fft.rfft(values, 2 * n)
        power = np.fft.irfft(np.abs(spectrum) ** 2)[: longest + 1]
        if longest <= SHORTEST or power[0] <= 0:
            return
        correlation = power / power[0] * n / (n - np.arange(longest + 1))
        best = SHORTEST + int(np.argmax(correlation[SHORTEST:]))
        if correlation[best] > 0.3:
            self._period, self._tried = best, self._tried + 1
            self._log_evidence, self._fresh = 0.0, np.empty(0)

    def _bet(self) -> None:
        period = self._period
        # One epoch on each side is given up to the running mean.
        while len(self._fresh) >= 4 * period:
            chunk, self._fresh = self._fresh[: 4 * period], self._fresh[2 * period :]
            kernel = np.full(period, 1.0 / period)
            mean = np.convolve(chunk, kernel, mode="valid")
            start = period // 2
            flat = chunk[start : start + len(mean)] - mean
            first, second = _ranks(flat[:period]), _ranks(flat[period : 2 * period])
            product = np.fft.irfft(np.fft.rfft(first) * np.conj(np.fft.rfft(second)), period)
            wins = bool(product[0] >= product.max() - 1e-9 * abs(product).max()) and np.ptp(first) > 0
            self._log_evidence += math.log((1 + period) / 2 if wins else 0.5)

    def _symptom(self, step: int) -> Symptom:
        last = self._seen[-self._period :]
        low, middle, high = np.quantile(last, [0.1, 0.5, 0.9]).tolist()
        uneven = (high - low) / abs(middle) if middle else math.inf
        return Symptom(
            name=self.name,
            verdict=Verdict.WARN if uneven > 0.5 else Verdict.UNSURE,
            claim=f"Losses repeat every {self._period} steps (evidence {self._log_evidence:.1f} nats) and spread by "
            f"{uneven:.2g} of their median within that stretch.",
            estimates={"loss_within_epoch": spread(last.tolist()), "period": exact(float(self._period), unit="steps")},
            where=("loop.order",),
            suggests={"no_shuffle": 3.0 if uneven > 0.5 else 1.0},
            step=step,
        )


def batch_order_symptom(targets_in_order: np.ndarray, batch_size: int, *, alpha: float = ALPHA) -> Symptom:
    """Return whether the labels are shown in an order that makes batches one-sided.

    Hypothesis: the order is a random one. Test: exact runs test of Wald and Wolfowitz (Annals of Mathematical
    Statistics 1940), too few runs, for each class against the rest (values: above against below the median), Holm's
    correction, error rate `alpha` per call. With many rows the slightest order is significant, so the size counts too:
    the variance of batch means over that of a random order (1 when shuffled, the batch size when sorted). A warning
    needs over twice, a failure over a quarter of the batch size as well.

    Args:
        targets_in_order: Class indices, one-hot rows or values (n, ...) in the order in which they are shown.
        batch_size: Samples a step, at least 1.
        alpha: Error rate of this call.

    Raises:
        ValueError: Fewer than two targets, or a batch size below 1.
    """
    targets = np.asarray(targets_in_order)
    if len(targets) < 2 or batch_size < 1:
        raise ValueError(
            f"got {len(targets)} targets and batch size {batch_size}; expected at least 2 targets and 1 sample a step. "
            "Pass the targets of an epoch in the order of its batches."
        )
    codes = _sides(targets.reshape(len(targets), -1))
    ps = np.array([runs_p(column) for column in codes.T])
    effect = max((_design_effect(column, batch_size) for column in codes.T), default=1.0)
    p = float(min(1.0, ps.min() * len(ps))) if len(ps) else 1.0
    verdict = Verdict.PASS
    if p < alpha and effect > 2:
        verdict = Verdict.FAIL if effect > max(2.0, batch_size / 4) else Verdict.WARN
    alarm = verdict is not Verdict.PASS
    return Symptom(
        name="batch-order",
        verdict=verdict,
        claim=f"Batch means of the labels vary {effect:.3g} times as much as in a random order "
        f"(runs test over {len(targets):,} labels: p {p:.1e}).",
        estimates={"batch_variance": exact(effect, n=len(targets)), "p": exact(p, n=len(targets))},
        where=("loop.order",) if alarm else (),
        suggests={"no_shuffle": 5.0 if verdict is Verdict.FAIL else 3.0} if alarm else {},
    )


def runs_p(flags: np.ndarray) -> float:
    """Return the exact probability of at most as many runs as seen, over all orders of a boolean sequence (n,)."""
    flags = np.asarray(flags, dtype=bool)
    a, b = int(flags.sum()), int((~flags).sum())
    if not a or not b:
        return 1.0
    runs = 1 + int((flags[1:] != flags[:-1]).sum())
    r = np.arange(2, runs + 1)
    k, odd = r // 2, r % 2 == 1
    with np.errstate(divide="ignore"):
        even = math.log(2) + _log_choose(a - 1, k - 1) + _log_choose(b - 1, k - 1)
        uneven = np.logaddexp(
            _log_choose(a - 1, k) + _log_choose(b - 1, k - 1), _log_choose(a - 1, k - 1) + _log_choose(b - 1, k)
        )
    total = float(np.logaddexp.reduce(np.where(odd, uneven, even))) - float(_log_choose(a + b, np.array([a]))[0])
    return float(min(1.0, math.exp(total)))


def _log_choose(n: int, k: np.ndarray) -> np.ndarray:
    """Return log C(n, k), minus infinity where k > n."""
    from scipy import special  # here, since no training needs it

    inside = np.minimum(k, n)
    out = special.gammaln(n + 1) - special.gammaln(inside + 1) - special.gammaln(n - inside + 1)
    return np.where(k > n, -np.inf, out)


def _sides(targets: np.ndarray) -> np.ndarray:
    """Return boolean columns (n, k): each class against the rest, or values above the median."""
    if targets.shape[1] == 1:
        values = targets[:, 0]
        classes = np.unique(values)
        if len(classes) <= 50 and len(classes) < 0.5 * len(values):
            columns = values[:, None] == classes[None, :]
            return columns[:, :1] if len(classes) == 2 else columns
    return targets > np.median(targets, axis=0)


def _design_effect(flags: np.ndarray, batch_size: int) -> float:
    """Return the variance of batch means over that of a random order (finite population corrected)."""
    n = len(flags) // batch_size * batch_size
    batches = n // batch_size
    variance = float(flags[:n].var())
    if batches < 2 or variance == 0:
        return 1.0
    means = flags[:n].reshape(batches, batch_size).mean(1)
    expected = variance / batch_size * (n - batch_size) / (n - 1)
    return float(means.var()) / expected


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return centred ranks: robust to the heavy tails of batch losses."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks - ranks.mean()


def _level(values: np.ndarray, width: int) -> np.ndarray:
    """Return values less a wide running mean, so that a falling loss does not look periodic."""
    wide = max(width, len(values) // 3 | 1)
    padded = np.pad(values, wide // 2, mode="reflect")
    out: np.ndarray = values - np.convolve(padded, np.full(wide, 1.0 / wide), mode="valid")
    return out
