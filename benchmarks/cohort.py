"""What a member of a cohort costs, against the network trained alone with one thread and with all.

    python -m benchmarks.cohort [--only w1 w2] [--rounds 9] [--seeds 8] [--cores 2] [--out FILE]

One process bound to the cores trains, in turns: one network with one thread, one with all threads, and the cohort. The
ratio of a member's share of the cohort's turn to the single fits of the same round is what counts. See `README.md`.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.throughput import machine, versions
from benchmarks.workloads import Workload, plan_and_splits, tomllib, workloads

EPOCHS = {"w1": 16384, "w2": 20, "w3": 4, "w5": 1}
"""Epochs of a training, so that one takes a good part of a second or more."""

Clocks = tuple[float, float]
"""Wall and CPU seconds, of all processes."""


def clocks() -> Clocks:
    """Return the wall clock and the CPU time of this process and of all that it started."""
    mine = time.process_time()
    ticks = os.sysconf("SC_CLK_TCK")
    for path in Path("/proc/self/task").glob("*/children"):
        for child in path.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            mine += (int(fields[11]) + int(fields[12])) / ticks
    return time.perf_counter(), mine


def timed(work: Callable[[], Any]) -> tuple[Clocks, Any]:
    """Return what some work took, and what it returned."""
    before = clocks()
    done = work()
    after = clocks()
    return (after[0] - before[0], after[1] - before[1]), done


def measure(workload: Workload, seeds: int, cores: int, rounds: int) -> dict[str, Any]:
    """Return the turns of one workload: a member's share of each, in seconds, by the wall clock and of CPU."""
    import torch

    from equipoise.fit.cohort import Member, fit_members
    from equipoise.fit.fit import fit

    torch.set_num_threads(cores)
    plan, splits = plan_and_splits(workload, epochs=EPOCHS[workload.name])
    alone = plan.replace(recipe__threads=1)
    shared = plan.replace(recipe__threads=cores)
    free = plan.replace(recipe__threads=None)
    members = [Member(plan=free, seed=seed, splits=splits) for seed in range(seeds)]
    turns: dict[str, list[Clocks]] = {"one thread": [], "all threads": [], "cohort": []}
    execution = None
    for turn in range(-1, rounds):  # the first one starts processes and fills caches
        for name, work in (
            ("one thread", lambda turn=turn: fit(alone, turn + 1, splits=splits)),
            ("all threads", lambda turn=turn: fit(shared, turn + 1, splits=splits)),
            ("cohort", lambda turn=turn: fit_members(members, workers=cores, lane="processes" if turn < 0 else "auto")),
        ):
            (wall, cpu), done = timed(work)
            share = seeds if name == "cohort" else 1
            if turn >= 0:
                turns[name].append((wall / share, cpu / share))
            if name == "cohort":
                execution = done.execution.plain()
        print(f"\r{workload.name}: round {turn + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {"turns_wall_cpu_s": turns, "execution": execution, "epochs": EPOCHS[workload.name]}


def summary(workload: Workload, measured: dict[str, Any], bar: float) -> dict[str, Any]:
    """Return ratios with intervals: of a member's cost to one fit with one thread, and with all."""
    turns = {name: np.asarray(values) for name, values in measured["turns_wall_cpu_s"].items()}
    rows: dict[str, Any] = {}
    for name in ("one thread", "all threads"):
        ratios = turns["cohort"] / turns[name]
        rows[f"to {name}"] = {"wall": interval(ratios[:, 0]), "cpu": interval(ratios[:, 1])}
    verdicts = {}
    for name, most in (("one thread", bar), ("all threads", 1.0)):
        ratio = rows[f"to {name}"]["wall"]
        verdict = "holds" if ratio["high"] <= most else "broken" if ratio["low"] > most else "unsure"
        verdicts[f"to {name}"] = {"at_most": most, "verdict": verdict}
    return {"title": workload.title, "ratios": rows, "bars": verdicts, **measured}


def interval(ratios: np.ndarray) -> dict[str, float]:
    """Return the median with its order-statistic interval; with fewer than six rounds, with the range."""
    from equipoise.stats.intervals import bootstrap

    value, low, high = float(np.median(ratios)), float(ratios.min()), float(ratios.max())
    if len(ratios) >= 6:
        estimate = bootstrap(lambda values: float(np.median(values)), ratios, repeats=2000)
        low, high = estimate.low, estimate.high
    return {"value": value, "low": low, "high": high, "n": len(ratios)}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write the record; return 1 when a bar is broken."""
    bars: dict[str, float] = tomllib.loads(Path(__file__).with_name("bars.toml").read_text())["cohort"]["one_thread"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=EPOCHS, default=list(EPOCHS), help="workloads to measure")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each")
    parser.add_argument("--seeds", type=int, default=8, help="members of the cohort")
    parser.add_argument("--cores", type=int, default=2, help="cores to be bound to")
    parser.add_argument("--out", type=Path, help="where the record goes; one that is there is added to")
    options = parser.parse_args(arguments)
    folder = Path(__file__).with_name("records")
    out = options.out or folder / f"{datetime.now(UTC):%Y-%m-%d}-cohort.json"
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    record: dict[str, Any] = {
        "what": "cost of a member of a cohort against the network trained alone",
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.cohort", *(sys.argv[1:] if arguments is None else arguments)]),
        "seeds": options.seeds,
        "cores": options.cores,
        "machine": machine(),
        "versions": versions(),
        "workloads": json.loads(out.read_text())["workloads"] if out.is_file() else {},
    }
    for key in options.only:
        row = summary(
            workloads()[key], measure(workloads()[key], options.seeds, options.cores, options.rounds), bars[key]
        )
        record["workloads"][key] = {**row, "load_average": os.getloadavg()}
        out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for name, ratios in row["ratios"].items():
            said = ", ".join(
                f"{k} {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]" for k, one in ratios.items()
            )
            bar = row["bars"][name]
            print(f"{key} {name}: {said}; at most {bar['at_most']:g}: {bar['verdict']}")
    print(f"record: {out}")
    return int(any(b["verdict"] == "broken" for row in record["workloads"].values() for b in row["bars"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
