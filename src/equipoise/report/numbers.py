"""Numbers as people read them: one place that decides digits, separators, signs and units."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from equipoise.core.estimate import Estimate, Line

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LADDERS: dict[str, tuple[tuple[float, float, str], ...]] = {
    # For each unit: (smallest magnitude, factor, suffix), largest first.
    "bytes": (
        (1e12, 1e-12, " TB"),
        (1e9, 1e-9, " GB"),
        (1e6, 1e-6, " MB"),
        (1e3, 1e-3, " kB"),
        (0.0, 1.0, " bytes"),
    ),
    "s": ((7200, 1 / 3600, " h"), (120, 1 / 60, " min"), (1.0, 1.0, " s"), (1e-3, 1e3, " ms"), (0.0, 1e6, " µs")),
    "ms": ((120_000, 1 / 60_000, " min"), (1e3, 1e-3, " s"), (0.1, 1.0, " ms"), (0.0, 1e3, " µs")),
}
_LARGEST_PLAIN, _SMALLEST_PLAIN = 1e9, 1e-4


class Scale(NamedTuple):
    """How a unit is shown: values times `factor`, followed by `suffix`."""

    factor: float
    suffix: str


class Shown(NamedTuple):
    """An estimate as text: its value with the unit, and its interval, empty for an exact count."""

    value: str
    interval: str

    def __str__(self) -> str:
        """Return both in one line, such as `98.3 % [96.4, 99.2]`."""
        return f"{self.value} {self.interval}".rstrip()


def scale_of(estimate: Estimate) -> Scale:
    """Return the scale an estimate is shown on.

    A ratio whose interval comes from counting (Wilson) is shown in percent, a difference of two such (Newcombe) in
    percentage points; bytes and times move to the prefix that fits their size.
    """
    if estimate.unit == "1":
        method = estimate.method.lower()
        if "newcombe" in method:
            return Scale(100.0, " pt")
        return Scale(100.0, " %") if "wilson" in method or "clopper" in method else Scale(1.0, "")
    sizes = [abs(one) for one in (estimate.value, estimate.low, estimate.high) if math.isfinite(one)]
    value = abs(estimate.value) if math.isfinite(estimate.value) else 0.0
    return _scale(estimate.unit, value or max(sizes, default=0.0))


def shown(estimate: Estimate) -> Shown:
    """Return an estimate as text; value and ends share one number of decimals, set by the interval's width."""
    scale = scale_of(estimate)
    value, low, high = (one * scale.factor for one in (estimate.value, estimate.low, estimate.high))
    if estimate.low == estimate.value == estimate.high:
        return Shown(_text(value, _decimals_alone(value)) + scale.suffix, "")
    places = _decimals_together((value, low, high))
    if places is None:
        return Shown(_text(value, None) + scale.suffix, f"[{_text(low, None)}, {_text(high, None)}]")
    return Shown(_text(value, places) + scale.suffix, f"[{_text(low, places)}, {_text(high, places)}]")


def number(value: float, unit: str = "1") -> str:
    """Return one number at three significant digits, such as `1,797`, `0.0713`, `1.2×10⁻⁷`, `412 kB` or `n/a`."""
    scale = _scale(unit, abs(value) if math.isfinite(value) else 0.0)
    scaled = value * scale.factor
    return _text(scaled, _decimals_alone(scaled)) + scale.suffix


def line_text(line: Line, estimate: Estimate) -> str:
    """Return the thresholds on the scale of the estimate that they judge, such as `warn > 2 %, fail > 5 %`."""
    sign = ">" if line.worse == "above" else "<"
    scale = scale_of(estimate)

    def bound(value: float) -> str:
        scaled = value * scale.factor
        return f"{sign} {_text(scaled, _decimals_alone(scaled))}{scale.suffix}"

    if line.warn == line.fail:
        return f"fail {bound(line.fail)}"
    return f"warn {bound(line.warn)}, fail {bound(line.fail)}"


def name_text(name: str) -> str:
    """Return the name of an estimate or a vital as words: `learning_rate` becomes `learning rate`."""
    return name.replace("_", " ")


def plural(count: int, word: str, words: str = "") -> str:
    """Return a count with its noun, such as `1 question` or `1,240 questions`."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"


def _scale(unit: str, magnitude: float) -> Scale:
    for smallest, factor, suffix in _LADDERS.get(unit, ()):
        if magnitude >= smallest and (magnitude > 0 or suffix in (" bytes", " s", " ms")):
            return Scale(factor, suffix)
    return Scale(1.0, "" if unit == "1" else f" {unit}")


def _decimals_alone(value: float, significant: int = 3) -> int | None:
    """Return the decimals of a number that stands alone; `None` asks for powers of ten."""
    if not math.isfinite(value) or value == 0 or (value == int(value) and abs(value) < 1e15):
        return 0
    if not _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN:
        return None
    places = max(0, significant - 1 - math.floor(math.log10(abs(value))))
    digits = f"{value:.{places}f}"
    return len(digits.rstrip("0").partition(".")[2]) if places else 0


def _decimals_together(values: Sequence[float]) -> int | None:
    """Return the decimals of a value with its ends.

    Two digits of the width, at most four significant ones in all, or up to six where the width would not show.
    """
    finite = [one for one in values if math.isfinite(one)]
    largest = max((abs(one) for one in finite), default=0.0)
    if largest == 0:
        return 0
    if not _SMALLEST_PLAIN <= largest < _LARGEST_PLAIN:
        return None
    width = max(finite) - min(finite) or largest
    one_digit, leading = -math.floor(math.log10(width)), -math.floor(math.log10(largest))
    return max(0, min(one_digit + 1, 3 + leading), min(one_digit, 5 + leading))


def _text(value: float, places: int | None) -> str:
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if places is None:
        return _power_of_ten(value)
    text = f"{value:,.{places}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def _power_of_ten(value: float) -> str:
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".").replace("-", "−")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
