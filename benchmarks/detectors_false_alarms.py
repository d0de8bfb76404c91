"""Measures how often the streaming detectors raise an alarm about a healthy training, over many seeds.

Healthy trainings of 21 kinds (`detectors_trainings.py`) draw data, width, rate and batch size anew for each seed. A
training counts when it went well: its last losses lie below three quarters of the loss of the best constant answer (a
network that died is not healthy, however wild its first losses were). Every `warn` or `fail` of any detector in such a
training is a false alarm; the rate is per whole training, for all detectors together.

Run it with `python benchmarks/detectors_false_alarms.py [--seeds 50] [--first 0] [--write]`. `--write` keeps the result
as a record after every seed, so a run that is cut short leaves a record of what it did; `--first` goes on from there.
`--recorder reference` listens with the plain recorder of the tests instead of `equipoise.watch`.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from detectors_trainings import HEALTHY, Training, healthy, run

from equipoise.core.estimate import Verdict
from equipoise.stats.intervals import proportion
from equipoise.vitals.detectors.all import all_detectors
from equipoise.vitals.window import Window

RECORD = Path(__file__).parent / "records" / "detectors_false_alarms.json"


def windows_of(name: str, seed: int, recorder: str) -> list[Window]:
    """Return the windows of one healthy training, recorded at every step."""
    training = healthy(name, seed)
    out: list[Window] = []
    if recorder == "reference":
        sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "vitals"))
        from reference_recorder import ReferenceRecorder

        reference = ReferenceRecorder(training.network, training.optimizer)
        run(training, reference.record, seed)
        reference.close()
        return list(reference.windows(rest=True))
    from equipoise.vitals.watch import watch

    with watch(training.network, training.optimizer, on_window=out.append) as vitals:
        run(training, vitals.record, seed)
        rest = vitals.read()
    return [*out, rest] if len(rest.steps) else out


def constant_loss(training: Training) -> float:
    """Return the lowest loss of an answer that is the same for every sample, found by L-BFGS."""
    training.network.eval()
    with torch.no_grad():
        answer = torch.zeros_like(training.network(training.inputs[:2])[:1])
    answer.requires_grad_()
    optimizer = torch.optim.LBFGS([answer], max_iter=50, line_search_fn="strong_wolfe")
    targets = training.targets

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = training.loss(answer.expand(len(targets), *answer.shape[1:]), targets)
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(closure().detach())


def went_well(windows: Sequence[Window], chance: float) -> bool:
    """Return whether the last losses lie below three quarters of `chance`, the loss of a constant answer."""
    losses = np.concatenate([window.loss for window in windows])
    return bool(np.isfinite(losses).all() and losses[-64:].mean() < chance - 0.25 * abs(chance))


def alarms_of(windows: Sequence[Window]) -> tuple[list[str], float]:
    """Return what fresh detectors warn of in a training, and the CPU seconds they took for it."""
    start = time.process_time()
    said = [s for one in _observed(windows) for s in one if s.verdict.severity >= Verdict.WARN.severity]
    return [f"{one.verdict.value} {one.name} at {one.step}: {one.claim}" for one in said], time.process_time() - start


def _observed(windows: Sequence[Window]) -> list[tuple[Any, ...]]:
    detectors = all_detectors()
    return [one.observe(window) for window in windows for one in detectors]


def tally(seeds: Sequence[int], kinds: Sequence[str], recorder: str, rows: dict[str, dict[str, Any]]) -> None:
    """Add the trainings of some seeds to `rows`: by kind, how many counted, how many did not, and every alarm."""
    for seed in seeds:
        for kind in kinds:
            row = rows.setdefault(
                kind, {"seeds": [], "not_well": [], "alarmed": [], "alarms": [], "windows": 0, "s": 0.0}
            )
            windows = windows_of(kind, seed, recorder)
            if not went_well(windows, constant_loss(healthy(kind, seed))):
                row["not_well"].append(seed)
                continue
            alarms, seconds = alarms_of(windows)
            row["seeds"].append(seed)
            row["windows"] += len(windows)
            row["s"] += seconds
            if alarms:
                row["alarmed"].append(seed)
                row["alarms"] += [f"seed {seed}: {alarm}" for alarm in alarms]


def record_of(rows: dict[str, dict[str, Any]], recorder: str, seconds: float, command: str) -> dict[str, Any]:
    """Return the record of everything counted so far."""
    trainings = sum(len(row["seeds"]) for row in rows.values())
    alarmed = sum(len(row["alarmed"]) for row in rows.values())
    windows, spent = sum(row["windows"] for row in rows.values()), sum(row["s"] for row in rows.values())
    return {
        "what": "share of healthy trainings in which any streaming detector warns or fails",
        "command": command,
        "recorder": recorder,
        "detectors": [one.name for one in all_detectors()],
        "trainings": trainings,
        "false_alarm_rate": proportion(alarmed, trainings).plain() if trainings else None,
        "not_well": sum(len(row["not_well"]) for row in rows.values()),
        "detectors_us_a_window": round(1e6 * spent / max(1, windows)),
        "seconds": round(seconds, 1),
        "machine": f"{platform.machine()}, {platform.system()}, one thread",
        "versions": {name: version(name) for name in ("equipoise", "torch", "numpy", "scipy")},
        "kinds": rows,
    }


def main() -> None:
    """Measure, print a table and, if asked to, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="trainings a kind")
    parser.add_argument("--first", type=int, default=0, help="first seed; earlier ones are kept from the record")
    parser.add_argument("--kinds", nargs="*", default=list(HEALTHY), help="kinds of training")
    parser.add_argument("--recorder", choices=("watch", "reference"), default="watch")
    parser.add_argument("--write", action="store_true", help=f"write {RECORD.name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    rows: dict[str, dict[str, Any]] = json.loads(RECORD.read_text())["kinds"] if options.first else {}
    for seed in range(options.first, options.seeds):
        tally([seed], options.kinds, options.recorder, rows)
        record = record_of(rows, options.recorder, time.perf_counter() - start, " ".join(sys.argv))
        rate = record["false_alarm_rate"]
        print(f"seed {seed}: {record['trainings']} trainings, rate {rate and rate['value']:.3%}", flush=True)
        if options.write:
            RECORD.parent.mkdir(parents=True, exist_ok=True)
            RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for kind, row in rows.items():
        print(
            f"{kind:<18} {len(row['alarmed'])} of {len(row['seeds'])}, not well {len(row['not_well'])}", *row["alarms"]
        )


if __name__ == "__main__":
    main()
