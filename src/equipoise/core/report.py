"""The record of a whole run: what the report page, the terminal, JUnit and comparisons read."""

from typing import Any

from pydantic import Field

from equipoise.core.certificate import Certificate
from equipoise.core.course import Course
from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding, NotExamined
from equipoise.core.record import Record
from equipoise.core.trial import Trial
from equipoise.core.vital import Vital

SCHEMA_VERSION = 1


class Section(Record):
    """One block of the subject card: a heading and its facts, in order."""

    title: str
    facts: dict[str, str]


class Report(Record):
    """Everything that is known about one examined network.

    Attributes:
        schema_version: Version of this record's layout.
        name: Name of the plan or network.
        created: ISO 8601 time with zone.
        command: The exact command that repeats it.
        subject: The subject card: data, network, recipe, fit, machine and versions.
        plan: The plan as plain values, or empty for a network trained elsewhere.
        layers: The layer table of the network: one row a layer, by column name.
        vitals: The training history, bounded.
        findings: One a question asked.
        trials: Paired trials of treatments, made outside a course.
        course: The course of treatment of the plan, where there was one.
        certificates: What was proved.
        not_examined: Questions not asked, each with its reason and the command that asks it.
        glossary: Terms explained, for the foot of the page.
        references: Sources by question.
        explanations: For each question: why it matters, how it is measured, what a verdict means.
    """

    schema_version: int = SCHEMA_VERSION
    name: str
    created: str
    command: str
    subject: tuple[Section, ...]
    plan: dict[str, Any] = Field(default_factory=dict)
    layers: tuple[dict[str, str], ...] = ()
    vitals: tuple[Vital, ...] = ()
    findings: tuple[Finding, ...] = ()
    trials: tuple[Trial, ...] = ()
    course: Course | None = None
    certificates: tuple[Certificate, ...] = ()
    not_examined: tuple[NotExamined, ...] = ()
    glossary: dict[str, str] = Field(default_factory=dict)
    references: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    explanations: dict[str, str] = Field(default_factory=dict)

    def counts(self) -> dict[Verdict, int]:
        """Return how many findings have each verdict, worst verdict first."""
        ordered = sorted(Verdict, key=lambda one: -one.severity)
        return {one: sum(finding.verdict == one for finding in self.findings) for one in ordered}

    def worst_first(self) -> tuple[Finding, ...]:
        """Return the findings, worst verdict first, in the order asked within one verdict."""
        return tuple(sorted(self.findings, key=lambda finding: -finding.verdict.severity))
