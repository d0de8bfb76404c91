"""The seam that a question plugs into."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch

from equipoise.core.estimate import Line
from equipoise.core.finding import Finding
from equipoise.core.progress import Listener, silent
from equipoise.examine.subject import Subject

THEMES = (
    "data",
    "learning",
    "choice",
    "generalisation",
    "stability",
    "noise",
    "security",
    "privacy",
    "fairness",
    "explanation",
    "efficiency",
)


@dataclass(frozen=True, slots=True)
class Card:
    """What a reader should know about a question; printed by `equipoise questions ID`.

    Attributes:
        id: Kebab-case name.
        theme: One of `THEMES`.
        title: The question in a few words, ending with a question mark.
        why: Why it matters.
        how: How it is measured, with the estimator and its interval.
        verdicts: What pass, unsure, warn and fail mean here.
        may_help: What may help, most promising first: ids of treatments (`equipoise.treat`), and phrases of several
            words for what is none.
        sources: Papers: authors, title, venue and year; or `original`.
        lines: Default thresholds by estimate name; a plan's claims replace them.
    """

    id: str
    theme: str
    title: str
    why: str
    how: str
    verdicts: str
    may_help: tuple[str, ...]
    sources: tuple[str, ...]
    lines: Mapping[str, Line] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What the frame hands to a question.

    Attributes:
        generator: The question's own CPU random generator; it must draw from no other.
        lines: Its thresholds, with the plan's claims applied.
        budget_s: Seconds it may take.
        on_progress: Told how far it is, by a question that takes long.
    """

    generator: torch.Generator
    lines: Mapping[str, Line]
    budget_s: float
    on_progress: Listener = silent


class InapplicableError(Exception):
    """Raised by a question that cannot be asked of this subject; the message is the reason, shown as `skipped`."""


@runtime_checkable
class Question(Protocol):
    """A question; built-in ones are frozen dataclasses, third parties plug in through `equipoise.questions`."""

    @property
    def card(self) -> Card:
        """What a reader should know about it."""

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: It makes no sense for this task or data, or needs the fit of a network trained elsewhere.
        """
