"""What a question costs on this network, and how many samples its budget allows."""

import math
import time

import torch

from equipoise.examine.question import Context
from equipoise.examine.subject import Subject


@torch.no_grad()
def seconds_per_sample(subject: Subject, *, batch: int = 64) -> float:
    """Return the measured seconds of one forward pass a sample, in a batch of at most `batch`.

    The fastest of a few passes counts, so that whatever else runs on the machine at the moment does not; a slow network
    gets one.
    """
    part = subject.part("test")
    inputs, _ = part.batch(torch.arange(min(batch, len(part))))
    times: list[float] = []
    subject.network.scores(inputs[:2])
    while len(times) < 5 and sum(times) < 0.2:
        start = time.perf_counter()
        subject.network.scores(inputs)
        times.append(time.perf_counter() - start)
    return min(times) / len(inputs)


def affordable(subject: Subject, context: Context, *, passes: float, most: int, seconds: float = math.inf) -> int:
    """Return how many test samples may be used: all up to `most`, fewer on a slow network.

    Fewer means a power of two, so that the number does not follow every jitter of the clock; at least 16.

    Args:
        subject: The subject.
        context: Its budget counts.
        passes: Forward passes (a backward one counts as two) that each sample needs.
        most: Never more than this.
        seconds: What the passes may take, when that is less than half of the budget.
    """
    have = min(most, subject.limit, len(subject.part("test")))
    can = min(seconds, 0.5 * context.budget_s) / max(passes * seconds_per_sample(subject), 1e-12)
    if can >= have:
        return have
    return min(have, max(16, 2 ** int(math.log2(max(can, 1.0)))))


def drawn(n: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Return `count` of `n` positions, drawn without replacement and in order; all when `count >= n`."""
    if count >= n:
        return torch.arange(n)
    return torch.randperm(n, generator=generator)[:count].sort().values
