"""Writes the generated pages: plans, questions, treatments, the tables of diagnosis, and what became of advice."""

import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.faults import FAULTS
from equipoise.core.plan import Plan
from equipoise.core.surgeries import SURGERIES
from equipoise.core.trial import Trial
from equipoise.examine.catalogue import BUILT_IN
from equipoise.examine.probes.all import PROBES
from equipoise.examine.question import Card
from equipoise.stats.multiplicity import benjamini_hochberg
from equipoise.treat.catalogue import built_in, described
from equipoise.treat.change import Change
from equipoise.vitals.detectors.all import all_detectors

HERE = Path(__file__).parent
SURE = 0.1
OUTCOMES = {"adopted": "helped", "harmful": "harmed", "no difference": "no difference", "unsure": "unsure"}
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
    operations = [(f"`{name}`", ", ".join(kind.values), kind.does) for name, kind in SURGERIES.items()]
    parts.append(
        "## Surgeries\n\nWhat `network.surgeries` of a network made elsewhere may hold, such as `activation:relu`."
    )
    parts.append(_table(("surgery", "behind the colon", "what it does"), operations))
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


def treatment_catalogue() -> str:
    """Return the catalogue of treatments, from the docstrings of their modules."""
    found = built_in()
    rows = [
        (f"[`{one.id}`](#{one.id})", _titled(one), ", ".join(f"`{word}`" for word in dict.fromkeys(one.treats)))
        for one in found
    ]
    head = """# The treatments

A treatment makes one difference to a plan. `equipoise treat RUN` tries those that answer the findings of a run, and
keeps what a paired trial proves. A package adds one with an entry point in the group `equipoise.treatments`;
`equipoise.testing.check_treatment` tests it."""
    parts = [HEAD + head, _table(("treatment", "what is done", "answers"), rows)]
    for one in found:
        said = described(one)
        lines = [f"**{name}.** {text}" for name, text in said.items() if name != "What"]
        parts.append("\n\n".join([f"## {one.id}", said["What"], *lines]))
    return "\n\n".join(parts) + "\n"


def _titled(treatment: object) -> str:
    return treatment.title if isinstance(treatment, Change) else ""


def advice_page() -> str:
    """Return what became of the articles' advice, from the record of `benchmarks/advice.py`."""
    bench = _benchmark("advice")
    trials = json.loads(bench.RECORD.read_text(encoding="utf-8"))["trials"] if bench.RECORD.is_file() else {}
    made = {key: one for key, one in trials.items() if "refused" not in one}
    adjusted = benjamini_hochberg(np.array([one["p_value"] for one in made.values()]))
    sure = {key for key, p in zip(made, adjusted, strict=True) if p <= SURE}
    head = f"""# Advice, tried

What five articles advise for neural networks, each bit tried in paired trials on six bundled plans, after what they
have of regularisation, augmentation and schedules was taken off, and, where the advice is against something, that was
put in:
{", ".join(f"`{one}`" for one in bench.PLANS)}.
A cell is the mean difference of the validation score (or of what the advice claims to improve) over seeds, treated
minus untreated at equal counted cost, with its 95 % interval, and what the trial says. {len(made)} trials were made;
those in **bold** stay below {SURE:g} after adjusting their p for so many (Benjamini and Hochberg, 1995). An empty cell
was not tried yet. Made by `python benchmarks/advice.py`."""
    parts = [HEAD + head]
    for one in bench.ADVICE:
        parts.append(f"## {one.says[:1].upper()}{one.says[1:]}")
        parts.append(_tried_advice(one, bench.PLANS, trials, sure) if one.treatments else one.remark)
    return "\n\n".join(parts) + "\n"


def _tried_advice(advice: Any, plans: Iterable[str], trials: Mapping[str, Any], sure: Container[str]) -> str:
    names = tuple(plans)
    rows, outcomes, refused = [], [], []
    for treatment in advice.treatments:
        keys = {plan: f"{plan}/{advice.id}/{treatment}/{advice.question}" for plan in names}
        rows.append((f"`{treatment}`", *(_cell(trials.get(key), key in sure) for key in keys.values())))
        for plan, one in ((plan, trials[key]) for plan, key in keys.items() if key in trials):
            if "refused" in one:
                refused.append(f"`{treatment}` on `{plan}`: {one['refused']}")
            else:
                outcomes.append(one["outcome"])
    counted = ", ".join(f"{word} {outcomes.count(one)}" for one, word in OUTCOMES.items() if one in outcomes)
    summed = (
        f"Of {len(outcomes)} trials: {counted}."
        if outcomes
        else "Cannot be done to these."
        if refused
        else "Not tried yet."
    )
    return "\n\n".join([summed, _table(("treatment", *names), rows), *refused])


def _cell(trial: Mapping[str, Any] | None, sure: bool) -> str:
    if trial is None:
        return ""
    if "refused" in trial:
        return "cannot be done"
    effect = Trial.read(trial).effect
    text = f"{effect.value:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}] {trial['outcome']}"
    return f"**{text}**" if sure else text


def _benchmark(name: str) -> Any:
    """Return a module of `benchmarks/`, which is not part of the package."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", HERE.parent / "benchmarks" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ValueError(f"got no benchmarks/{name}.py; expected the script that makes the record. Put it back.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # frozen dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _question(module: object) -> str:
    asked = _first_line(module).partition(": ")[2]
    return asked[:1].upper() + asked[1:]


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PAGES = {
    "plans.md": plan_reference,
    "questions.md": catalogue,
    "treatments.md": treatment_catalogue,
    "advice.md": advice_page,
    "diagnosis.md": diagnosis,
}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (HERE / name).write_text(write(), encoding="utf-8")
