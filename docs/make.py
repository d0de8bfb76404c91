"""Writes the two generated pages: the reference of plans and the catalogue of questions."""

from pathlib import Path
from typing import Any

from equipoise.core.plan import Plan
from equipoise.examine.catalogue import BUILT_IN
from equipoise.examine.question import Card

HERE = Path(__file__).parent
HEAD = "<!-- Written by docs/make.py; change the docstrings, then run it again. -->\n\n"


def plan_reference() -> str:
    """Return the reference of every key of a plan, from the records themselves."""
    schema = Plan.model_json_schema()
    parts = [HEAD + "# Reference of plans\n\nA plan is a TOML file; unknown keys and wrong types are refused."]
    for name, record in {"Plan": schema, **schema["$defs"]}.items():
        if "properties" not in record:
            continue
        parts.append(f"## {name}\n\n{_paragraphs(record.get('description', ''))}")
        rows = [_row(key, value) for key, value in record["properties"].items()]
        parts.append("| key | type | default |\n|---|---|---|\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _paragraphs(text: str) -> str:
    """Return a docstring as Markdown: each attribute a list item, its continuation lines on the same line."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("        ") and lines:
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(f"- {line.strip()}" if line.startswith("    ") else line)
    return "\n".join(line for line in lines if line != "Attributes:")


def _row(key: str, value: dict[str, Any]) -> str:
    shown = "default" in value and not isinstance(value["default"], dict)
    default = f"`{value['default']!r}`".replace("|", "\\|") if shown else ""
    return f"| `{key}` | {_type(value)} | {default} |"


def _type(value: dict[str, Any]) -> str:
    if "enum" in value:
        return " \\| ".join(f"`{one}`" for one in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "$ref" in value:
        return value["$ref"].rpartition("/")[2]
    if "anyOf" in value or "oneOf" in value:
        return " or ".join(_type(one) for one in value.get("anyOf", value.get("oneOf")))
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}))}"
    return str(value.get("type", "any"))


def catalogue() -> str:
    """Return the catalogue of questions, from their cards."""
    cards = [question.card for question in BUILT_IN]
    parts = [HEAD + "# The questions"]
    parts.append("| question | theme | asks |\n|---|---|---|\n" + "\n".join(_line(card) for card in cards))
    parts += [_chapter(card) for card in cards]
    return "\n\n".join(parts) + "\n"


def _line(card: Card) -> str:
    return f"| [`{card.id}`](#{card.id}) | {card.theme} | {card.title} |"


def _chapter(card: Card) -> str:
    lines = [
        f"`{name}`: warn {line.worse} {line.warn:g}, fail {line.worse} {line.fail:g}"
        for name, line in card.lines.items()
    ]
    return "\n\n".join(
        [
            f"## {card.id}",
            f"*{card.title}*",
            card.why,
            f"**How it is measured.** {card.how}",
            f"**What a verdict means.** {card.verdicts}",
            f"**Lines.** {'; '.join(lines) or 'none'}.",
            f"**What may help.** {', '.join(card.may_help) or 'nothing that is known to'}.",
            "**Sources.** " + " · ".join(card.sources),
        ]
    )


PAGES = {"plans.md": plan_reference, "questions.md": catalogue}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (HERE / name).write_text(write(), encoding="utf-8")
