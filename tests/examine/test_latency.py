"""Latency: with a clock that is known, and once with the real one."""

from dataclasses import dataclass, field

import pytest
import torch

from equipoise.core.estimate import Verdict
from equipoise.examine.ask import ask
from equipoise.examine.efficiency.latency import Latency
from equipoise.testing import best_classifier, check_question


@dataclass
class _Clock:
    """Lets a time pass at every second look; the times come round and round."""

    passing: tuple[float, ...]
    now: float = 0.0
    looks: int = 0
    seen: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        if self.looks % 2:
            self.now += self.passing[(self.looks // 2) % len(self.passing)]
        self.looks += 1
        return self.now


def test_a_quick_network_passes_and_the_question_keeps_the_rules():
    finding = check_question(Latency(calls=40, repeats=6), best_classifier(n=80), repeatable=False)
    assert finding.verdict is Verdict.PASS
    assert finding.estimates["p50_ms"].value > 0
    assert "p99_ms" not in finding.estimates
    assert f"{torch.get_num_threads()} torch thread" in finding.claim


def test_a_slow_network_fails():
    finding = ask(Latency(calls=40, seconds=1e9, clock=_Clock((2.0,))), best_classifier(n=80), budget_s=1e9)
    assert finding.verdict is Verdict.FAIL
    assert finding.estimates["p50_ms"].value == pytest.approx(2000.0)
    assert finding.estimates["samples_per_second_at_8"].value == pytest.approx(4.0)


def test_quantiles_are_those_of_the_times():
    ninety_nine_quick = (0.001,) * 49 + (0.2,)
    finding = ask(Latency(clock=_Clock(ninety_nine_quick), seconds=1e9), best_classifier(n=80), budget_s=1e9)
    p50, p99 = finding.estimates["p50_ms"], finding.estimates["p99_ms"]
    assert p50.n == p99.n == 400
    assert p50.value == pytest.approx(1.0)
    assert p50.low <= p50.value <= p50.high
    assert p99.value == pytest.approx(200.0)


def test_time_is_kept_within_what_is_allowed():
    clock = _Clock((0.5,))
    finding = ask(Latency(clock=clock, seconds=2.0), best_classifier(n=80))
    assert finding.estimates["p50_ms"].n == 30
    assert any("p99 needs 368" in one for one in finding.assumptions)
