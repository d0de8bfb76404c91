import math

import pytest

from equipoise.core.estimate import Estimate, Line, exact
from equipoise.report.numbers import line_text, number, plural, shown


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "1", "0"),
        (-0.0, "1", "0"),
        (1797, "1", "1,797"),
        (1797.4, "1", "1,797"),
        (0.07134, "1", "0.0713"),
        (-0.07134, "1", "−0.0713"),
        (0.5, "1", "0.5"),
        (2.302585, "nats", "2.3 nats"),
        (1.2345e-7, "1", "1.23×10⁻⁷"),
        (-3e12, "1", "−3,000,000,000,000"),
        (2.5e22, "1", "2.5×10²²"),
        (math.nan, "1", "n/a"),
        (math.inf, "s", "∞ s"),
        (-math.inf, "1", "−∞"),
        (412_300, "bytes", "412 kB"),
        (12, "bytes", "12 bytes"),
        (0, "bytes", "0 bytes"),
        (5.5e9, "bytes", "5.5 GB"),
        (0.0123, "s", "12.3 ms"),
        (11.83, "s", "11.8 s"),
        (300, "s", "5 min"),
        (0.034, "ms", "34 µs"),
        (1234.0, "ms", "1.23 s"),
        (0, "s", "0 s"),
    ],
)
def test_number(value, unit, text):
    assert number(value, unit) == text


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(value=0.983, low=0.964, high=0.992, n=360, method="Wilson"), "98.3 % [96.4, 99.2]"),
        (Estimate(value=0.71, low=0.66, high=0.76, n=349, method="Wilson"), "71 % [66, 76]"),
        (Estimate(value=-0.011, low=-0.019, high=-0.003, n=9, method="Newcombe"), "−1.1 pt [−1.9, −0.3]"),
        (Estimate(value=0.071, low=0.054, high=0.088, n=360), "0.071 [0.054, 0.088]"),
        (Estimate(value=0.06, low=-0.01, high=0.13, n=360), "0.06 [−0.01, 0.13]"),
        (Estimate(value=123.4567, low=123.4561, high=123.4579, n=9, unit="ms"), "123.457 ms [123.456, 123.458]"),
        (Estimate(value=1234.5, low=1100.2, high=1400.9, n=9, unit="USD"), "1,234 USD [1,100, 1,401]"),
        (Estimate(value=2e6, low=1.5e6, high=2.5e6, n=9, unit="bytes"), "2.0 MB [1.5, 2.5]"),
        (Estimate(value=0.5, low=-math.inf, high=math.inf, n=1), "0.50 [−∞, ∞]"),
        (Estimate(value=1e-7, low=5e-8, high=2e-7, n=1), "1×10⁻⁷ [5×10⁻⁸, 2×10⁻⁷]"),
        (exact(60_362), "60,362"),
        (exact(3.14159), "3.14"),
        (exact(0.0, unit="s"), "0 s"),
    ],
)
def test_shown(estimate, text):
    assert str(shown(estimate)) == text


def test_line_is_on_the_scale_of_its_estimate():
    share = Estimate(value=0.02, low=0.01, high=0.03, n=100, method="Wilson")
    assert line_text(Line(warn=0.02, fail=0.05), share) == "warn > 2 %, fail > 5 %"
    assert line_text(Line(warn=0.9, fail=0.9, worse="below"), share) == "fail < 90 %"
    latency = Estimate(value=0.34, low=0.31, high=0.4, n=100, unit="ms")
    assert line_text(Line(warn=10, fail=50), latency) == "warn > 10 ms, fail > 50 ms"


def test_plural():
    assert [plural(1, "row"), plural(0, "row"), plural(1200, "box", "boxes")] == ["1 row", "0 rows", "1,200 boxes"]
