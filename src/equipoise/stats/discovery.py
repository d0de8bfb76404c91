"""Tests that come one after another: how much each may risk, so that few of what is believed is false."""

from collections.abc import Sequence
from itertools import count, islice

RATE = 0.1
"""Expected share of false discoveries among all."""

EXPONENT = 1.6
"""How fast the levels fall with the number of tests (Javanmard and Montanari 2018 use the same form)."""


def next_level(discoveries: Sequence[bool], rate: float = RATE) -> float:
    """Return the level of the test that comes next (LOND; Javanmard and Montanari, Annals of Statistics 2018).

    The i-th test gets rate * weight(i) * (1 + discoveries so far), with weights that sum to 1. Calling a p value at
    most its level a discovery keeps the expected share of false ones at most `rate`, also where the p values depend on
    one another positively, as those of treatments that share their controls do (Zrnic, Ramdas and Jordan, JMLR 2021).

    Args:
        discoveries: Whether each of the tests so far was a discovery, in their order.
        rate: The share that is kept, in (0, 1).
    """
    return rate * weight(len(discoveries) + 1) * (1 + sum(discoveries))


def weight(number: int) -> float:
    """Return the share of the rate that the test with this number, from 1 on, may risk."""
    return number**-EXPONENT / _ZETA


def _zeta(exponent: float, terms: int = 100_000) -> float:
    """Return the sum of i^-exponent over all i: the first terms, and the integral of the others from the middle on."""
    head = sum(i**-exponent for i in islice(count(1), terms))
    return head + (terms + 0.5) ** (1 - exponent) / (exponent - 1)


_ZETA = _zeta(EXPONENT)
