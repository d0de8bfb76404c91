"""One seed, many purposes: numbers that nothing else can disturb."""

import hashlib


def derive(seed: int, purpose: str, *numbers: int) -> int:
    """Return a seed for one purpose, such as the order of round 7; a pure function of its arguments.

    Args:
        seed: The seed of the fit.
        purpose: What is drawn; different purposes never share a stream.
        numbers: Which one, when there are many (the round).

    Returns:
        A number in 0..2**63 - 1, as `torch.Generator.manual_seed` takes it.
    """
    text = "/".join((str(seed), purpose, *map(str, numbers)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
