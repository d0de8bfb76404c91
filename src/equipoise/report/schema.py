"""The published JSON Schema of `report.json`, made from the records and their docstrings."""

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

from equipoise.core.record import Record
from equipoise.core.report import SCHEMA_VERSION, Report

_ATTRIBUTE = re.compile(r"^(?P<names>\w+(?:, \w+)*): (?P<text>.*)$")


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a report, every field described.

    JSON has no numbers that are not finite: the words "NaN", "Infinity" and "-Infinity" stand in their place.
    """
    made: dict[str, Any] = Report.model_json_schema(mode="serialization")
    for name, described in _parts(made):
        _describe(described, name)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Numbers that are not finite are written as the words NaN, Infinity and -Infinity.",
        "title": f"Equipoise report, version {SCHEMA_VERSION}",
    }
    return head | {key: value for key, value in made.items() if key != "title"}


def schema_text() -> str:
    """Return the schema as the text of `docs/report.schema.json`."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _parts(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "Report", made
    yield from made.get("$defs", {}).items()


def _describe(described: dict[str, Any], name: str) -> None:
    """Put what the record's docstring says of each attribute beside the field that it describes."""
    record = {one.__name__: one for one in _records(Record)}.get(name)
    if record is None:
        return
    summary, attributes = documented(inspect.getdoc(record) or "")
    described["description"] = summary
    for field, text in attributes.items():
        if field in described.get("properties", {}):
            described["properties"][field]["description"] = text


def _records(kind: type[Record]) -> Iterator[type[Record]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("equipoise.core."):
            yield one
            yield from _records(one)


def documented(docstring: str) -> tuple[str, dict[str, str]]:
    """Return a Google-style docstring's text before `Attributes:`, and the description of each attribute."""
    summary, _, section = docstring.partition("Attributes:")
    attributes: dict[str, str] = {}
    current: tuple[str, ...] = ()
    for line in section.splitlines():
        indent = len(line) - len(line.lstrip())
        match = _ATTRIBUTE.match(line.strip()) if indent == 4 else None
        if match:
            current = tuple(match["names"].split(", "))
            attributes |= dict.fromkeys(current, match["text"])
        elif line.strip() and indent > 4:
            attributes |= {name: f"{attributes[name]} {line.strip()}" for name in current}
        elif line.strip():
            break
    return " ".join(summary.split()), attributes
