"""Reads a length of time as people write it."""

import re

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Return the seconds in `90`, `60s`, `2m` or `1.5h`.

    Raises:
        ValueError: It is no length of time, or not above zero.
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(s|m|min|h)?\s*", text)
    if not found or float(found[1]) <= 0:
        raise ValueError(f"got {text!r}; expected a length of time above zero. Write it as 60s, 2m or 1h.")
    return float(found[1]) * UNITS[found[2] or ""]
