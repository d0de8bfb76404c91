"""How often a paired trial decides wrongly when nothing was changed, and how often it finds what was planted.

    python -m benchmarks.trial_calibration [--seeds 64] [--trials 500] [--out FILE] [--plans wine ...]

Many seeds of several bundled plans are trained once, each plan as a cohort. An A/A trial draws seeds of one plan by
chance, no seed twice, pairs them, and is decided by the rule of `paired_trial` on their validation scores: both arms
are the same plan, so whatever it adopts or calls harmful is wrong. Power is measured on the same pairs with an effect
added to one arm, in units of the standard deviation of a pair's difference. The record holds the pooled scores, so that
a test replays it.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.throughput import machine, versions

from equipoise.core.atomic import write_text
from equipoise.stats.intervals import proportion
from equipoise.trial.rule import Judgement, Rule, judge

PLANS = ("wine", "breast-cancer", "diabetes", "linear-regression", "pure-noise")
"""Classes and quantities, easy and impossible; scores in coarse steps (wine) and in fine ones (diabetes)."""

EFFECTS = (0.5, 1.0, 1.5, 2.0)
"""Planted effects, in standard deviations of a pair's difference."""

FIRST_SEED = 1000


CHUNK = 8
"""Networks that are trained as one cohort; the record is written after each."""


def pooled(plan: str, seeds: range) -> list[float]:
    """Return the validation scores of some seeds of a bundled plan, each with its own division of the data."""
    import equipoise

    return list(equipoise.fit(equipoise.plan(plan), seeds=seeds).scores)


def decided(rule: Rule, differences: Sequence[float]) -> Judgement:
    """Return what a trial ends with that sees these differences one after another."""
    return next(one for n in rule.looks if (one := judge(rule, differences[:n], {})).outcome is not None)


def drawn(scores: np.ndarray, pairs: int, rng: np.random.Generator) -> list[float]:
    """Return the differences of pairs drawn by chance, no score twice."""
    chosen = rng.permutation(len(scores))[: 2 * pairs]
    differences: list[float] = (scores[chosen[:pairs]] - scores[chosen[pairs:]]).tolist()
    return differences


def calibrate(pools: dict[str, list[float]], trials: int, rule: Rule, seed: int = 0) -> dict[str, Any]:
    """Return how trials of nothing end, and trials of planted effects, by effect.

    Args:
        pools: Scores by plan.
        trials: How many trials of each kind; they take the plans in turn.
        rule: The rule.
        seed: Draws the pairs.
    """
    rng = np.random.default_rng(seed)
    names = [name for name, scores in pools.items() if len(scores) >= 2 * rule.looks[-1]]
    draws = [
        (names[i % len(names)], drawn(np.asarray(pools[names[i % len(names)]]), rule.looks[-1], rng))
        for i in range(trials)
    ]
    spread = {name: float(np.std(np.asarray(scores))) * np.sqrt(2) for name, scores in pools.items()}
    table: dict[str, Any] = {}
    for effect in (0.0, *EFFECTS):
        said = [decided(rule, [one + effect * spread[name] for one in pairs]) for name, pairs in draws]
        outcomes = Counter(one.outcome for one in said)
        table[f"{effect:g}"] = {
            "outcomes": dict(outcomes),
            "adopted": share(outcomes["adopted"], trials),
            "harmful": share(outcomes["harmful"], trials),
            "seeds": float(np.mean([one.look.n for one in said])),
            "by plan": {
                name: dict(Counter(o.outcome for o, d in zip(said, draws, strict=True) if d[0] == name))
                for name in names
            },
        }
    return table


def share(count: int, n: int) -> dict[str, float]:
    """Return a share with its Wilson interval."""
    estimate = proportion(count, n)
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": n}


def main(arguments: list[str] | None = None) -> int:
    """Train, draw, print and write the record; return 1 when false adoptions are beyond the stated rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=48, help="networks of each plan")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--plans", nargs="+", default=list(PLANS))
    parser.add_argument(
        "--out", type=Path, help="where the record goes; plans that are pooled there are not trained again"
    )
    options = parser.parse_args(arguments)
    out = options.out or Path(__file__).with_name("records") / "trial_calibration.json"
    record: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {"pools": {}, "seconds": {}}
    rule = Rule()
    for plan in options.plans:
        scores, start = record["pools"].setdefault(plan, []), time.perf_counter()
        before = record["seconds"].get(plan, 0.0)
        while (done := len(scores)) < options.seeds:
            first = FIRST_SEED + done
            scores += pooled(plan, range(first, first + min(CHUNK, options.seeds - done)))
            record["seconds"][plan] = before + time.perf_counter() - start
            write_text(out, json.dumps(record, indent=1) + "\n")
            print(f"{plan}: {len(scores)} networks in {record['seconds'][plan]:.0f} s", file=sys.stderr)
    record |= {
        "what": "paired trials of nothing and of planted effects, decided by the rule of paired_trial",
        "command": " ".join(
            ["python -m benchmarks.trial_calibration", *(sys.argv[1:] if arguments is None else arguments)]
        ),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "first_seed": FIRST_SEED,
        "trials": options.trials,
        "rule": rule.said(),
        "machine": machine(),
        "versions": versions(),
        "effects": calibrate(record["pools"], options.trials, rule),
    }
    write_text(out, json.dumps(record, indent=1) + "\n")
    for effect, row in record["effects"].items():
        adopted, harmful = row["adopted"], row["harmful"]
        print(
            f"{effect} sd: adopted {adopted['value']:.3f} [{adopted['low']:.3f}, {adopted['high']:.3f}], harmful "
            f"{harmful['value']:.3f} [{harmful['low']:.3f}, {harmful['high']:.3f}], {row['seeds']:.1f} seeds"
        )
    nothing = record["effects"]["0"]
    return int(max(nothing["adopted"]["low"], nothing["harmful"]["low"]) > rule.level / 2)


if __name__ == "__main__":
    raise SystemExit(main())
