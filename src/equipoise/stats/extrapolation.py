"""Learning curves: the error at sizes that were not tried, by a power law that falls to a floor."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from equipoise.core.estimate import Estimate

EXPONENTS = np.geomspace(0.05, 2.0, 160)
"""Rates that are believed possible; those of Hestness et al. (2017, arXiv 1712.00409) lie in the middle."""

LEVELS = 15
"""Values of each other number of a law that are tried for each exponent."""

LEAST_SHARE = 0.005
"""Noise of a mean error is never believed to be smaller than this share of the fall of the curve."""


@dataclass(frozen=True, slots=True, eq=False)
class PowerLaw:
    """Curves floor + scale * (n / largest) ** -exponent that measured errors leave possible.

    Attributes:
        largest: The largest size that was tried.
        seeds: How many curves were measured.
        level: Confidence level at which the others were ruled out.
        exponent: One entry a curve (curves,); that of the best fit comes first, as in the other two.
        floor: What the error falls to (curves,).
        scale: What it has still to fall at the largest size (curves,).
    """

    largest: float
    seeds: int
    level: float
    exponent: np.ndarray
    floor: np.ndarray
    scale: np.ndarray

    def error(self, size: float) -> np.ndarray:
        """Return the error at a size under each of the curves (curves,)."""
        curves: np.ndarray = self.floor + self.scale * (size / self.largest) ** -self.exponent
        return curves

    def estimate(self, values: np.ndarray) -> Estimate:
        """Return a number computed from each curve (curves,): that of the best fit, with its profile interval.

        The interval reaches from the smallest to the largest value among the curves that are possible.
        """
        low, value, high = float(values.min()), float(values[0]), float(values.max())
        return Estimate(
            value=value, low=low, high=high, n=self.seeds, level=self.level, method="profile of a power law"
        )


def fit_power_law(sizes: np.ndarray, errors: np.ndarray, *, level: float = 0.95) -> PowerLaw:
    """Return the power laws that errors at several sizes leave possible.

    Those are the curves whose weighted sum of squares exceeds the least by no more than an F quantile allows: the
    profile likelihood of one number, with the noise of each size estimated from its seeds. Floors below 0 and curves
    that rise are no power laws of an error.

    Args:
        sizes: Numbers of samples (sizes,), rising, at least 3.
        errors: Errors of each seed at each size (seeds, sizes), at least 2 seeds; 0 is perfect.
        level: Confidence level.

    Raises:
        ValueError: Too few sizes or seeds, or errors that are not finite.
    """
    _check(sizes, errors)
    seeds, largest = len(errors), float(sizes[-1])
    mean, own, degrees = errors.mean(0), errors.var(0, ddof=1), (len(errors) - 1) * len(sizes)
    least = (LEAST_SHARE * max(float(np.ptp(mean)), 1e-6)) ** 2
    # Few seeds tell little about each size's noise: half of it is taken from all sizes together.
    noise = np.maximum((own + own.mean()) / 2 / seeds, least)
    found = np.concatenate([_curves(sizes / largest, mean, noise, float(one)) for one in EXPONENTS], axis=1)
    squares = found[3]
    best = int(squares.argmin())
    misfit = max(1.0, float(squares[best]) / max(1, len(sizes) - 3))
    kept = np.flatnonzero(squares <= squares[best] + misfit * float(stats.f.ppf(level, 1, degrees)))
    order = np.concatenate([[best], kept[kept != best]])
    return PowerLaw(largest, seeds, level, found[0][order], found[1][order], found[2][order])


def _curves(shares: np.ndarray, mean: np.ndarray, noise: np.ndarray, exponent: float) -> np.ndarray:
    """Return exponent, floor, scale and weighted sum of squares of the curves with one exponent (4, curves).

    They lie around the best fit, and on the two borders (a floor of 0, no fall at all), where the truth may well lie,
    around the best fit there.
    """
    power, weight = shares**-exponent, 1 / np.sqrt(noise)

    def around(design: np.ndarray) -> np.ndarray:
        """Return coefficients (columns, curves) around the weighted least squares fit of a design (sizes, columns)."""
        inverse = np.linalg.inv((design * weight[:, None]).T @ (design * weight[:, None]))
        centre = inverse @ (design * weight[:, None]).T @ (mean * weight)
        steps = np.linspace(-4, 4, LEVELS)
        grid = np.stack(np.meshgrid(*[steps] * design.shape[1])).reshape(design.shape[1], -1)
        return np.asarray(centre[:, None] + np.linalg.cholesky(inverse) @ grid)

    both = around(np.stack([np.ones_like(power), power], axis=1))
    falling = around(power[:, None])
    level = around(np.ones((len(power), 1)))
    floor = np.concatenate([both[0], np.zeros(falling.shape[1]), level[0]])
    scale = np.concatenate([both[1], falling[0], np.zeros(level.shape[1])])
    kept = (floor >= 0) & (scale >= 0)
    floor, scale = floor[kept], scale[kept]
    squares = (((floor + scale * power[:, None]) - mean[:, None]) * weight[:, None]) ** 2
    return np.stack([np.full(len(floor), exponent), floor, scale, squares.sum(0)])


def _check(sizes: np.ndarray, errors: np.ndarray) -> None:
    rising = sizes.ndim == 1 and len(sizes) >= 3 and bool((np.diff(sizes) > 0).all()) and float(sizes[0]) > 0
    if not rising or errors.ndim != 2 or errors.shape[1] != len(sizes) or len(errors) < 2:
        raise ValueError(
            f"got sizes {sizes} and errors of shape {errors.shape}; expected at least 3 rising sizes, and at least 2 "
            "seeds with one error a size. Train at more sizes or with more seeds."
        )
    if not np.isfinite(errors).all():
        raise ValueError(
            f"got {int((~np.isfinite(errors)).sum())} errors that are not finite; expected numbers. Leave these seeds "
            "out."
        )
