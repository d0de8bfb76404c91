"""Does the governor save trainings that break, leave healthy ones alone, and cost nothing?

    python benchmarks/governor.py --programs DIR [--seeds 5] [--only ID ...] [--out FILE]
        [--parts rescue controls overhead] [--rounds 30]

`DIR` holds a package of faulty programs with fixed versions and healthy controls. Every program is trained by its own
loop, at its own budget of steps: as it is; governed; begun anew with Adam at 1e-3 and standardised inputs; and by
random search over optimiser, learning rate and batch size (four starts with an eighth of the budget each; the best by
its score on the training part goes on with the other half). What counts is how many of those that fail reach 95 % of
the score of their fixed version at the same seed. On every healthy control a governed and an ungoverned run are
compared bit by bit. Overhead is the CPU time of `fit` with and without the governor, alternating. Nothing looks at ids
or faults to decide.

The record lies in `records/<date>-governor.json`.
"""

import argparse
import importlib
import json
import math
import platform
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from equipoise.core.act import Act
from equipoise.fit.execution import machine
from equipoise.fit.governed_loop import governing
from equipoise.fit.governor import Decision
from equipoise.stats.intervals import bootstrap, proportion

REACHED = 0.95
"""Share of the fixed version's score that counts as saved."""

STARTS = 4
OPTIMIZERS: dict[str, Callable[[Any, float], torch.optim.Optimizer]] = {
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, rate),
    "momentum": lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=0.9),
    "rmsprop": lambda parameters, rate: torch.optim.RMSprop(parameters, rate),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, rate),
}
BATCH_SIZES = (8, 16, 32, 64, 128)

Program = Any
"""A program of the package, with the fields that its README names."""


def load(folder: Path) -> ModuleType:
    """Return the package of programs in a folder."""
    sys.path.insert(0, str(folder.resolve().parent))
    return importlib.import_module(folder.resolve().name)


def steps_of(program: Program) -> int:
    """Return the budget of a program: the steps that its own loop takes."""
    steps: int = program.epochs * -(-len(program.train[0]) // program.batch_size)
    return steps


class Run:
    """One program in training: its loop goes on where it was left, epoch after epoch."""

    def __init__(self, package: ModuleType, program: Program) -> None:
        self.package = package
        self.program = program
        self.losses: list[float] = []
        self.state = package.start(program)
        self._batches = self._endless(torch.Generator().manual_seed(program.seed + 1))
        program.network.train(program.training_mode)

    def go(self, steps: int, watcher: Callable[[Tensor], Decision] | None = None) -> None:
        """Take some steps, or fewer when `watcher` says stop."""
        for _ in range(steps):
            loss = self.package.train_step(self.program, next(self._batches), self.state)
            self.losses.append(float(loss))
            if watcher is not None and watcher(loss) is Decision.STOP:
                return

    def score(self, data: Any = None) -> float:
        """Return the score as the program evaluates itself: on test, validation or training data, whichever it has."""
        program = self.program
        data = data if data is not None else program.test or program.validation or program.train
        return float(self.package.evaluate(program, data)[0])

    def _endless(self, generator: torch.Generator) -> Any:
        while True:
            yield from self.package.batches(self.program, generator)


def plain(package: ModuleType, program: Program) -> Run:
    """Train a program as it is."""
    run = Run(package, program)
    run.go(steps_of(program))
    return run


def governed(package: ModuleType, program: Program) -> tuple[Run, tuple[Act, ...]]:
    """Train a program as it is, governed."""
    run = Run(package, program)
    with governing(program.network, run.state.optimizer, seed=program.seed) as loop:
        run.go(steps_of(program), loop.after_step)
    return run, loop.governor.acts


def restarted(package: ModuleType, program: Program) -> Run:
    """Train a program with Adam at 1e-3 on standardised inputs, its own loop body otherwise."""
    mean, spread = program.train[0].mean(0), program.train[0].std(0) + 1e-8
    for name in ("train", "validation", "test"):
        part = getattr(program, name)
        if part is not None:
            setattr(program, name, ((part[0] - mean) / spread, part[1]))
    run = Run(package, program)
    run.state.optimizer = torch.optim.Adam(program.network.parameters(), 1e-3)
    run.go(steps_of(program))
    return run


def searched(package: ModuleType, build: Callable[[], Program], seed: int) -> Run:
    """Train a program by random search at its own budget."""
    draw = np.random.default_rng([seed, 1])
    budget = steps_of(build())
    runs: list[tuple[float, Run]] = []
    for _ in range(STARTS):
        program = build()
        name, rate = draw.choice(list(OPTIMIZERS)), float(10 ** draw.uniform(-5, 0))
        program.batch_size = int(draw.choice(BATCH_SIZES))
        run = Run(package, program)
        run.state.optimizer = OPTIMIZERS[str(name)](program.network.parameters(), rate)
        run.go(budget // (2 * STARTS))
        found = run.score(program.train)
        runs.append((found if math.isfinite(found) else -math.inf, run))
        program.network.train(program.training_mode)
    best = max(runs, key=lambda one: one[0])[1]
    best.go(budget - budget // 2)
    return best


def seeded(seed: int, work: Callable[[], Any]) -> Any:
    """Run work with the global generator seeded as the package's reference trainer seeds it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        return work()


def rescue(package: ModuleType, case: str, seed: int) -> dict[str, Any]:
    """Return the scores of one faulty program by every way of training it, and what the governor did."""

    def build(kind: str = "faulty") -> Program:
        return package.build(case, kind, seed)

    row: dict[str, Any] = {"case": case, "seed": seed, "steps": steps_of(build())}
    row["fixed"] = seeded(seed, lambda: plain(package, build("fixed"))).score()
    row["ungoverned"] = seeded(seed, lambda: plain(package, build())).score()
    run, acts = seeded(seed, lambda: governed(package, build()))
    row["governed"], row["governed_steps"] = run.score(), len(run.losses)
    row["acts"] = [{"step": act.step, "what": act.what, "outcome": act.outcome, "why": act.why} for act in acts]
    for name, way in (
        ("restart", lambda: restarted(package, build())),
        ("search", lambda: searched(package, build, seed)),
    ):
        try:
            row[name] = seeded(seed, way).score()
        except Exception as problem:  # another batch size may not suit a network or a loss
            row[name], row[f"{name}_error"] = -math.inf, f"{type(problem).__name__}: {problem}"
    return row


def control(package: ModuleType, case: str, kind: str, seed: int) -> dict[str, Any]:
    """Return whether a governed and an ungoverned run of a healthy program are the same, bit for bit."""
    one = seeded(seed, lambda: plain(package, package.build(case, kind, seed)))
    other, acts = seeded(seed, lambda: governed(package, package.build(case, kind, seed)))
    pairs = zip(one.program.network.state_dict().values(), other.program.network.state_dict().values(), strict=True)
    same = one.losses == other.losses and all(torch.equal(a, b) for a, b in pairs if isinstance(a, Tensor))
    return {"case": case, "seed": seed, "same_bits": same, "acts": [act.what for act in acts]}


def saved(rows: list[dict[str, Any]], way: str) -> dict[str, Any]:
    """Return how many of the failing runs reach the bar by one way of training, with Wilson's interval."""
    failing = [row for row in rows if not row["ungoverned"] >= REACHED * row["fixed"]]
    count = sum(row[way] >= REACHED * row["fixed"] for row in failing)
    if not failing:
        return {"reached": 0, "n": 0}
    share = proportion(count, len(failing))
    return {"reached": count, "n": len(failing), "low": round(share.low, 4), "high": round(share.high, 4)}


def harmed(rows: list[dict[str, Any]]) -> int:
    """Return how many runs the governor made worse by more than 2 % of the fixed version's score."""
    return sum(row["governed"] < row["ungoverned"] - 0.02 * abs(row["fixed"]) for row in rows)


def overhead(rounds: int) -> dict[str, Any]:
    """Return the ratio of CPU time of `fit` with the governor to that without, on the dense network 784-32-10."""
    from benchmarks.workloads import plan_and_splits, workloads

    from equipoise.fit.fit import fit

    plan, splits = plan_and_splits(workloads()["w2"], epochs=4)
    spent: dict[bool, list[float]] = {True: [], False: []}
    for k in range(2 * rounds + 2):
        with_governor = bool(k % 2) ^ bool(k // 2 % 2)  # each goes first in half of the rounds
        chosen = plan.replace(recipe__governor=with_governor, recipe__threads=1)
        start = time.process_time()
        fit(chosen, 0, splits=splits)
        if k > 1:  # the first round warms up
            spent[with_governor].append(time.process_time() - start)
    ratios = np.array(spent[True]) / np.array(spent[False])
    ratio = bootstrap(_median, ratios)
    return {"ratio": ratio.value, "low": ratio.low, "high": ratio.high, "rounds": rounds, "cpu_s": spent[False]}


def _median(values: np.ndarray) -> float:
    return float(np.median(values))


def table(rows: list[dict[str, Any]]) -> str:
    """Return the scores a program, medians over seeds, with a mark where the bar was reached in most of them."""
    ways = ("ungoverned", "governed", "restart", "search")
    lines = [f"{'program':26s} {'fixed':>8s}" + "".join(f"{way:>12s} " for way in ways) + " acts"]
    for case in dict.fromkeys(row["case"] for row in rows):
        own = [row for row in rows if row["case"] == case]
        cells = ""
        for way in ways:
            reached = sum(row[way] >= REACHED * row["fixed"] for row in own)
            cells += f"{np.median([row[way] for row in own]):12.3f}{'+' if 2 * reached > len(own) else ' '}"
        acts = ", ".join(f"{act['what']} {act['outcome']}" for act in own[0]["acts"])
        lines.append(f"{case:26s} {np.median([row['fixed'] for row in own]):8.3f}{cells} {acts}")
    return "\n".join(lines)


def report(record: dict[str, Any]) -> str:
    """Return what a record says, for a person."""
    parts = []
    if rows := record.get("rescue"):
        parts += [table(rows), ""]
        for way, found in record["saved"].items():
            span = f" [{100 * found['low']:.0f}, {100 * found['high']:.0f}] %" if found["n"] else ""
            parts.append(f"{way:12s} {found['reached']:4d} of {found['n']} failing runs reach 95 % of fixed{span}")
        parts.append(f"runs made worse by the governor: {record['harmed']} of {len(rows)}")
    if controls := record.get("controls"):
        touched = [one for one in controls if not one["same_bits"] or one["acts"]]
        parts.append(f"healthy controls that differ in a bit or were acted on: {len(touched)} of {len(controls)}")
        parts += [f"  {one['case']} seed {one['seed']}: {one['acts']}" for one in touched]
    if cost := record.get("overhead"):
        parts.append(f"CPU time governed : ungoverned {cost['ratio']:.4f} [{cost['low']:.4f}, {cost['high']:.4f}]")
    return "\n".join(parts)


def main() -> None:
    """Measure, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--parts", nargs="*", default=["rescue", "controls", "overhead"])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    record: dict[str, Any] = {
        "what": "programs saved by the governor, healthy programs left alone, and its cost",
        "command": " ".join(["python", "benchmarks/governor.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": {name: version(name) for name in ("equipoise", "torch", "numpy")}
        | {"python": platform.python_version()},
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    start = time.perf_counter()
    if options.programs is not None:
        package = load(options.programs)
        wanted = set(options.only)
        if "rescue" in options.parts:
            record["rescue"] = [
                _told(rescue(package, case, seed))
                for case in package.cases()
                for seed in range(options.seeds)
                if not wanted or case in wanted
            ]
            record["saved"] = {way: saved(record["rescue"], way) for way in ("governed", "restart", "search")}
            record["harmed"] = harmed(record["rescue"])
        if "controls" in options.parts:
            record["controls"] = [
                _told(control(package, case, kind, seed))
                for case, kind in package.controls()
                for seed in range(options.seeds)
                if not wanted or case in wanted
            ]
    if "overhead" in options.parts:
        record["overhead"] = overhead(options.rounds)
    record["seconds"] = round(time.perf_counter() - start, 1)
    out = options.out or Path(__file__).with_name("records") / f"{record['date']}-governor.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{report(record)}\n{out}")


def _told(row: dict[str, Any]) -> dict[str, Any]:
    print(f"\r{row['case']} seed {row['seed']}{'':30s}", end="", file=sys.stderr, flush=True)
    return row


if __name__ == "__main__":
    main()
