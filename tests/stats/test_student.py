"""Student's quantiles in plain Python against those of scipy."""

import numpy as np
import pytest
from scipy import special

from equipoise.stats.student import student_quantile, student_tail


@pytest.mark.parametrize("degrees", [1, 2, 3.5, 14, 15, 120])
def test_quantiles_are_those_of_the_library(degrees):
    for tail in (0.499, 0.3, 0.05, 5e-4, 1e-6, 1e-9):
        expected = -float(special.stdtrit(degrees, tail))
        assert student_quantile(degrees, tail) == pytest.approx(expected, rel=1e-9)


def test_the_tail_of_a_quantile_is_what_was_asked_for():
    for tail in np.geomspace(1e-12, 0.49, 40):
        assert student_tail(14, student_quantile(14, float(tail))) == pytest.approx(tail, rel=1e-9)
    assert student_tail(14, 0.0) == pytest.approx(0.5)


@pytest.mark.parametrize(("degrees", "tail"), [(0.5, 0.1), (14, 0.0), (14, 0.5), (14, float("nan"))])
def test_what_is_no_tail_is_refused(degrees, tail):
    with pytest.raises(ValueError, match=r"got .*expected at least 1 and a tail in \(0, 0\.5\)"):
        student_quantile(degrees, tail)
