"""Measures how often each probe before the first step raises an alarm about a healthy training, over many seeds.

Subjects are trainings of many kinds that learn well, with data, weights and order drawn afresh for each seed (see
`probes_subjects.py`), so every `warn` or `fail` is a false alarm. The weights of evidence that probes give without an
alarm are counted as well, since a diagnosis adds them up.

Run it with `python -m benchmarks.probes_false_alarms [--seeds 50] [--only PROBE ...] [--subjects KIND ...] [--write]`;
a record that is there already keeps its rows for the probes that are not asked.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
import probes_subjects

from equipoise.core.estimate import Verdict
from equipoise.examine.probes.all import PROBES
from equipoise.stats.intervals import proportion

RECORD = Path(__file__).parent / "records" / "2026-11-22-probes-false-alarms.json"
ALARMS = (Verdict.WARN, Verdict.FAIL, Verdict.ERROR)


def tally(seeds: Sequence[int], subjects: Sequence[str], probes: Sequence[str]) -> dict[str, dict[str, object]]:
    """Return for each probe how often each verdict came, its alarms, the largest quiet weight and CPU seconds."""
    rows: dict[str, dict[str, object]] = {}
    for probe in probes:
        rows[probe] = {
            "verdicts": dict.fromkeys((one.value for one in Verdict), 0),
            "alarms": [],
            "quiet_weight": 0.0,
            "seconds": 0.0,
            "slowest": 0.0,
        }
    for name in subjects:
        for seed in seeds:
            setup = probes_subjects.subject(name, seed)
            for probe in probes:
                _count(rows[probe], probe, name, seed, setup)
    return rows


def _count(row: dict[str, object], probe: str, name: str, seed: int, setup: object) -> None:
    began = time.process_time()
    symptom = PROBES[probe](setup)
    took = time.process_time() - began
    row["verdicts"][symptom.verdict.value] += 1
    row["seconds"] += took
    row["slowest"] = max(row["slowest"], took)
    if symptom.verdict in ALARMS:
        row["alarms"].append({"subject": name, "seed": seed, "claim": symptom.claim})
    else:
        row["quiet_weight"] = max(row["quiet_weight"], *symptom.suggests.values(), 0.0)


def main() -> None:
    """Measure, print a table and, if asked to, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="trainings of a kind")
    parser.add_argument("--only", nargs="*", default=list(PROBES), help="probes to measure")
    kinds = list(probes_subjects.MAKERS)
    parser.add_argument("--subjects", nargs="*", default=kinds, metavar="NAME", help="kinds of training to measure on")
    parser.add_argument("--write", action="store_true", help=f"write {RECORD.name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    subjects = options.subjects
    rows = tally(range(options.seeds), subjects, options.only)
    runs = options.seeds * len(subjects)
    for name, row in rows.items():
        judged = max(sum(row["verdicts"].values()) - row["verdicts"]["skipped"], 1)
        share = proportion(len(row["alarms"]), judged)
        row["rate"], row["subjects"] = share.plain(), subjects
        row["seconds"], row["slowest"] = round(row["seconds"] / runs, 4), round(row["slowest"], 3)
        quiet = f"quiet weight {row['quiet_weight']:.1f}  CPU {row['seconds']:.3f} s, slowest {row['slowest']:.2f} s"
        print(f"{name:<26} {share.value:7.2%} [{share.low:.2%}, {share.high:.2%}]  n {judged}  {quiet}")
        for alarm in row["alarms"][:10]:
            print(f"    {alarm}")
    if options.write:
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        # Probes are measured in several goes, so rows of other probes are kept.
        known = json.loads(RECORD.read_text(encoding="utf-8"))["probes"] if RECORD.exists() else {}
        rows = {name: rows.get(name, known.get(name)) for name in PROBES if name in rows or name in known}
        RECORD.write_text(json.dumps(_record(rows, options.seeds), indent=2) + "\n", encoding="utf-8")


def _record(rows: dict[str, dict[str, object]], seeds: int) -> dict[str, object]:
    return {
        "what": "share of warn, fail and error verdicts of probes before the first step on healthy trainings",
        "command": f"python -m benchmarks.probes_false_alarms --seeds {seeds} --write",
        "seeds_a_subject": seeds,
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {name: version(name) for name in ("equipoise", "torch", "numpy", "scikit-learn")},
        "probes": rows,
    }


if __name__ == "__main__":
    main()
