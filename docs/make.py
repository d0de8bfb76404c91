"""Writes the generated pages: the reference of plans, the catalogue of questions, and the tables of diagnosis."""

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from equipoise.core.faults import FAULTS
from equipoise.core.plan import Plan
from equipoise.examine.catalogue import BUILT_IN
from equipoise.examine.probes.all import PROBES
from equipoise.examine.question import Card
from equipoise.vitals.detectors.all import all_detectors

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


def diagnosis() -> str:
    """Return the page on diagnosis with its tables written anew; the prose between them stays as it is."""
    text = (HERE / "diagnosis.md").read_text(encoding="utf-8")
    for name, table in {"faults": fault_table(), "probes": probe_table(), "detectors": detector_table()}.items():
        between = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text, found = between.subn(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", text)
        if found != 1:
            raise ValueError(
                f"diagnosis.md: got {found} places for the table of {name}; expected one. Put its two comments back."
            )
    return text


def fault_table() -> str:
    """Return the vocabulary of faults as a table."""
    rows = [
        (f"`{word}`", one.title, one.cure, ", ".join(f"`{cause}`" for cause in one.symptom_of))
        for word, one in FAULTS.items()
    ]
    return _table(("fault", "what is wrong", "cure", "often brought about by"), rows)


def probe_table() -> str:
    """Return the probes as a table, each with the question that its module's docstring asks."""
    rows = [(f"`{name}`", _question(inspect.getmodule(inspect.unwrap(probe)))) for name, probe in PROBES.items()]
    return _table(("probe", "asks"), rows)


def detector_table() -> str:
    """Return the streaming detectors as a table, each with the first line of its docstring."""
    rows = [
        (f"`{one.name}`", _first_line(type(one)), ", ".join(f"`{word}`" for word in one.faults))
        for one in all_detectors()
    ]
    return _table(("detector", "says", "suggests"), rows)


def _question(module: object) -> str:
    asked = _first_line(module).partition(": ")[2]
    return asked[:1].upper() + asked[1:]


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PAGES = {"plans.md": plan_reference, "questions.md": catalogue, "diagnosis.md": diagnosis}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (HERE / name).write_text(write(), encoding="utf-8")
