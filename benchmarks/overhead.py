"""What `equipoise.watch` costs, beside other recorders, as paired ratios of CPU time to the bare loop.

    python -m benchmarks.overhead [--rounds 30] [--only dense convolutional] [--threads 1,2] [--peers PYTHON]

One process a loop and number of threads, in which bare, control (bare again), every step and every tenth step take
turns in rotating order; the ratio of each turn to the bare turn of the same round is what counts. A control whose
interval leaves 1 +- 1.5 % voids the measurement, which is then repeated. Peers run in the environment of `--peers`,
one process each, against a bare loop of their own. See `README.md`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.overhead_loops import LOOPS, MEMORY, OURS, WINDOW
from benchmarks.overhead_peers import PEERS
from benchmarks.throughput import machine

from equipoise.stats.intervals import quantile
from equipoise.vitals.kernel import Kernel

CONTROL = 0.015
"""How far from 1 an end of the control's interval may lie."""

TENTH, AIM = 1.03, 1.02
MEMORY_SHARE, MEMORY_BYTES, MEMORY_REPEATS = 0.02, 2_000_000, 3
ENOUGH = 30
"""Fewest rounds for a verdict."""

LIMIT_S, PEER_LIMIT_S = 180, 30
"""After how long a measurement ends with the rounds that it has, on a machine that is too busy for more."""

PATIENCE_S = 600
ROOT = Path(__file__).parents[1]

VERSIONS = """
import json
from importlib.metadata import version, PackageNotFoundError
found = {}
for name in %r:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        found[name] = "not installed"
print(json.dumps(found))
"""


def run_worker(python: str, task: dict[str, Any]) -> dict[str, Any]:
    """Do a task in a process of its own and return its result; `failed` with the last line when it broke."""
    threads = str(max(task["threads"]) if isinstance(task["threads"], list) else task["threads"])
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [python, "-m", "benchmarks.overhead_worker", json.dumps(task), str(out)]
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"no result in {PATIENCE_S} s"}
        if not out.exists():
            return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
        return json.loads(out.read_text(encoding="utf-8"))


def ratio(values: list[float], bare: list[float]) -> dict[str, float]:
    """Return the median of paired ratios with its order-statistic interval, and the ratio of the sums.

    The sums show what a median hides: a cost that falls on fewer than half of the turns.
    """
    ratios = np.asarray(values) / np.asarray(bare)
    if len(ratios) < 6:  # too few for an interval: the range
        value, low, high = float(np.median(ratios)), float(ratios.min()), float(ratios.max())
    else:
        estimate = quantile(ratios, 0.5)
        value, low, high = estimate.value, estimate.low, estimate.high
    return {"value": value, "low": low, "high": high, "n": len(ratios), "of_sums": sum(values) / sum(bare)}


def verdict(row: dict[str, Any], contender: str, most: float) -> str:
    """Return whether a bar `holds` (its whole interval lies below), is `broken` or `unsure`.

    `void` is a measurement whose control does not hold or that had too few rounds.
    """
    one = row["ratios"][contender]
    if not row["control_holds"] or one["n"] < ENOUGH:
        return "void"
    return "holds" if one["high"] <= most else "broken" if one["low"] > most else "unsure"


def summary(measured: dict[str, Any], loop: str) -> dict[str, Any]:
    """Return ratios, whether the control holds, and the verdicts of one measurement of our contenders."""
    times = measured["cpu_s_a_step"]
    row: dict[str, Any] = {
        "bare_us_a_step": float(np.median(times["bare"])) * 1e6,
        "ratios": {name: ratio(times[name], times["bare"]) for name in OURS if name != "bare"},
        "extra_us_a_step": {
            name: float(np.median(np.subtract(times[name], times["bare"]))) * 1e6 for name in OURS if name != "bare"
        },
        "same_weights": measured["same_weights"],
        "steps_a_turn": measured["steps_a_turn"],
        "cpu_us_a_step": {name: np.round(np.asarray(row) * 1e6, 3).tolist() for name, row in times.items()},
    }
    control = row["ratios"]["control"]
    row["control_holds"] = bool(control["low"] >= 1 - CONTROL and control["high"] <= 1 + CONTROL)
    bars = {"every step": LOOPS[loop].every_step, "every tenth": TENTH}
    row["bars"] = {
        name: {"at_most": most, "verdict": verdict(row, name, most), "aim": verdict(row, name, AIM)}
        for name, most in bars.items()
    }
    return row


def measure_ours(loop: str, threads: int, rounds: int, tries: int) -> dict[str, Any]:
    """Measure until the control holds, at most `tries` times; earlier tries are kept beside the last."""
    before: list[dict[str, Any]] = []
    while True:
        task = {"what": "ours", "loop": loop, "threads": threads, "rounds": rounds, "limit_s": LIMIT_S}
        measured = run_worker(sys.executable, task)
        if "failed" in measured:
            return measured | {"loop": loop, "threads": threads}
        row = summary(measured, loop) | {"loop": loop, "threads": threads, "load_average": os.getloadavg()}
        row |= {"earlier_tries": list(before), "took_s": measured["took_s"]}
        if row["control_holds"] or rounds < ENOUGH or len(before) + 1 >= tries:
            return row
        before.append({key: row[key] for key in ("ratios", "load_average")})


def measure_memory(loop: str) -> dict[str, Any]:
    """Return the largest resident size of bare, control and watched trainings, each in processes of their own.

    `imported` is the bare loop in a process that has loaded the code of `watch`: what lies between it and `every step`
    is what watching holds.
    """
    tasks = [
        {"what": "memory", "loop": loop, "contender": name, "threads": 1}
        for _ in range(MEMORY_REPEATS)
        for name in MEMORY
    ]
    with ThreadPoolExecutor(2) as two:  # nothing is timed here
        rows = list(two.map(lambda task: run_worker(sys.executable, task), tasks))
    failed = [row for row in rows if "failed" in row]
    if failed:
        return failed[0]
    peaks = {name: [row["peak_bytes"] for row in rows[at :: len(MEMORY)]] for at, name in enumerate(MEMORY)}
    middle = {name: float(np.median(row)) for name, row in peaks.items()}
    allowed = MEMORY_SHARE * middle["bare"] + MEMORY_BYTES
    above = {name: value - middle["bare"] for name, value in middle.items() if name != "bare"}
    return {
        "peak_bytes": peaks,
        "above_bare_bytes": above,
        "at_most_bytes": allowed,
        "verdict": "holds" if above["every step"] <= allowed else "broken",
    }


def measure_peer(name: str, python: str, loops: list[str], threads: list[int], rounds: int) -> dict[str, Any]:
    """Return a peer's ratios by loop and threads, or why there are none."""
    task = {
        "what": "peers",
        "peer": name,
        "loops": loops,
        "threads": threads,
        "rounds": rounds,
        "limit_s": PEER_LIMIT_S,
    }
    done = run_worker(python, task)
    rows: dict[str, Any] = {"package": PEERS[name].package, "records": PEERS[name].records}
    for key, one in done.items():
        if isinstance(one, dict) and "cpu_s_a_step" in one:
            times = one["cpu_s_a_step"]
            rows[key] = ratio(times[name], times["bare"]) | {"steps_a_turn": one["steps_a_turn"]}
        else:
            rows[key] = one
    return rows


def versions(python: str, packages: list[str]) -> dict[str, str]:
    """Return the versions of packages in an environment."""
    done = subprocess.run([python, "-c", VERSIONS % packages], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _cell(one: dict[str, Any]) -> str:
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}] n={one['n']}"


def table(record: dict[str, Any]) -> str:
    """Return the record as text: a line a contender, a column a loop and number of threads."""
    columns = {f"{row['loop']} {row['threads']}": row for row in record["ours"]}
    names = [name for name in OURS if name != "bare"] + list(record["peers"])
    lines = ["CPU time, ratio to the bare loop [95 %]; columns: loop and threads"]
    lines.append(" ".join([" " * 36, *(key.rjust(28) for key in columns)]))
    for name in names:
        cells = []
        for key, row in columns.items():
            one = row.get("ratios", {}).get(name) if name in OURS else record["peers"][name].get(key)
            text = _cell(one) if one and "value" in one else "failed" if one else "-"
            if name in record["peers"] and "not_installed" in record["peers"][name]:
                text = "not installed"
            cells.append(text.rjust(28))
        lines.append(" ".join([name.ljust(36), *cells]))
    bare = (f"{row['bare_us_a_step']:,.0f} us a step" if "ratios" in row else "failed" for row in columns.values())
    return "\n".join([*lines, " ".join(["bare".ljust(36), *(one.rjust(28) for one in bare)])])


def verdicts(record: dict[str, Any]) -> list[str]:
    """Return a line for every bar."""
    lines = []
    for row in record["ours"]:
        where = f"{row['loop']}, {row['threads']} thread{'s' * (row['threads'] > 1)}"
        if "failed" in row:
            lines.append(f"{where}: failed: {row['failed']}")
            continue
        for name, bar in row["bars"].items():
            one = row["ratios"][name]
            lines.append(
                f"{where}, {name}: {_cell(one)}, of sums {one['of_sums']:.3f}, {row['extra_us_a_step'][name]:+.1f} us; "
                f"at most {bar['at_most']}: {bar['verdict']} (aim {AIM}: {bar['aim']})"
            )
        if not all(row["same_weights"].values()):
            lines.append(f"{where}: the weights differ between turns: {row['same_weights']}")
    for loop, row in record["memory"].items():
        if "failed" in row:
            lines.append(f"{loop}, memory: failed: {row['failed']}")
            continue
        extra = {name: f"{value / 1e6:+.1f}" for name, value in row["above_bare_bytes"].items()}
        lines.append(
            f"{loop}, memory: {extra['every step']} MB (control {extra['control']}, code alone {extra['imported']}), "
            f"at most {row['at_most_bytes'] / 1e6:.1f}: {row['verdict']}"
        )
    return lines


def broken(record: dict[str, Any]) -> bool:
    """Whether any bar of ours does not hold."""
    ours = (row.get("bars", {"": {"verdict": "failed"}}) for row in record["ours"])
    every = [bar["verdict"] for bars in ours for bar in bars.values()]
    every += [row.get("verdict", "failed") for row in record["memory"].values()]
    return any(one != "holds" for one in every)


def arguments_of(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="turns of each contender")
    parser.add_argument("--peer-rounds", type=int, default=15, help="turns of each peer; a third where 10x slower")
    parser.add_argument("--only", nargs="+", choices=LOOPS, help="loops to measure")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, with commas")
    parser.add_argument("--tries", type=int, default=3, help="how often a measurement is repeated for its control")
    parser.add_argument("--peers", default=sys.executable, help="the Python that the peers are installed for")
    parser.add_argument("--without", nargs="*", default=[], choices=("peers", "memory"), help="parts to leave out")
    parser.add_argument("--out", type=Path, help="where the record goes")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write the record; return 1 when a bar does not hold."""
    options = arguments_of(arguments)
    loops = options.only or [name for name, loop in LOOPS.items() if loop.by_default]
    threads = [int(one) for one in options.threads.split(",")]
    packages = sorted({peer.package for peer in PEERS.values()} | {"torch", "numpy"})
    record: dict[str, Any] = {
        "what": "CPU time and memory of equipoise.watch and other recorders against the bare loop",
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.overhead", *(sys.argv[1:] if arguments is None else arguments)]),
        "machine": machine(),
        "versions": {"ours": versions(sys.executable, ["equipoise", "torch", "numpy"])},
        "loops": {name: LOOPS[name].title for name in loops},
        "kernel": Kernel().name or "none: plain torch",
        "window": WINDOW,
        "ours": [],
        "memory": {},
        "peers": {},
    }
    for loop in loops:
        for count in threads:
            print(f"{loop}, {count} threads", file=sys.stderr, flush=True)
            record["ours"].append(measure_ours(loop, count, options.rounds, options.tries))
        if "memory" not in options.without:
            record["memory"][loop] = measure_memory(loop)
    if "peers" not in options.without:
        record["versions"]["peers"] = versions(options.peers, packages)
        for name in PEERS:
            print(name, file=sys.stderr, flush=True)
            record["peers"][name] = measure_peer(name, options.peers, loops, threads, options.peer_rounds)
    record["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
    out = options.out or ROOT / "benchmarks" / "records" / f"{datetime.now(UTC):%Y-%m-%d}-overhead.json"
    out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(record), *verdicts(record), f"record: {out}", sep="\n")
    return int(broken(record))


if __name__ == "__main__":
    raise SystemExit(main())
