"""Judging losses: planted courses, and how often noise alone alarms."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu, norm, ttest_ind

from equipoise.fit.alarms import LossWatch, Trouble, above, deviation, rank_deviations
from equipoise.fit.beginning import Beginning
from equipoise.fit.shelf import Shelf
from equipoise.fit.snapshots import Balanced


def hear(losses, chunk=32):
    watch = LossWatch()
    for start in range(0, len(losses), chunk):
        part = [float(loss) for loss in losses[start : start + chunk]]
        alarm = watch.hear(part, start + len(part))
        if alarm is not None:
            return alarm
    return None


def course(seed, steps=2000, start=2.3, end=0.1, noise=0.3):
    draw = np.random.default_rng(seed)
    level = end + (start - end) * np.exp(-4 * np.arange(steps) / steps)
    return level * np.exp(noise * draw.standard_normal(steps))


def test_deviation_is_that_of_a_normal_distribution():
    quantiles = [NormalDist(3, 2).inv_cdf((k + 0.5) / 1001) for k in range(1001)]
    assert deviation(quantiles) == pytest.approx(2, rel=0.01)
    assert deviation([1.0]) == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_ranks_are_compared_as_scipy_does(seed):
    draw = np.random.default_rng(seed)
    one, other = draw.integers(0, 12, 60).tolist(), draw.integers(2, 14, 40).tolist()
    p = mannwhitneyu(other, one, alternative="greater", method="asymptotic", use_continuity=False).pvalue
    assert rank_deviations(one, other) == pytest.approx(norm.isf(p), rel=1e-9)
    assert rank_deviations([3.0] * 9, [3.0] * 5) == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_means_are_compared_as_scipy_does(seed):
    draw = np.random.default_rng(seed)
    one, other = (draw.random(60) < 0.1).tolist(), (draw.random(40) < 0.6).tolist()  # ties blunt the ranks
    one, other = [100.0 * value for value in one], [100.0 * value for value in other]
    welch = float(ttest_ind(other, one, equal_var=False).statistic)
    assert above(one, other) == pytest.approx(max(welch, rank_deviations(one, other)), rel=1e-9)
    assert above([1e200, -1e200, 1e199], [3e200, 3.1e200, 2.9e200]) > 0  # a variance beyond what floats hold


NOISE = {
    "falling": lambda seed: course(seed),
    "rough": lambda seed: course(seed, noise=1.0),
    "flat": lambda seed: 1 + 0.05 * np.random.default_rng(seed).standard_normal(2000),
    "heavy tails": lambda seed: np.abs(np.random.default_rng(seed).standard_t(1.5, 2000)),
    "two values": lambda seed: 16 * (np.random.default_rng(seed).random(2000) < 0.4).astype(float),
    "negative": lambda seed: course(seed) - 5,
    "short spikes": lambda seed: course(seed) + 50 * (np.arange(2000) % 200 < 10),
    "slow rise within the noise": lambda seed: course(seed) + 0.05 * np.arange(2000) / 2000,
}


@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize("chunk", [16, 64])
def test_noise_does_not_alarm(kind, chunk):
    alarms = [alarm for seed in range(20) if (alarm := hear(NOISE[kind](seed), chunk)) is not None]
    assert alarms == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("step", [1, 7, 500])
def test_a_loss_that_is_not_finite_is_found_at_its_step(bad, step):
    losses = course(0)
    losses[step - 1] = bad
    alarm = hear(losses)
    assert alarm.trouble is Trouble.NOT_FINITE
    assert alarm.onset == step
    assert f"step {step}" in alarm.said()


@pytest.mark.parametrize("seed", range(5))
def test_a_spike_that_stays_alarms_within_a_hundred_steps(seed):
    losses = course(seed)
    losses[1000:] += 5.0
    alarm = hear(losses)
    assert alarm.trouble is Trouble.SPIKE
    assert abs(alarm.onset - 1001) < 16
    assert alarm.loss > 4
    watch = LossWatch()
    for start in range(0, 1000, 8):
        assert watch.hear(losses[start : start + 8].tolist(), start + 8) is None
    found = next(
        stop for stop in range(1016, 1200, 16) if watch.hear(losses[stop - 16 : stop].tolist(), stop) is not None
    )
    assert found <= 1000 + 100


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_climb_is_found(seed):
    losses = course(seed, steps=3000)
    losses[1500:] += np.linspace(0, 2.0, 1500)
    alarm = hear(losses, 64)
    assert alarm.trouble in (Trouble.DIVERGENCE, Trouble.SPIKE)
    assert 1800 < alarm.onset < 2900


def test_a_jump_in_the_first_steps_is_found_against_the_first_loss():
    draw = np.random.default_rng(0)
    alarm = hear([2.3, *(15 + 0.5 * draw.standard_normal(100))], 8)
    assert alarm.trouble is Trouble.SPIKE
    assert alarm.onset == 2


@pytest.mark.parametrize(("times", "most"), [(50.0, 4), (0.5, 0)])
def test_a_first_loss_that_is_small_by_luck_seldom_makes_a_training_lost(times, most):
    """Squared errors of single samples that are pure noise: the first of 257 is the smallest once in 257."""
    module = torch.nn.Linear(4, 4)
    beginning = Beginning(Shelf(Balanced(module, ())))
    beginning.shelf.keep(0, {}, alive_at=0)
    with torch.no_grad():
        module.weight.mul_(1 + times)
        module.bias.mul_(1 + times)
    lost = 0
    for seed in range(400):
        watch, draw = LossWatch(), np.random.default_rng(seed)
        for start in range(0, 320, 16):
            watch.hear(draw.chisquare(1, 16).tolist(), start + 16)
            if beginning.is_lost(watch):
                lost += 1
                break
    assert lost <= most


def test_weights_far_away_with_a_higher_loss_are_lost():
    module = torch.nn.Linear(4, 4)
    beginning = Beginning(Shelf(Balanced(module, ())))
    beginning.shelf.keep(0, {}, alive_at=0)
    with torch.no_grad():
        module.weight.mul_(-200.0)
        module.bias.mul_(-200.0)
    draw = np.random.default_rng(0)
    higher, lower = LossWatch(), LossWatch()
    higher.hear([1.0, *(1e4 * draw.random(63))], 64)
    lower.hear([1.0, *(0.5 * draw.random(63))], 64)  # targets far from zero take weights there
    assert beginning.is_far
    assert beginning.is_lost(higher)
    assert not beginning.is_lost(lower)


def test_losses_that_need_only_be_finite_may_rise():
    watch = LossWatch()
    assert all(watch.hear([float(k)] * 16, 16 * k + 16, only_finite=True) is None for k in range(100))
    assert watch.near_best()
    assert watch.hear([math.nan], 1617, only_finite=True).trouble is Trouble.NOT_FINITE


def test_the_state_brings_everything_back():
    losses = course(3)
    one = LossWatch()
    one.hear(losses[:300].tolist(), 300)
    other = LossWatch.restored(one.state())
    assert other == one
    one.hear(losses[300:400].tolist(), 400)
    assert other != one


def test_falling_is_told_from_noise():
    draw = np.random.default_rng(0)
    flat = [bool(LossWatch(recent=list(1 + draw.standard_normal(90))).falls()) for _ in range(400)]
    assert np.mean(flat) < 0.06
    falling = [
        LossWatch(recent=list(np.linspace(2, 1, 90) + 0.5 * draw.standard_normal(90))).falls() for _ in range(50)
    ]
    assert np.mean(falling) > 0.9
