"""Asks how long an answer takes, alone and in a batch."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from equipoise.core.estimate import Estimate, Line, exact
from equipoise.core.figure import Curves, Series
from equipoise.core.finding import Finding
from equipoise.examine.conclude import conclude
from equipoise.examine.efficiency.machine import machine_name
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject
from equipoise.examine.workload import seconds_per_sample
from equipoise.networks.network import Network
from equipoise.stats.intervals import quantile

_CARD = Card(
    id="latency",
    theme="efficiency",
    title="How long does an answer take?",
    why=(
        "A network that answers too late is as useless as one that answers wrongly, and what people notice is not the "
        "usual answer but the slowest in a hundred. How much a batch gains over single samples decides how it should "
        "be served."
    ),
    how=(
        "After a warm-up, single test samples go in raw, one after another, and each answer is timed from raw input "
        "to probabilities, pre-processing included. The median and the 99th percentile carry order-statistic "
        "intervals, which assume nothing about the shape of the distribution; the 99th percentile is given only when "
        "enough answers were timed for its interval to be finite (368). Then growing batches are timed: throughput is "
        "the batch size over the median time. Nothing is set: threads and device are as the process has them, and "
        "named."
    ),
    verdicts=(
        "pass: a median of at most 100 ms and a 99th percentile of at most 250 ms. warn: slower. fail: slower than 1 s "
        "(99th percentile: 2.5 s). Generous on purpose: state your own claims in the plan. The numbers hold for this "
        "machine and its load only."
    ),
    may_help=(
        "capacity-down",
        "int8 weights",
        "prune the network",
        "distil the network",
        "compile the network",
        "export to ONNX",
        "fewer threads",
        "answer in batches",
    ),
    sources=(
        "J. Dean and L. A. Barroso, The tail at scale, Communications of the ACM 2013",
        "T. Hoefler and R. Belli, Scientific benchmarking of parallel computing systems, SC 2015",
    ),
    lines={"p50_ms": Line(warn=100.0, fail=1000.0), "p99_ms": Line(warn=250.0, fail=2500.0)},
)

_CALLS_FOR_P99 = 368


@dataclass(frozen=True, slots=True)
class Latency:
    """Ask how long answers take.

    Attributes:
        calls: Single answers to time; fewer on a slow network.
        warmup: Answers before the first timed one.
        batches: Batch sizes to time.
        repeats: Times each batch is timed.
        seconds: Time to spend on single answers; as much again goes to batches.
        clock: Returns seconds; a steady clock.
    """

    calls: int = 400
    warmup: int = 10
    batches: tuple[int, ...] = (1, 8, 64, 256)
    repeats: int = 15
    seconds: float = 2.0
    clock: Callable[[], float] = time.perf_counter
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        a_sample = seconds_per_sample(subject)
        singles = min(self.seconds, self.calls * (a_sample + 1e-3))
        return 0.1 + singles + min(self.seconds, self.repeats * sum(self.batches) * a_sample)

    @torch.no_grad()
    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding."""
        part = subject.part("test")
        inputs, _ = part.batch(torch.arange(min(len(part), max(self.batches))))
        network = subject.network
        for k in range(self.warmup):
            network.answer(inputs[k % len(inputs)][None])
        singles = self._singles(network, inputs, min(self.seconds, 0.3 * context.budget_s))
        p50 = quantile(singles, 0.5, "ms")
        estimates = {"p50_ms": p50}
        if len(singles) >= _CALLS_FOR_P99:
            estimates["p99_ms"] = quantile(singles, 0.99, "ms")
        throughput = self._throughput(network, inputs, min(self.seconds, 0.3 * context.budget_s))
        best = max(throughput, key=lambda size: throughput[size].value)
        estimates |= {f"samples_per_second_at_{size}": one for size, one in throughput.items()}
        estimates["threads"] = exact(torch.get_num_threads(), unit="threads")
        where = machine_name(inputs.device)
        return conclude(
            _CARD,
            _claim(estimates, best, throughput[best], where),
            estimates,
            context.lines,
            figures=(_spread(singles), _curve(throughput)),
            assumptions=(
                "Times hold for this machine, its load at that moment and this number of threads.",
                f"{self.warmup} answers came before the first timed one; successive times are taken as independent.",
                *(() if "p99_ms" in estimates else (f"The time allowed {len(singles)} answers; p99 needs 368.",)),
            ),
        )

    def _singles(self, network: Network, inputs: Tensor, seconds: float) -> np.ndarray:
        """Return milliseconds of single answers; at least 30, else as many as fit into `seconds`."""
        times: list[float] = []
        while len(times) < self.calls and (len(times) < 30 or sum(times) < seconds):
            times.append(self._timed(network, inputs[len(times) % len(inputs)][None]))
        return 1000.0 * np.asarray(times)

    def _throughput(self, network: Network, inputs: Tensor, seconds: float) -> dict[int, Estimate]:
        """Return samples a second by batch size; a size is left out when the sizes before used the time up."""
        found: dict[int, Estimate] = {}
        left = seconds
        for size in sorted({min(size, len(inputs)) for size in self.batches}):
            if found and left <= 0:
                break
            times: list[float] = []
            self._timed(network, inputs[:size])
            while len(times) < self.repeats and (len(times) < 6 or sum(times) < left):
                times.append(self._timed(network, inputs[:size]))
            left -= sum(times)
            took = quantile(np.maximum(times, 1e-9), 0.5, "s")
            found[size] = Estimate(
                value=size / took.value,
                low=size / took.high,
                high=size / took.low,
                n=took.n,
                unit="samples/s",
                method=took.method,
            )
        return found

    def _timed(self, network: Network, inputs: Tensor) -> float:
        _wait(inputs.device)
        start = self.clock()
        network.answer(inputs)
        _wait(inputs.device)
        return self.clock() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _claim(estimates: dict[str, Estimate], best: int, throughput: Estimate, where: str) -> str:
    p50 = estimates["p50_ms"]
    claim = f"One answer takes {p50.value:.2f} ms [{p50.low:.2f}, {p50.high:.2f}] in the median"
    if "p99_ms" in estimates:
        p99 = estimates["p99_ms"]
        claim += f" and {p99.value:.2f} ms [{p99.low:.2f}, {p99.high:.2f}] at the 99th percentile"
    return (
        f"{claim}, n = {p50.n}; in batches of {best} it answers {throughput.value:,.0f} samples/s "
        f"[{throughput.low:,.0f}, {throughput.high:,.0f}] ({where})."
    )


def _spread(singles: np.ndarray) -> Curves:
    shares = np.linspace(0.0, 1.0, 101)
    series = Series(
        name="single answers", x=tuple(float(t) for t in np.quantile(singles, shares)), y=tuple(shares.tolist())
    )
    return Curves(title="Time of single answers", x_label="ms", y_label="share of answers below", series=(series,))


def _curve(throughput: dict[int, Estimate]) -> Curves:
    series = Series(
        name="throughput",
        x=tuple(float(size) for size in throughput),
        y=tuple(one.value for one in throughput.values()),
        low=tuple(one.low for one in throughput.values()),
        high=tuple(one.high for one in throughput.values()),
    )
    return Curves(
        title="Throughput by batch size", x_label="batch size", y_label="samples/s", series=(series,), log_x=True
    )
