"""From estimates to a finding: the one way in which questions reach their verdict."""

from collections.abc import Mapping, Sequence

from equipoise.core.estimate import Estimate, Line, Verdict, judge, n_to_settle
from equipoise.core.figure import Figure, Tile
from equipoise.core.finding import Finding
from equipoise.examine.question import Card

MOST_SAMPLES = 10_000_000
"""Beyond this, the number of samples that would settle a verdict is no advice."""


def conclude(
    card: Card,
    claim: str,
    estimates: Mapping[str, Estimate],
    lines: Mapping[str, Line],
    *,
    where: Sequence[str] = (),
    worst_samples: Sequence[Tile] = (),
    figures: Sequence[Figure] = (),
    treatments: Sequence[str] | None = None,
    assumptions: Sequence[str] = (),
    counted: str = "samples",
) -> Finding:
    """Return the finding whose verdict is the worst that any judged estimate supports.

    Estimates that have a line are judged by it; the others are reported only. An `unsure` verdict adds to the claim
    how many would settle it, in the word `counted` for what the estimates' n counts.
    """
    judged = {name: judge(estimates[name], line) for name, line in lines.items() if name in estimates}
    verdict = max(judged.values(), key=lambda one: one.severity, default=Verdict.PASS)
    unsure = [name for name, one in judged.items() if one is Verdict.UNSURE]
    if verdict is Verdict.UNSURE and unsure:
        needed = [n_to_settle(estimates[name], lines[name]) for name in unsure]
        n = max((one for one in needed if one is not None), default=None)
        settled = n is not None and None not in needed and n <= MOST_SAMPLES
        claim += (
            f" About {n:,} {counted} would settle it."
            if settled
            else f" It lies too near a line to be settled by {counted}."
        )
    helps = card.may_help if treatments is None else treatments
    return Finding(
        question=card.id,
        theme=card.theme,
        title=card.title,
        verdict=verdict,
        claim=claim,
        estimates=dict(estimates),
        lines={name: line for name, line in lines.items() if name in estimates},
        where=tuple(where),
        worst_samples=tuple(worst_samples),
        figures=tuple(figures),
        treatments=() if verdict in (Verdict.PASS, Verdict.SKIPPED) else tuple(helps),
        assumptions=tuple(assumptions),
    )
