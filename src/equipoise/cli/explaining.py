"""The verb `questions`."""

import textwrap
from pathlib import Path

from equipoise.examine.catalogue import load_plugin, question_named, questions
from equipoise.examine.question import Card, Question

WIDTH = 100


def list_questions(plugins: tuple[Path, ...]) -> str:
    """Return every question with its theme and title, grouped by theme."""
    cards = _cards(plugins)
    width = max(len(card.id) for card in cards)
    lines: list[str] = []
    for theme in dict.fromkeys(card.theme for card in cards):
        lines.append(theme)
        lines += [f"  {card.id:<{width}}  {card.title}" for card in cards if card.theme == theme]
    return "\n".join([*lines, "", "Explain one with: equipoise questions ID"])


def explain(name: str, plugins: tuple[Path, ...]) -> str:
    """Return the explanation of one question.

    Raises:
        ValueError: There is no such question; the message names the nearest.
    """
    card = question_named(name, _loaded(plugins)).card
    lines = [
        f"{estimate}: warn {line.worse} {line.warn:g}, fail {line.worse} {line.fail:g}"
        for estimate, line in card.lines.items()
    ]
    parts = {
        "Why it matters": card.why,
        "How it is measured": card.how,
        "What a verdict means": card.verdicts,
        "Lines (a plan's claims replace them)": "\n".join(lines) or "none",
        "What may help": ", ".join(card.may_help) or "nothing that is known to",
        "Sources": "\n".join(card.sources),
    }
    body = "\n\n".join(f"{head}\n{_wrapped(text)}" for head, text in parts.items())
    return f"{card.id} ({card.theme}): {card.title}\n\n{body}"


def _wrapped(text: str) -> str:
    paragraphs = [line for line in text.splitlines() if line.strip()]
    return "\n".join(textwrap.fill(one, WIDTH, initial_indent="  ", subsequent_indent="  ") for one in paragraphs)


def _cards(plugins: tuple[Path, ...]) -> list[Card]:
    return [question.card for question in questions(_loaded(plugins))]


def _loaded(plugins: tuple[Path, ...]) -> tuple[Question, ...]:
    return tuple(question for path in plugins for question in load_plugin(path))
