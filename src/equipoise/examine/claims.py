"""Thresholds: a question's own, replaced by what a plan claims."""

from collections.abc import Mapping, Sequence

from equipoise.core.complaint import nearest
from equipoise.core.estimate import Line
from equipoise.examine.question import Card, Question

Claims = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Thresholds (`warn`, `fail`) by question id and estimate name, as a plan holds them."""


def check_claims(claims: Claims, asked: Sequence[Question]) -> None:
    """Refuse claims about questions, estimates or thresholds that do not exist.

    Raises:
        ValueError: An unknown question id, estimate name or threshold; the message names the nearest valid one.
    """
    cards = {question.card.id: question.card for question in asked}
    for question in claims:
        if question not in cards:
            raise ValueError(
                f"got claims about a question {question!r}; expected the id of one. {nearest(question, list(cards))}"
            )
        lines_of(cards[question], claims)


def lines_of(card: Card, claims: Claims) -> dict[str, Line]:
    """Return a question's thresholds with the claims about it applied; a claim may give `warn`, `fail` or both.

    Raises:
        ValueError: An unknown estimate name, a threshold other than `warn` and `fail`, or a failing threshold on the
            good side of the warning one.
    """
    lines = dict(card.lines)
    for name, thresholds in claims.get(card.id, {}).items():
        if name not in lines:
            raise ValueError(
                f"got claims.{card.id}.{name}; expected an estimate that has thresholds. {nearest(name, list(lines))}"
            )
        unknown = sorted(set(thresholds) - {"warn", "fail"})
        if unknown:
            raise ValueError(
                f"got claims.{card.id}.{name}.{unknown[0]}; expected `warn` or `fail`. "
                f"{nearest(unknown[0], ['warn', 'fail'])}"
            )
        line = lines[name].replace(**{key: float(value) for key, value in thresholds.items()})
        milder = line.fail < line.warn if line.worse == "above" else line.fail > line.warn
        if milder:
            raise ValueError(
                f"got claims.{card.id}.{name} with warn {line.warn:g} and fail {line.fail:g}; expected fail to be at "
                f"least as bad as warn, and values {line.worse} are worse. Exchange them."
            )
        lines[name] = line
    return lines
