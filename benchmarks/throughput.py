"""Training throughput of Equipoise and its peers against the plain PyTorch loop, interleaved in one run.

    python -m benchmarks.throughput [--quick] [--only w2 w3] [--rounds 15] [--out FILE]

One persistent process a contender, bound to the same cores; they take turns of the same number of optimiser steps, and
the ratio of each turn to the plain loop's in the same round is what counts. See `bars.toml` and `README.md`.
"""

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.contenders import CONTENDERS, absent, swallow
from benchmarks.workloads import BARS, Workload, tomllib, workloads

PATIENCE_S = 900
"""How long a contender may take for one turn before the run is given up."""

PACKAGES = (
    *("equipoise", "torch", "keras", "tensorflow-cpu", "jax", "jaxlib"),
    *("pytorch-lightning", "skorch", "fastai", "numpy"),
)

Turn = tuple[float, float, float]
"""Wall seconds and CPU seconds of one turn, and the wall seconds left out of it."""


class PipedTurns:
    """Times turns in a contender's process and waits for a word from `pipe` between them."""

    def __init__(self, epochs_a_turn: int, pipe: Connection) -> None:
        self._epochs_a_turn = epochs_a_turn
        self._pipe = pipe
        self._epochs = 0
        self._begin()

    def epoch_ended(self, epochs: int = 1) -> bool:
        """Count epochs; at the end of a turn report it and wait. Return whether to stop."""
        self._epochs += epochs
        if self._epochs < self._epochs_a_turn:
            return False
        self.pause()
        self._pipe.send((self._wall, self._cpu, self._left_out))
        stop = self._pipe.recv() == "stop"
        self._begin()
        return stop

    def pause(self) -> None:
        """Stop the clock."""
        if self._running:
            self._wall += time.perf_counter() - self._since[0]
            self._cpu += time.process_time() - self._since[1]
            self._running, self._since = False, (time.perf_counter(), time.process_time())

    def resume(self) -> None:
        """Let the clock run on."""
        if not self._running:
            self._left_out += time.perf_counter() - self._since[0]
            self._running, self._since = True, (time.perf_counter(), time.process_time())

    def _begin(self) -> None:
        self._epochs, self._wall, self._cpu, self._left_out = 0, 0.0, 0.0, 0.0
        self._running, self._since = True, (time.perf_counter(), time.process_time())


def work(name: str, workload: Workload, pipe: Connection) -> None:
    """Train in a process of its own; a turn at a time, each after a word from `pipe`."""
    import torch

    torch.set_num_threads(workload.threads)
    try:
        with swallow():
            CONTENDERS[name][1](workload, PipedTurns(workload.epochs_a_turn, pipe))
    except Exception:
        pipe.send(traceback.format_exc())


class Contender:
    """A contender's process; making one runs its warm-up turn."""

    def __init__(self, name: str, workload: Workload) -> None:
        self.name = name
        self.turns: list[Turn] = []
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=work, args=(name, workload, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._answer()

    def turn(self) -> None:
        """Let it train for one turn."""
        self._pipe.send("go")
        self.turns.append(self._answer())

    def close(self) -> None:
        """End its process."""
        if self._process.is_alive():
            self._pipe.send("stop")
        self._process.join(30)
        if self._process.is_alive():
            self._process.kill()

    def _answer(self) -> Turn:
        if not self._pipe.poll(PATIENCE_S):
            self._process.kill()
            raise RuntimeError(f"{self.name}: got no turn in {PATIENCE_S} s; expected one. Lower epochs_a_turn.")
        try:
            answer = self._pipe.recv()
        except EOFError:
            answer = f"the process ended (exit code {self._process.exitcode})"
        if isinstance(answer, str):
            raise RuntimeError(f"{self.name}: got an error instead of a turn; expected training to run.\n{answer}")
        return answer


@contextmanager
def bound(threads: int) -> Iterator[list[int]]:
    """Bind this process, and those that it starts, to `threads` cores, and tell libraries so."""
    before = os.sched_getaffinity(0)
    cores = sorted(before)[:threads]
    variables = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    variables |= {name: str(threads) for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")}
    variables["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'false' if threads == 1 else 'true'}"
    kept = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    os.sched_setaffinity(0, cores)
    try:
        yield cores
    finally:
        os.sched_setaffinity(0, before)
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def measure(workload: Workload, names: list[str], rounds: int) -> dict[str, Any]:
    """Return the turns of every contender on one workload, and the contenders that failed with their error."""
    failed: dict[str, str] = {}
    contenders: list[Contender] = []
    with bound(workload.threads) as cores:
        for name in names:
            try:
                contenders.append(Contender(name, workload))
            except RuntimeError as problem:
                if name == "plain":
                    raise
                failed[name] = str(problem)
        try:
            for turn in range(rounds):
                for contender in contenders:
                    contender.turn()
                print(f"\r{workload.name}: round {turn + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        finally:
            for contender in contenders:
                contender.close()
    print(file=sys.stderr)
    return {"turns": {one.name: one.turns for one in contenders}, "failed": failed, "cores": cores}


def summary(workload: Workload, measured: dict[str, Any]) -> dict[str, Any]:
    """Return each contender's time a step and its ratio to the plain loop, by wall and CPU clock, with intervals."""
    turns = {name: np.asarray(values) for name, values in measured["turns"].items()}
    rows: dict[str, Any] = {}
    for name, values in turns.items():
        ratios = values[:, :2] / turns["plain"][:, :2]
        rows[name] = {
            "wall_us_a_step": float(np.median(values[:, 0])) / workload.steps_a_turn * 1e6,
            "cpu_us_a_step": float(np.median(values[:, 1])) / workload.steps_a_turn * 1e6,
            "wall_ratio": _interval(ratios[:, 0]),
            "cpu_ratio": _interval(ratios[:, 1]),
            "left_out_s": float(np.median(values[:, 2])),
            "turns_wall_cpu_s": np.round(values[:, :2], 6).tolist(),
        }
    if "equipoise" in turns:
        for name, values in turns.items():
            ratios = turns["equipoise"][:, :2] / values[:, :2]
            rows[name]["equipoise_wall_ratio"] = _interval(ratios[:, 0])
            rows[name]["equipoise_cpu_ratio"] = _interval(ratios[:, 1])
    return {
        "title": workload.title,
        "steps_a_turn": workload.steps_a_turn,
        "threads": workload.threads,
        "cores": measured["cores"],
        "contenders": rows,
        "failed": measured["failed"],
    }


def judged(workload: Workload, row: dict[str, Any], clock: str, bar: float) -> list[dict[str, Any]]:
    """Return each bar of a workload: `holds`, `broken`, or `unsure` when the interval straddles it."""
    contenders = row["contenders"]
    against = {"plain": bar} | dict.fromkeys(workload.faster_than, 1.0)
    verdicts = []
    for name, most in against.items():
        ratio = contenders.get(name, {}).get(f"equipoise_{clock}_ratio")
        if ratio is None:
            verdicts.append({"against": name, "at_most": most, "verdict": "not measured"})
            continue
        verdict = "holds" if ratio["high"] <= most else "broken" if ratio["low"] > most else "unsure"
        verdicts.append({"against": name, "at_most": most, "ratio": ratio, "verdict": verdict})
    return verdicts


def _interval(ratios: np.ndarray) -> dict[str, float]:
    """Return the median with its bootstrap interval; with fewer than five rounds, with the range."""
    from equipoise.stats.intervals import bootstrap

    value = float(np.median(ratios))
    if len(ratios) < 5:
        return {"value": value, "low": float(ratios.min()), "high": float(ratios.max()), "n": len(ratios)}
    estimate = bootstrap(lambda values: float(np.median(values)), ratios, repeats=2000)
    return {"value": value, "low": estimate.low, "high": estimate.high, "n": len(ratios)}


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages compared."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def table(record: dict[str, Any], clock: str) -> str:
    """Return the ratios to the plain loop as text: a line a contender, a column a workload."""
    names = list(dict.fromkeys(name for row in record["workloads"].values() for name in row["contenders"]))
    lines = [f"{clock} time, ratio to the plain loop [95 %], and µs a step; below 1 is faster"]
    lines.append(" ".join(["contender".ljust(16), *(key.rjust(28) for key in record["workloads"])]))
    for name in names:
        cells = []
        for row in record["workloads"].values():
            one = row["contenders"].get(name)
            if one is None:
                cells.append("-".rjust(28))
                continue
            ratio = one[f"{clock}_ratio"]
            text = f"{ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}] {one[f'{clock}_us_a_step']:,.0f}"
            cells.append(text.rjust(28))
        lines.append(" ".join([name.ljust(16), *cells]))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write the record; return 1 when a bar is broken."""
    bars = tomllib.loads(BARS.read_text(encoding="utf-8"))
    every = workloads()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few rounds, to see that everything runs")
    parser.add_argument("--only", nargs="+", choices=every, default=list(every), help="workloads to measure")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--rounds", type=int, help="turns of each contender")
    parser.add_argument("--out", type=Path, help="where the record goes")
    options = parser.parse_args(arguments)
    missing = {name: package for name, package in absent().items() if name in options.contenders}
    for name, package in missing.items():
        print(f"{name} is not measured: {package} is not installed", file=sys.stderr)
    names = ["plain"] + [name for name in options.contenders if name not in missing and name != "plain"]
    clock = bars["measurement"]["judged"]
    record: dict[str, Any] = {
        "what": "training throughput against the plain PyTorch loop",
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.throughput", *(sys.argv[1:] if arguments is None else arguments)]),
        "quick": options.quick,
        "machine": machine(),
        "versions": versions(),
        "absent": missing,
        "bars": {key: bars[key] for key in ("baseline", "measurement", "bars")},
        "workloads": {},
    }
    folder = Path(__file__).with_name("records")
    out = options.out or folder / f"{datetime.now(UTC):%Y-%m-%d}-throughput{'-quick' if options.quick else ''}.json"
    for key in options.only:
        workload = every[key]
        rounds = options.rounds or (bars["measurement"]["quick_rounds"] if options.quick else workload.rounds)
        row = summary(workload, measure(workload, names, rounds))
        row["bars"] = judged(workload, row, clock, bars["bars"]["equipoise_to_plain"])
        record["workloads"][key] = row
        record["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
        record["load_average_after"] = os.getloadavg()
        out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(record, "cpu"), table(record, "wall"), sep="\n\n")
    broken = _print_verdicts(record)
    print(f"record: {out}")
    return 1 if broken else 0


def _print_verdicts(record: dict[str, Any]) -> bool:
    broken = False
    for key, row in record["workloads"].items():
        for name, problem in row["failed"].items():
            print(f"{key}: {name} failed: {problem.splitlines()[-1]}")
        for bar in row["bars"]:
            broken |= bar["verdict"] == "broken"
            ratio = f"{bar['ratio']['value']:.2f}" if "ratio" in bar else "?"
            print(f"{key}: equipoise to {bar['against']} {ratio}, at most {bar['at_most']:g}: {bar['verdict']}")
    return broken


if __name__ == "__main__":
    raise SystemExit(main())
