"""What diagnosis, treatment and trial together make of faulty training programs.

    python benchmarks/treated_programs.py --programs DIR [--seeds 1] [--only ID ...] [--out FILE] [--ways equipoise ...]

Every strong faulty program is handed to `treat_training` with its own loop. It counts as cured where the adopted plan,
trained once on a fresh seed within three times the program's own cost, reaches 95 % of the score of its fixed version
at the same seed on the program's own held-out data, by the program's own metric; where nothing is adopted the program's
own score counts. Beside it, at the same total cost: random search over recipes and widths, decided by the same cut of
the training rows, and one fixed recipe (Adam at 1e-3, standardised inputs, batches of 32) begun anew with seed after
seed. Cost is counted: samples trained on, times operations a sample. The record is written program by program and
goes on where it was cut off.
"""

import argparse
import json
import math
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.diagnosis_programs import load, subject
from benchmarks.governor import plain, seeded

from equipoise.core.plan import Plan
from equipoise.examine.probes.setup import Setup
from equipoise.fit.execution import machine
from equipoise.run import own_training as treatment
from equipoise.run.purse import Purse, cost_of, within
from equipoise.run.translate import Translation
from equipoise.stats.intervals import proportion

REACHED = 0.95
WAYS = ("equipoise", "random", "fixed")


def given(package: Any, case: str, seed: int) -> Setup:
    """Return a faulty program as a training of one's own."""
    one = subject(package, case, "faulty", seed, plain=True)
    return Setup(
        one.network,
        one.loss,
        one.optimizer,
        one.train,
        one.validation,
        one.batch_size,
        one.epochs,
        one.shuffle,
        one.step,
        one.begin,
        one.evaluate,
    )


def scored(program: Any, said: Translation, done: Any) -> float:
    """Return the score of a trained network by the program's own metric on its own held-out data."""
    inputs, targets = program.test or program.validation or program.train
    outputs = said.outputs(done.network, inputs)
    if program.loss_name.endswith("_with_logits") and outputs.shape[-1] == 1:
        outputs = torch.logit(outputs.clamp(1e-6, 1 - 1e-6))
    if said.kind == "regression":
        outputs = outputs.reshape(targets.shape)
    return float(program.metric(outputs, targets))


def by_equipoise(package: Any, case: str, seed: int, own: float) -> dict[str, Any]:
    """Treat a program, and return its score with what was found and spent."""
    setup = given(package, case, seed)
    treated = treatment.treat_training(
        setup.network,
        setup.loss,
        setup.optimizer,
        train=setup.train,
        validation=setup.validation,
        batch_size=setup.batch_size,
        epochs=setup.epochs,
        shuffle=setup.shuffle,
        step=setup.step,
        begin=setup.begin,
        evaluate=setup.evaluate,
        seed=seed,
    )
    row = {
        "score": own,
        "adopted": treated.plan is not None,
        "faults": [cause.fault for cause in treated.diagnosis.causes],
        "verdict": treated.diagnosis.verdict,
        "reason": treated.reason or (treated.trial.reason if treated.trial else ""),
        "outcome": treated.trial.outcome if treated.trial else "",
        "effect": treated.trial.effect.value if treated.trial else None,
        "tried": [[one.what, round(one.score, 4), round(one.cost, 3)] for one in treated.tried],
        "search_cost": round(treated.cost, 2),
        "plan_cost": round(treated.plan_cost, 3),
        "seconds": round(treated.seconds, 1),
    }
    if treated.fit is not None:
        said = treatment.translated(setup)
        row["score"] = scored(package.build(case, "faulty", seed), said, treated.fit)
    return row


def _spent(package: Any, case: str, seed: int, total: float, plans: Any) -> dict[str, Any]:
    """Train plans until the total is spent, and return the score of the best by the rows that decide."""
    setup = given(package, case, seed)
    said = treatment.translated(setup)
    purse = Purse(total, treatment.LONGEST)
    best, score = None, -math.inf
    for k, plan in enumerate(plans(said)):
        splits = said.splits(seed + 100 + k)
        plan = within(said, plan, splits, purse, math.inf)
        cost = cost_of(said, plan, splits, purse)
        if purse.spent + cost > total and best is not None:
            break
        done = treatment.fitted(said, plan, seed + 100 + k)
        purse.spent += cost
        found = treatment.score_of(said, done)
        if found > score:
            best, score = done, found
    return {"score": scored(package.build(case, "faulty", seed), said, best), "search_cost": round(purse.spent, 2)}


def random_plans(seed: int) -> Any:
    """Return a generator of plans drawn at random."""

    def draw(said: Translation) -> Any:
        generator = np.random.default_rng([seed, 7])
        while True:
            plan: Plan = said.plan
            changes: dict[str, Any] = {
                "recipe__optimizer": str(generator.choice(["sgd", "momentum", "rmsprop", "adam"])),
                "recipe__learning_rate": float(10 ** generator.uniform(-5, 0)),
                "recipe__batch_size": int(generator.choice([8, 16, 32, 64, 128])),
                "recipe__momentum": None,
                "network__standardise": bool(generator.integers(2)),
                "network__dropout": float(generator.choice([0.0, 0.2, 0.5])),
            }
            if plan.network.family == "dense":
                factor = float(generator.choice([0.5, 1.0, 2.0]))
                changes["network__hidden"] = tuple(max(1, round(one * factor)) for one in plan.network.hidden)
                changes["network__activation"] = str(generator.choice(["relu", "tanh", "sigmoid", "linear"]))
            yield plan.replace(**changes)

    return draw


def fixed_plans(said: Translation) -> Any:
    """Yield the one fixed recipe again and again."""
    while True:
        yield said.plan.replace(
            recipe__optimizer="adam", recipe__learning_rate=1e-3, recipe__batch_size=32, recipe__momentum=None
        )


def row_of(package: Any, case: str, seed: int, ways: tuple[str, ...], known: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of one program with what is still to be measured."""
    row: dict[str, Any] = {"case": case, "seed": seed} | known
    ways = tuple(way for way in ways if way not in row)
    if "own" not in row:
        row["fixed_version"] = seeded(seed, lambda: plain(package, package.build(case, "fixed", seed))).score()
        row["own"] = seeded(seed, lambda: plain(package, package.build(case, "faulty", seed))).score()
    if "equipoise" in ways:
        row["equipoise"] = by_equipoise(package, case, seed, row["own"])
    total = max(row.get("equipoise", {}).get("search_cost", treatment.SEARCH), 1.0)
    if "random" in ways:
        row["random"] = _spent(package, case, seed, total, random_plans(seed))
    if "fixed" in ways:
        row["fixed"] = _spent(package, case, seed, total, fixed_plans)
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the share of programs that reach the bar by each way, and how many were made worse."""
    found: dict[str, Any] = {}
    for way in ("own", *WAYS):
        scores = [(row[way] if way == "own" else row[way]["score"], row) for row in rows if way in row]
        if not scores:
            continue
        count = sum(score >= REACHED * row["fixed_version"] for score, row in scores)
        share = proportion(count, len(scores))
        found[way] = {"reached": count, "n": len(scores), "low": round(share.low, 4), "high": round(share.high, 4)}
    adopted = [row for row in rows if row.get("equipoise", {}).get("adopted")]
    worse = [
        row["case"] for row in adopted if row["equipoise"]["score"] < row["own"] - 0.02 * abs(row["fixed_version"])
    ]
    found["adopted"] = len(adopted)
    found["adopted_and_worse"] = worse
    costs = [row["equipoise"]["search_cost"] for row in rows if "equipoise" in row]
    if costs:
        found["search_cost"] = {"median": float(np.median(costs)), "most": float(max(costs))}
        found["over_the_cap"] = [
            row["case"] for row in rows if row.get("equipoise", {}).get("search_cost", 0) > treatment.SEARCH
        ]
    return found


def main() -> None:
    """Measure, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    package = load(options.programs)
    out = options.out or Path(__file__).with_name("records") / f"{datetime.now(UTC):%Y-%m-%d}-treated-programs.json"
    record: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {"rows": []}
    record["what"] = "faulty programs cured by diagnosis, treatment and trial"
    record["command"] = " ".join(["python", "benchmarks/treated_programs.py", *sys.argv[1:]])
    record["machine"] = machine()
    done = {(row["case"], row["seed"]): row for row in record["rows"]}
    strong = [case for case in package.cases() if package.facts()[case]["strength"] == "strong"]
    for seed in range(options.seeds):
        for case in options.only or strong:
            known = done.get((case, seed), {})
            if set(options.ways) <= set(known):
                continue
            row = row_of(package, case, seed, tuple(options.ways), known)
            if known:
                record["rows"].remove(known)
            record["rows"].append(row)
            record["summary"] = summary(record["rows"])
            out.write_text(json.dumps(record, indent=1, default=float) + "\n", encoding="utf-8")
            told = row.get("equipoise", {})
            print(
                f"{case:26s} fixed {row['fixed_version']:7.3f} own {row['own']:7.3f} "
                f"treated {told.get('score', 0):7.3f} "
                f"cost {told.get('search_cost', 0):6.1f}/{told.get('plan_cost', 0):4.2f} random "
                f"{row.get('random', {}).get('score', math.nan):7.3f} recipe "
                f"{row.get('fixed', {}).get('score', math.nan):7.3f} {told.get('outcome', '')} {told.get('faults')}",
                flush=True,
            )
    print(json.dumps(record["summary"], indent=1))


if __name__ == "__main__":
    main()
