"""The record of the loss: its trend against closed forms, its memory, its error rate."""

import numpy as np
import pytest
from detector_cases import made
from scipy import stats

from equipoise.vitals.detectors.levels import LIMIT, Levels


def filled(losses: np.ndarray, width: int = 64) -> Levels:
    levels = Levels()
    for start in range(0, len(losses), width):
        part = losses[start : start + width]
        levels.add(made(len(part), start=start + 1, loss=part))
    return levels


def test_the_trend_of_a_geometric_fall_is_exact():
    trend = filled(2.0 * 0.99 ** np.arange(160)).trend(0.01)
    # 16 groups of 10: from the middle of the first to that of the last are 150 steps.
    assert trend.value == pytest.approx(0.99**150 - 1, rel=1e-3)
    assert trend.high - trend.low < 1e-6


def test_the_record_is_bounded_and_does_not_depend_on_how_it_comes():
    losses = np.random.default_rng(0).random(5000) + 1
    whole, pieces = filled(losses, 5000), filled(losses, 7)
    assert len(whole._blocks) <= LIMIT
    np.testing.assert_allclose(whole.groups(), pieces.groups(), rtol=0.02)
    assert whole.count == pieces.count == 5000
    np.testing.assert_array_equal(whole.recent, losses[-64:])


def test_losses_that_are_not_finite_are_left_out():
    assert filled(np.array([1.0, np.nan, np.inf, 2.0])).count == 2


def test_the_trend_of_noise_keeps_its_error_rate_also_with_autocorrelation():
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(600):
        noise = rng.standard_normal(640)
        for k in range(1, len(noise)):
            noise[k] += 0.6 * noise[k - 1]
        trend = filled(np.exp(0.1 * noise), 640).trend(0.025)
        wrong += trend.low > 0 or trend.high < 0
    assert stats.binomtest(wrong, 600, 0.05, alternative="greater").pvalue > 1e-3, wrong


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_a_flat_loss_stalls_and_falling_ones_do_not(noise):
    rng = np.random.default_rng(2)
    wobble = np.exp(noise * rng.standard_normal(2048))
    flat, slow = filled(wobble), filled(wobble * np.linspace(1, 0.8, 2048))
    early = filled(wobble * np.r_[np.linspace(5, 1, 6), np.ones(2042)])
    assert flat.stalled(0.1, 1e-4)
    assert not slow.stalled(0.1, 1e-4)
    assert not early.stalled(0.1, 1e-4)


def test_losses_below_zero_have_a_trend_too():
    levels = filled(np.linspace(1, -1, 320))
    assert levels.trend(0.01).value < -1
    assert filled(-np.exp(np.linspace(0, 4, 320))).trend(0.01, negative=True).value == pytest.approx(
        np.exp(3.75) - 1, rel=0.1
    )


def test_worse_than_at_the_first_step():
    assert filled(np.r_[1.0, np.full(80, 9.0)]).worse()
    assert not filled(np.r_[1.0, np.full(79, 9.0), 0.9]).worse()
    assert not filled(np.r_[1.0, np.full(80, 1.2)]).worse()
