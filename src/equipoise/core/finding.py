"""The answer to one question."""

from pydantic import Field

from equipoise.core.estimate import Estimate, Line, Verdict
from equipoise.core.figure import Figure, Tile
from equipoise.core.record import Record


class Finding(Record):
    """What one question found on one network.

    Attributes:
        question: Id of the question, kebab-case.
        theme: Theme it belongs to, such as `data` or `generalisation`.
        title: The question in a few words, as a heading.
        verdict: The conclusion.
        claim: One sentence with its numbers in it.
        estimates: Every measured number by name, each with its interval.
        lines: The thresholds used, by the name of the estimate each belongs to.
        where: Places it concerns: columns, layers, classes; worst first.
        worst_samples: The samples that show it best, as a person would look at them.
        figures: What to draw in its chapter.
        treatments: What may help, most promising first: ids of treatments, and phrases for what is none.
        assumptions: What must hold for the numbers to mean what they say.
        seconds: Wall-clock time that the answer took.
    """

    question: str
    theme: str
    title: str
    verdict: Verdict
    claim: str
    estimates: dict[str, Estimate] = Field(default_factory=dict)
    lines: dict[str, Line] = Field(default_factory=dict)
    where: tuple[str, ...] = ()
    worst_samples: tuple[Tile, ...] = ()
    figures: tuple[Figure, ...] = ()
    treatments: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    seconds: float = 0.0


class NotExamined(Record):
    """A question that was not asked, why, and the command that asks it."""

    question: str
    theme: str
    reason: str
    command: str = ""
