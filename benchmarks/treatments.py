"""Do the treatments of `equipoise treat` cure plans that were made sick on purpose?

    python benchmarks/treatments.py [--only ID ...] [--budget 300] [--seeds 10] [--out FILE]

Three plans on the digits are sick: raw inputs with tanh and a tiny step; a wide network that learns 100 samples by
heart; rectified units that die at birth. Each is trained, examined and treated within the budget, as a user would do
it; nothing here knows the cure. Then the adopted plan and the sick one are trained on seeds that neither the course nor
its own last comparison has seen, and their scores on the test part are compared: mean difference, its exact interval,
and p of the sign-flip test. A plan is cured when the whole interval lies above 0.

The record is written after every plan and lies in `records/<date>-treatments.json`; plans that are in it are not
treated again.
"""

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from equipoise.core.atomic import write_text
from equipoise.core.plan import Plan
from equipoise.core.progress import Progress
from equipoise.fit.execution import machine
from equipoise.run.what import plan as plan_of
from equipoise.stats.paired import sign_flip_interval, sign_flip_p
from equipoise.treat.arm import train_arm
from equipoise.treat.conclude import test_score
from equipoise.treat.treat import treat

FIRST_SEED = 10_000
"""Far beyond the seeds of any course."""


def sick_plans() -> dict[str, Plan]:
    """Return the sick plans by id."""
    digits = plan_of("digits").replace(
        recipe__augmentation=(), recipe__schedule="constant", recipe__patience=None, recipe__keep="last"
    )
    dense = digits.replace(network={"family": "dense", "hidden": [32]})
    # 100 of 1,797 samples for training, and as many for validation as the digits plan has.
    few = {"validation": 0.15, "test": round(1 - 0.15 - 100 / 1797, 4)}
    return {
        "unscaled-tanh-tiny-step": dense.replace(
            network__standardise=False,
            network__activation="tanh",
            recipe__optimizer="sgd",
            recipe__learning_rate=1e-5,
            recipe__epochs=15,
        ),
        "overfitted-on-100": dense.replace(
            network__hidden=(256, 256),
            data__split__validation=few["validation"],
            data__split__test=few["test"],
            recipe__learning_rate=1e-2,
            recipe__epochs=60,
            recipe__batch_size=16,
        ),
        "dead-units": dense.replace(
            network__hidden=(32, 32, 32),
            recipe__optimizer="sgd",
            recipe__learning_rate=8.0,
            recipe__governor=False,
            recipe__epochs=15,
        ),
    }


def cured(plan: Plan, budget_s: float, seeds: int) -> dict[str, Any]:
    """Return what a course did to a plan, and both plans' test scores on fresh seeds."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        course = treat(plan, budget_s=budget_s, folder=Path(folder) / "course", on_progress=_say).course
    after = Plan.read(course.after)
    fresh = range(FIRST_SEED, FIRST_SEED + seeds)
    scores = {
        name: [test_score(train_arm(one, fresh).fits[seed]) for seed in fresh]
        for name, one in {"sick": plan, "adopted": after}.items()
    }
    differences = np.array(scores["adopted"]) - np.array(scores["sick"])
    effect = sign_flip_interval(differences)
    return {
        "adopted": list(course.adopted),
        "trials": [
            {"treatment": one.treatment, "outcome": one.outcome, "effect": one.effect.plain(), "p": one.p_value}
            for one in course.trials
        ],
        "own_comparison": None if course.comparison is None else course.comparison.plain(),
        "plan_before": course.before,
        "plan_after": course.after,
        "seeds": list(fresh),
        "scores": scores,
        "difference": effect.plain(),
        "p_value": sign_flip_p(differences),
        "cured": bool(effect.low > 0),
        "course_s": round(course.seconds, 1),
        "total_s": round(time.monotonic() - began, 1),
    }


def _say(progress: Progress) -> None:
    if progress.finished:
        print(f"  {progress.phase:<8} {progress.note}", file=sys.stderr, flush=True)


def main() -> None:
    """Treat what is not in the record yet, write it after each plan, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(sick_plans()))
    parser.add_argument("--budget", type=float, default=300.0, help="seconds of each course")
    parser.add_argument("--seeds", type=int, default=10, help="fresh seeds of the last comparison")
    day = datetime.now(UTC).date().isoformat()
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "records" / f"{day}-treatments.json")
    asked = parser.parse_args()
    record: dict[str, Any] = json.loads(asked.out.read_text()) if asked.out.is_file() else {"plans": {}}
    for name, plan in sick_plans().items():
        if name in record["plans"] or (asked.only and name not in asked.only):
            continue
        record["plans"][name] = cured(plan, asked.budget, asked.seeds)
        record |= {
            "command": f"python benchmarks/treatments.py --budget {asked.budget:g} --seeds {asked.seeds}",
            "machine": machine(),
            "versions": {package: version(package) for package in ("equipoise", "torch", "numpy")},
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_text(asked.out, json.dumps(record, indent=1) + "\n")
    for name, one in record["plans"].items():
        found = one["difference"]
        print(
            f"{name}: {'cured' if one['cured'] else 'NOT cured'} by {', '.join(one['adopted']) or 'nothing'}: "
            f"{found['value']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}] on {len(one['seeds'])} fresh seeds, "
            f"p = {one['p_value']:.2g}, {one['total_s']:.0f} s"
        )


if __name__ == "__main__":
    main()
