"""Measures how often each question raises an alarm about a healthy network, over many seeds.

Healthy subjects are Bayes-optimal networks on data drawn afresh for each seed: nothing is wrong with them by
construction, so every `warn` or `fail` is a false alarm. Questions about training get loss curves that went well.

Run it with `python benchmarks/false_alarms.py [--seeds 200] [--write]`; `--write` keeps the result as a record.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from equipoise.core.estimate import Verdict
from equipoise.examine.ask import ask
from equipoise.examine.catalogue import question_named
from equipoise.examine.question import Question
from equipoise.examine.subject import Subject
from equipoise.stats.intervals import proportion
from equipoise.testing import best_classifier, best_regressor, with_history

RECORD = Path(__file__).parent / "records" / "false_alarms.json"

CALIBRATED = (
    "data-quality",
    "input-scale",
    "target-scale",
    "class-balance",
    "split-leakage",
    "loss-trend",
    "accuracy",
    "overfitting",
    "underfitting",
    "calibration",
)
"""Questions that a linear network with known data can be asked; the others are calibrated on trained networks."""


def loss_curves(seed: int, steps: int = 400, epochs: int = 20) -> tuple[list[float], list[float]]:
    """Return the noisy training and validation losses of a training that went well: falling fast, then settling."""
    rng = np.random.default_rng(seed)
    floor, rate, noise = rng.uniform(0.02, 0.5), rng.uniform(6, 25), rng.uniform(0.02, 0.35)

    def course(n: int, wobble: float) -> list[float]:
        fall = floor + (1.1 - floor) * np.exp(-rate * np.arange(n) / n)
        return [float(value) for value in fall * np.exp(wobble * rng.standard_normal(n))]

    return course(steps, noise), course(epochs, noise / 4)


SUBJECTS: dict[str, Callable[[int], Subject]] = {
    "three classes, 250 test samples": lambda seed: best_classifier(seed=seed, n=1000, separation=2.5),
    "two classes, 90 test samples": lambda seed: best_classifier(seed=seed, n=360, classes=2, separation=2.0),
    "ten classes, 500 test samples": lambda seed: best_classifier(
        seed=seed, n=2000, classes=10, features=12, separation=3.5
    ),
    "values, 250 test samples": lambda seed: best_regressor(seed=seed, n=1000, noise=0.5, mean=50.0, scale=7.0),
    "values, 60 test samples": lambda seed: best_regressor(seed=seed, n=240, noise=1.0),
}


def tally(seeds: Sequence[int], asked: Sequence[Question]) -> dict[str, dict[str, int]]:
    """Return how often each verdict came, by question, over all subjects and seeds."""
    counts = {question.card.id: dict.fromkeys((one.value for one in Verdict), 0) for question in asked}
    for place, make in enumerate(SUBJECTS.values()):
        for seed in seeds:
            # Every subject gets other curves, so that one unlucky pair does not count five times.
            subject = with_history(make(seed), *loss_curves(1000 * place + seed))
            for question in asked:
                counts[question.card.id][ask(question, subject, seed=seed).verdict.value] += 1
    return counts


def calibrated_questions() -> tuple[Question, ...]:
    """Return the questions that are calibrated here."""
    return tuple(question_named(name) for name in CALIBRATED)


def main() -> None:
    """Measure, print a table and, if asked to, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="data sets a kind of subject")
    parser.add_argument("--write", action="store_true", help=f"write {RECORD.name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    counts = tally(range(options.seeds), calibrated_questions())
    rows = {}
    for name, verdicts in counts.items():
        judged = sum(verdicts.values()) - verdicts["skipped"]
        if not judged:
            continue
        alarms = proportion(verdicts["warn"] + verdicts["fail"] + verdicts["error"], judged)
        unsure = verdicts["unsure"] / judged
        rows[name] = {"alarms": alarms.plain(), "unsure_share": round(unsure, 4), "verdicts": verdicts}
        print(f"{name:<18} {alarms.value:7.2%} [{alarms.low:.2%}, {alarms.high:.2%}]  unsure {unsure:6.1%}  n {judged}")
    if options.write:
        record = {
            "what": "share of warn, fail and error verdicts on Bayes-optimal networks",
            "subjects": list(SUBJECTS),
            "seeds_a_subject": options.seeds,
            "seconds": round(time.perf_counter() - start, 1),
            "machine": f"{platform.machine()}, {platform.system()}",
            "versions": {name: version(name) for name in ("equipoise", "torch", "numpy", "scikit-learn")},
            "questions": rows,
        }
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
