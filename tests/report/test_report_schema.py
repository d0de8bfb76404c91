import json
from pathlib import Path

from equipoise.core.finding import Finding
from equipoise.core.report import Report
from equipoise.report.schema import documented, schema, schema_text

PUBLISHED = Path(__file__).parents[2] / "docs" / "report.schema.json"


def _matches(value, rule, whole) -> None:
    """A small validator of what the schema uses: references, unions, objects, arrays, constants and types."""
    if "$ref" in rule:
        rule = whole["$defs"][rule["$ref"].rpartition("/")[2]]
    if "discriminator" in rule:
        tag = rule["discriminator"]["propertyName"]
        name = rule["discriminator"]["mapping"][value[tag]].rpartition("/")[2]
        return _matches(value, whole["$defs"][name], whole)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    if "type" in rule:
        assert isinstance(value, kinds[rule["type"]]), (value, rule)
    if "const" in rule:
        assert value == rule["const"]
    if "enum" in rule:
        assert value in rule["enum"]
    if isinstance(value, dict):
        assert set(rule.get("required", ())) <= set(value)
        properties, others = rule.get("properties", {}), rule.get("additionalProperties", True)
        for name, one in value.items():
            if name in properties:
                _matches(one, properties[name], whole)
            elif isinstance(others, dict):
                _matches(one, others, whole)
            else:
                assert others is True, name
    if isinstance(value, list):
        for one in value:
            _matches(one, rule.get("items", {}), whole)
    return None


def test_published_schema_is_current():
    command = "python -c 'from equipoise.report.schema import schema_text; print(schema_text(), end=str())'"
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text(), f"Write it anew: {command} > docs/report.schema.json"


def test_a_report_follows_its_schema(report):
    whole = schema()
    _matches(json.loads(json.dumps(report.plain())), whole, whole)


def test_every_field_of_report_finding_and_estimate_is_described():
    whole = schema()
    assert whole["properties"]["findings"]["description"] == "One a question asked."
    for part in (whole, *(whole["$defs"][name] for name in ("Finding", "Estimate", "Vital", "Trial", "Certificate"))):
        assert part["description"]
        assert not [name for name, field in part["properties"].items() if not field.get("description")]
    assert set(whole["$defs"]["Finding"]["properties"]) == set(Finding.model_fields)
    assert set(whole["properties"]) == set(Report.model_fields)


def test_documented_reads_shared_and_continued_lines():
    text = "Summary\nmore.\n\nAttributes:\n    a, b: First\n        goes on.\n    c: Third.\n\nNot this: no."
    assert documented(text) == ("Summary more.", {"a": "First goes on.", "b": "First goes on.", "c": "Third."})
