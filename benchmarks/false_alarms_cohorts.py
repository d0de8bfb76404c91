"""How often questions that train a plan again alarm about healthy plans.

Small networks are trained to about the best possible score on samples of known distributions, with a sound recipe and
plenty of data; whatever warns, fails or errs on them is a false alarm. A choice question's alarm is one too: the
distributions are such that every sound choice reaches the same score.

Run it with `python benchmarks/false_alarms_cohorts.py [--seeds 50]`; after each subject it writes
`benchmarks/records/false_alarms_cohorts.json`, and goes on from there when it is run again.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from equipoise.core.atomic import write_text
from equipoise.core.estimate import Verdict
from equipoise.core.recipe import Recipe
from equipoise.examine.ask import ask
from equipoise.examine.catalogue import question_named
from equipoise.examine.subject import Subject
from equipoise.fit.execution import machine
from equipoise.stats.intervals import proportion
from equipoise.testing import best_classifier, best_regressor, trained

RECORD = Path(__file__).parent / "records" / "false_alarms_cohorts.json"

CALIBRATED = (
    "label-noise",
    "data-shortage",
    "memorises-a-batch",
    "optimizer-choice",
    "activation-choice",
    "loss-choice",
    "architecture-choice",
    "bias-variance",
    "sample-efficiency",
    "seed-stability",
    "numeric-stability",
)

RECIPE = Recipe(learning_rate=1e-2, epochs=10)

SUBJECTS: dict[str, Callable[[int], Subject]] = {
    "three classes": lambda seed: best_classifier(seed=seed, n=800, separation=3.5),
    "two classes": lambda seed: best_classifier(seed=seed, n=800, classes=2, separation=3.5),
    "values": lambda seed: best_regressor(seed=seed, n=800, noise=0.3, mean=50.0, scale=7.0),
}


def verdicts(kind: str, seed: int, names: Sequence[str] = CALIBRATED) -> dict[str, str]:
    """Return each question's verdict on a healthy subject, and for an alarm its claim after a colon."""
    subject = trained(SUBJECTS[kind](seed), recipe=RECIPE, seed=seed)
    said: dict[str, str] = {}
    for name in names:
        finding = ask(question_named(name), subject, seed=seed)
        alarm = finding.verdict.severity >= Verdict.WARN.severity
        said[name] = f"{finding.verdict.value}: {finding.claim}" if alarm else finding.verdict.value
    return said


def rates(subjects: dict[str, dict[str, str]]) -> dict[str, dict[str, Any]]:
    """Return for each question the counts of its verdicts and its rate of alarms with interval, of those asked."""
    found: dict[str, dict[str, Any]] = {}
    for name in CALIBRATED:
        said = [one[name].partition(":")[0] for one in subjects.values() if name in one]
        asked = [one for one in said if one != Verdict.SKIPPED.value]
        if asked:
            alarms = proportion(sum(one in ("warn", "fail", "error") for one in asked), len(asked))
            found[name] = {"alarms": alarms.plain(), "verdicts": {one.value: said.count(one.value) for one in Verdict}}
    return found


def main() -> None:
    """Measure what the record does not hold yet, and write it after every subject."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="healthy subjects of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {"by_subject": {}, "seconds": 0.0}
    by_subject, seconds = kept["by_subject"], kept["seconds"]
    for kind, seed in ((kind, seed) for seed in range(options.seeds) for kind in SUBJECTS):
        name = f"{kind}, seed {seed}"
        if name in by_subject:
            continue
        start = time.perf_counter()
        by_subject[name] = verdicts(kind, seed)
        seconds = round(seconds + time.perf_counter() - start, 1)
        _write(by_subject, options.seeds, seconds)
        print(f"{name}: {seconds:.0f} s in all", flush=True)
    for name, row in rates(by_subject).items():
        alarms = row["alarms"]
        print(f"{name:<20} {alarms['value']:7.2%} [{alarms['low']:.2%}, {alarms['high']:.2%}]  {row['verdicts']}")


def _write(by_subject: dict[str, dict[str, str]], seeds: int, seconds: float) -> None:
    packages = ("equipoise", "torch", "numpy", "scipy")
    record = {
        "what": "share of warn, fail and error verdicts on healthy plans, of those that could be asked",
        "command": f"python benchmarks/false_alarms_cohorts.py --seeds {seeds}",
        "seconds": seconds,
        "machine": machine(),
        "versions": {name: version(name) for name in packages} | {"python": platform.python_version()},
        "questions": rates(by_subject),
        "by_subject": by_subject,
    }
    RECORD.parent.mkdir(exist_ok=True)
    write_text(RECORD, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
