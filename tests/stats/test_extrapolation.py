"""Learning curves whose law is known."""

import numpy as np
import pytest

from equipoise.stats.extrapolation import fit_power_law

SIZES = np.array([100.0, 200.0, 400.0, 800.0])


def curves(floor: float, scale: float, exponent: float, noise: float, seed: int, seeds: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    exact = floor + scale * (SIZES / SIZES[-1]) ** -exponent
    return exact + noise * rng.standard_normal((seeds, len(SIZES)))


@pytest.mark.parametrize(
    ("floor", "scale", "exponent"), [(0.05, 0.05, 0.8), (0.0, 0.1, 0.4), (0.1, 0.02, 1.2), (0.2, 0.0, 1.0)]
)
def test_the_gain_from_twice_the_data_lies_in_the_interval(floor: float, scale: float, exponent: float) -> None:
    gain = scale * (1 - 2.0**-exponent)
    held = 0
    for seed in range(100, 112):
        law = fit_power_law(SIZES, curves(floor, scale, exponent, 0.005, seed))
        estimate = law.estimate(law.error(800) - law.error(1600))
        held += estimate.low <= gain <= estimate.high
    assert held >= 10  # 95 % are expected; on 100 seeds 95 to 97 were counted


def test_a_clean_curve_is_forecast_closely() -> None:
    law = fit_power_law(SIZES, curves(0.05, 0.05, 0.7, 1e-4, 0))
    estimate = law.estimate(law.error(3200))
    assert estimate.value == pytest.approx(0.05 + 0.05 * 4**-0.7, abs=0.003)
    assert estimate.high - estimate.low < 0.02


def test_a_larger_size_that_was_left_out_lies_in_the_interval() -> None:
    held = 0
    for seed in range(100, 112):
        errors = curves(0.03, 0.08, 0.6, 0.004, seed)
        law = fit_power_law(SIZES[:-1], errors[:, :-1])
        forecast = law.estimate(law.error(800))
        held += forecast.low <= 0.11 <= forecast.high
    assert held >= 10  # 95 % are expected; on 100 seeds 95 to 97 were counted


def test_curves_that_rise_give_no_gain() -> None:
    law = fit_power_law(SIZES, curves(0.1, 0.0, 1.0, 1e-5, 0) + np.linspace(0, 0.3, 4))
    gain = law.estimate(law.error(800) - law.error(1600))
    assert gain.value == pytest.approx(0, abs=1e-6)


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 rising sizes"):
        fit_power_law(SIZES[:2], np.zeros((3, 2)))
    with pytest.raises(ValueError, match="not finite"):
        fit_power_law(SIZES, np.full((3, 4), np.nan))
