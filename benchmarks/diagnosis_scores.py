"""How verdicts are scored against what is known about the programs; every share with n and its Wilson interval.

A verdict is a dictionary: `healthy` (None when the tool failed or gave none), `causes` (likeliest first, each with
`fault` and `where`), `seconds`, `allowed_s`. No verdict is a miss on a faulty program, no alarm on a healthy one, and
counted.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import numpy as np
from benchmarks.diagnosis_places import allowed, places

from equipoise.stats.intervals import proportion

Verdict = dict[str, Any]
Share = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known about one version of a program.

    Attributes:
        group: `strong` or `weak` for a faulty version, `control` for a healthy one that trains well and has no fault
            left, `other` for a fixed version that keeps a lesser fault or was not verified.
        faults: The faults, the main one first.
        acceptable: Words that are fair without being right.
        places: Where the fault is; `optimizer.*` allows every field.
    """

    group: str
    faults: tuple[str, ...] = ()
    acceptable: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


def truths(package: ModuleType, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Truth]:
    """Return what is known about versions of programs, by (id, version)."""
    facts, controls = package.facts(), set(package.controls())
    found = {}
    for case, version in wanted:
        fact = facts.get(case, {})
        lesser = tuple(fact.get("present_in_both") or ())
        if version == "fixed":
            found[case, version] = Truth("control" if (case, version) in controls else "other", acceptable=lesser)
            continue
        faults = tuple(fact["faults"])
        fair = tuple(word for word in (*(fact.get("also_changed") or ()), *lesser) if word not in faults)
        where = tuple(sorted(places(package, case)))
        found[case, version] = Truth(fact["strength"], faults, fair, where)
    return found


def flagged(verdict: Verdict) -> bool:
    """Return whether the tool said that something is wrong."""
    return verdict["healthy"] is False


def _named(verdict: Verdict, first: int, words: Iterable[str]) -> bool:
    words = set(words)
    return flagged(verdict) and any(cause["fault"] in words for cause in verdict["causes"][:first])


def _placed(verdict: Verdict, first: int, truth: Truth) -> bool:
    return flagged(verdict) and any(allowed(cause["where"] or "", truth.places) for cause in verdict["causes"][:first])


FAULTY: dict[str, Callable[[Verdict, Truth], bool]] = {
    "recall": lambda verdict, _: flagged(verdict),
    "first": lambda verdict, truth: _named(verdict, 1, truth.faults),
    "three": lambda verdict, truth: _named(verdict, 3, truth.faults),
    "main_first": lambda verdict, truth: _named(verdict, 1, truth.faults[:1]),
    "first_or_acceptable": lambda verdict, truth: _named(verdict, 1, (*truth.faults, *truth.acceptable)),
    "three_or_acceptable": lambda verdict, truth: _named(verdict, 3, (*truth.faults, *truth.acceptable)),
    "place_first": lambda verdict, truth: _placed(verdict, 1, truth),
    "place_three": lambda verdict, truth: _placed(verdict, 3, truth),
}
"""What is counted on faulty programs; each is a share of all runs, missed ones included."""

FIXED: dict[str, Callable[[Verdict, Truth], bool]] = {
    "alarm": lambda verdict, _: flagged(verdict),
    "unfair_alarm": lambda verdict, truth: (
        flagged(verdict) and any(cause["fault"] not in truth.acceptable for cause in verdict["causes"][:1])
    ),
}
"""What is counted on fixed and healthy ones; an alarm that first names a fault the fixed version keeps is fair."""


def share(hits: list[bool], cases: list[str]) -> Share:
    """Return a share with n and its Wilson interval; `programs` says over how many programs it runs."""
    if not hits:
        return {"hits": 0, "n": 0, "programs": 0}
    found = proportion(sum(hits), len(hits))
    figures = {name: round(float(getattr(found, name)), 4) for name in ("value", "low", "high")}
    return {"hits": sum(hits), "n": len(hits), **figures, "programs": len(set(cases))}


def scores(verdicts: list[Verdict], known: dict[tuple[str, str], Truth]) -> dict[str, Any]:
    """Return the scores of one tool.

    Returns:
        By group (`strong`, `weak`, `control`, `other`) the shares of `FAULTY` or `FIXED`; and `seconds`, `failures` (no
        verdict), and `balance` (Youden's J: recall of strong less false alarms on controls).
    """
    groups: dict[str, list[tuple[Verdict, Truth]]] = {}
    for one in verdicts:
        truth = known[one["case"], one["version"]]
        groups.setdefault(truth.group, []).append((one, truth))
    table: dict[str, Any] = {}
    for group in ("strong", "weak", "control", "other"):
        rows = groups.get(group, [])
        counted = FAULTY if group in ("strong", "weak") else FIXED
        cases = [one["case"] for one, _ in rows]
        table[group] = {name: share([rule(*row) for row in rows], cases) for name, rule in counted.items()}
    table["failures"] = sum(one["healthy"] is None for one in verdicts)
    table["seconds"] = seconds(verdicts)
    recall, alarms = table["strong"]["recall"], table["control"]["alarm"]
    if recall["n"] and alarms["n"]:
        table["balance"] = round(recall["value"] - alarms["value"], 4)
    return table


def seconds(verdicts: list[Verdict]) -> dict[str, Any]:
    """Return the time to a verdict: median, 90 %, most, the share within what is allowed; and the same of CPU time."""
    if not verdicts:
        return {"n": 0}
    within = share([one["seconds"] <= one["allowed_s"] for one in verdicts], [one["case"] for one in verdicts])
    busy = [one["cpu_seconds"] for one in verdicts if one.get("cpu_seconds") is not None]
    return {"n": len(verdicts), **_spread([one["seconds"] for one in verdicts]), "within": within, "cpu": _spread(busy)}


def _spread(took: list[float]) -> dict[str, float]:
    if not took:
        return {}
    figures = {"median": np.median(took), "p90": np.quantile(took, 0.9), "most": np.max(took)}
    return {name: round(float(value), 3) for name, value in figures.items()}


def as_record(known: dict[tuple[str, str], Truth]) -> dict[str, Any]:
    """Return what is known about the programs as plain values, by `id version`."""
    return {f"{case} {version}": asdict(truth) for (case, version), truth in known.items()}


COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("recall", "strong", "recall"),
    ("alarms", "control", "alarm"),
    ("1st", "strong", "first"),
    ("top 3", "strong", "three"),
    ("main 1st", "strong", "main_first"),
    ("1st/fair", "strong", "first_or_acceptable"),
    ("3/fair", "strong", "three_or_acceptable"),
    ("place", "strong", "place_first"),
    ("place 3", "strong", "place_three"),
)


def table(scored: dict[str, dict[str, Any]], notes: dict[str, str]) -> str:
    """Return one table of all tools: shares in percent with Wilson intervals, seconds, and what is not in a column."""
    widest = max([len(name) for name in (*scored, *notes)] + [4])
    columns = [name.rjust(13) for name, _, _ in COLUMNS]
    head = ["tool".ljust(widest), *columns, "J".rjust(5), "s med/90/max".rjust(16), "in time", "CPU s".rjust(16)]
    lines = ["  ".join(head)]
    for name, row in scored.items():
        cells = [_cell(row[group][key]).rjust(13) for _, group, key in COLUMNS]
        time = row["seconds"]
        within = f"{time['within']['value']:.0%}" if time["n"] else "-"
        balance = f"{100 * row['balance']:.0f}" if "balance" in row else "-"
        clocks = [_clock(time).rjust(16), within.rjust(7), _clock(time.get("cpu", {})).rjust(16)]
        lines.append("  ".join([name.ljust(widest), *cells, balance.rjust(5), *clocks]))
    lines += [f"{name.ljust(widest)}  {note}" for name, note in notes.items()]
    for name, row in scored.items():
        strong, control = row["strong"]["recall"], row["control"]["alarm"]
        lines.append(
            f"{name}: strong n = {strong['n']} ({strong['programs']} programs), controls n = {control['n']} "
            f"({control['programs']}); weak flagged {_of(row['weak']['recall'])}, "
            f"right first {_of(row['weak']['first'])}; "
            f"other fixed flagged {_of(row['other']['alarm'])}, unfairly {_of(row['other']['unfair_alarm'])}; "
            f"no verdict {row['failures']}"
        )
    return "\n".join(lines)


def _cell(one: Share) -> str:
    return f"{100 * one['value']:.0f} [{100 * one['low']:.0f}, {100 * one['high']:.0f}]" if one["n"] else "-"


def _clock(took: dict[str, Any]) -> str:
    return f"{took['median']:.1f}/{took['p90']:.1f}/{took['most']:.1f}" if took.get("median") is not None else "-"


def _of(one: Share) -> str:
    return f"{one['hits']}/{one['n']}"


def listing(verdicts: list[Verdict], known: dict[tuple[str, str], Truth]) -> str:
    """Return a line for every run that is not right: misses, wrong names, wrong places, false alarms, failures."""
    lines = []
    for one in sorted(verdicts, key=lambda one: (one["tool"], one["version"], one["case"], one["seed"])):
        truth = known[one["case"], one["version"]]
        marks = _marks(one, truth)
        if marks:
            said = "; ".join(f"{cause['fault']} @ {cause['where']}" for cause in one["causes"][:3])
            wanted = f" | wanted {', '.join(truth.faults)} @ {', '.join(truth.places[:4])}" if truth.faults else ""
            lines.append(
                f"{one['tool']} {one['case']} {one['version']} seed {one['seed']}: {', '.join(marks)} | "
                f"{one['error'] or said or 'healthy'}{wanted} | {one['seconds']:.1f} s"
            )
    return "\n".join(lines)


def _marks(one: Verdict, truth: Truth) -> list[str]:
    if one["healthy"] is None:
        return ["NO VERDICT"]
    if truth.group in ("control", "other"):
        return [f"FALSE ALARM ({truth.group})"] if flagged(one) else []
    if not flagged(one):
        return ["MISSED"]
    marks = [] if FAULTY["first"](one, truth) else ["right in 3" if FAULTY["three"](one, truth) else "wrong fault"]
    return marks + ([] if FAULTY["place_first"](one, truth) else ["wrong place"])
