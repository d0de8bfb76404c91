"""Puts findings and facts together into the one record that every output is made from."""

import datetime
from collections.abc import Sequence

import torch

from equipoise.core.finding import Finding, NotExamined
from equipoise.core.report import Report
from equipoise.examine.card import subject_card
from equipoise.examine.catalogue import questions
from equipoise.examine.glossary import GLOSSARY
from equipoise.examine.question import Question
from equipoise.examine.subject import Subject
from equipoise.networks.layers import layer_rows


def report_of(
    subject: Subject,
    findings: Sequence[Finding],
    not_examined: Sequence[NotExamined],
    *,
    name: str,
    command: str,
    plugins: Sequence[Question] = (),
) -> Report:
    """Return the report of an examined subject.

    Args:
        subject: What was examined.
        findings: The answers, in the order asked.
        not_examined: Questions not asked, with their reasons.
        name: Name of the plan or network.
        command: The exact command that repeats it.
        plugins: Questions beyond the installed ones, whose explanations the page needs.
    """
    asked = {finding.question for finding in findings}
    cards = [question.card for question in (*questions(), *plugins) if question.card.id in asked]
    inputs, _ = subject.part("test").batch(torch.zeros(1, dtype=torch.int64))
    return Report(
        name=name,
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        command=command,
        subject=subject_card(subject.network, subject.splits, subject.fit),
        plan=subject.plan.plain() if subject.plan else {},
        layers=layer_rows(subject.network, inputs),
        vitals=subject.fit.vitals if subject.fit else (),
        findings=tuple(findings),
        not_examined=tuple(not_examined),
        glossary=GLOSSARY,
        references={card.id: card.sources for card in cards},
        explanations={card.id: f"{card.why}\n\n{card.how}\n\n{card.verdicts}" for card in cards},
    )
