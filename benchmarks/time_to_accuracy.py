"""CPU time until a network is as good on test data as a tutorial's training leaves it, by the recipe for bare data.

    python -m benchmarks.time_to_accuracy --data FILE.npz [--only dense convolutional] [--seeds 0 1 2] [--stop]

`FILE` holds 28x28 grey images and their labels (arrays `images` and `labels`). For every seed the data are divided anew
and two networks of the same layers are trained on the same training part, one after the other:

* the tutorial's: pixels in [0, 1], Adam at 1e-3, batches of 32, five epochs, nothing else in its loop;
* Equipoise's: `equipoise.fit` with the recipe that is chosen when somebody hands over these data and nothing else.

What counts is the CPU time of the tutorial over that of Equipoise up to the first look at which its network is at least
as accurate on the test part as the tutorial's in the end. Everything in `fit` counts: building, standardising, choosing
how to execute, validation, the governor. Left out is only what this script adds, the looks at the test part. Nothing
was tuned on test parts: the recipe was chosen by validation scores.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from benchmarks.throughput import machine, versions
from benchmarks.workloads import FAMILIES, NETWORKS
from torch import Tensor, nn

from equipoise.core.data_plan import GivenData
from equipoise.core.plan import Plan
from equipoise.data.given import splits_from
from equipoise.data.samples import Splits
from equipoise.fit.fit import fit
from equipoise.networks.network import Network
from equipoise.run.choose import choose_plan, choose_recipe

WORKLOADS = {"dense": "w2", "convolutional": "w3"}
EPOCHS, BATCH, RATE = 5, 32, 1e-3
WARM_UP = 500
"""Images of the training that is not counted."""

AT_LEAST = 5.0
"""How many times less CPU time is asked for."""


@dataclass
class Clock:
    """CPU seconds of this process that count."""

    spent: float = 0.0
    since: float = 0.0

    def start(self) -> None:
        """Count from now on."""
        self.since = time.process_time()

    def stop(self) -> None:
        """Count no more."""
        self.spent += time.process_time() - self.since


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 28, 28), uint8, and labels (n,)."""
    with np.load(path) as arrays:
        return arrays["images"], arrays["labels"]


@torch.no_grad()
def accuracy(scores: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> float:
    """Return the share of right classes."""
    right = sum(
        int((scores(x).argmax(1) == y).sum()) for x, y in zip(inputs.split(512), targets.split(512), strict=True)
    )
    return right / len(targets)


def tutorial(splits: Splits, workload: str, seed: int) -> dict[str, float]:
    """Train as tutorials do; return CPU seconds and the test accuracy in the end."""
    inputs, targets = pixels(splits.train, workload)
    clock = Clock()
    clock.start()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[workload]()
        criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(network.parameters(), lr=RATE)
        for _ in range(EPOCHS):
            for index in torch.randperm(len(inputs)).split(BATCH):
                loss = criterion(network(inputs[index]), targets[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    clock.stop()
    network.eval()
    return {"cpu_s": clock.spent, "accuracy": accuracy(network, *pixels(splits.test, workload))}


def pixels(samples: Any, workload: str) -> tuple[Tensor, Tensor]:
    """Return the images of a part as tutorials take them, pixels in [0, 1], and the class indices."""
    images, targets = samples.batch(torch.arange(len(samples)))
    images = images.float() / 255
    return images.flatten(1) if workload == "w2" else images, targets.long()


def chosen_plan(splits: Splits, workload: str, seed: int) -> Plan:
    """Return the plan for these bare data, had the network of the workload been chosen."""
    recipe, _ = choose_recipe(splits, FAMILIES[workload])
    plan = choose_plan(splits, GivenData(), seed)
    return plan.replace(network=FAMILIES[workload], recipe=recipe.replace(threads=1))


def ours(splits: Splits, plan: Plan, seed: int, goal: float, *, stop: bool = False) -> dict[str, Any]:
    """Fit a plan; return CPU seconds until the goal and altogether, and every look at the test part.

    Args:
        splits: The data.
        plan: What to fit.
        seed: Of the fit.
        goal: Accuracy on the test part.
        stop: Whether to end the training where the goal is reached, to save time; then that is the end.
    """
    clock, looks = Clock(), []
    inputs, targets = splits.test.batch(torch.arange(len(splits.test)))

    class Looked(Network):
        """Knows when the loop looks up: it puts the network in evaluation mode to judge it."""

        def train(self, mode: bool = True) -> Network:
            begins = not mode and self.training
            changed = super().train(mode)
            if begins:
                clock.stop()
                looks.append((clock.spent, accuracy(self.answer, inputs, targets)))
                clock.start()
                if stop and looks[-1][1] >= goal:
                    raise KeyboardInterrupt  # which keeps what was done
            return changed

    with mock.patch("equipoise.networks.build.Network", Looked):
        clock.start()
        fitted = fit(plan, seed, splits=splits)
        clock.stop()
    looks.append((clock.spent, accuracy(fitted.network.answer, inputs, targets)))
    reached = next((spent for spent, found in looks[1:] if found >= goal), None)
    return {
        "cpu_s": reached,
        "whole_cpu_s": clock.spent,
        "accuracy": looks[-1][1],
        "epochs": fitted.epochs,
        "stopped": str(fitted.stopped),
        "execution": fitted.execution.plain(),
        "looks": [(round(spent, 4), round(found, 5)) for spent, found in looks],
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the ratio of CPU times over the seeds: median and range; a goal that was never reached counts as zero."""
    ratios = [
        row["tutorial"]["cpu_s"] / row["equipoise"]["cpu_s"] if row["equipoise"]["cpu_s"] else 0.0 for row in rows
    ]
    return {
        "times_less": {"value": float(np.median(ratios)), "low": min(ratios), "high": max(ratios), "n": len(ratios)},
        "tutorial_accuracy": float(np.mean([row["tutorial"]["accuracy"] for row in rows])),
        "equipoise_accuracy": float(np.mean([row["equipoise"]["accuracy"] for row in rows])),
        "at_least": AT_LEAST,
        "verdict": "holds" if min(ratios) >= AT_LEAST else "broken" if max(ratios) < AT_LEAST else "unsure",
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write the record; return 1 unless every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="an .npz with `images` and `labels`")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--stop", action="store_true", help="end each training of Equipoise where it reaches the goal")
    parser.add_argument("--out", type=Path, help="where the record goes")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    images, labels = read(options.data)
    record: dict[str, Any] = {
        "what": "CPU time until the accuracy of a tutorial's training, by the recipe for bare data",
        "command": " ".join(
            ["python -m benchmarks.time_to_accuracy", *(sys.argv[1:] if arguments is None else arguments)]
        ),
        "machine": machine(),
        "versions": versions(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "data": f"{options.data.name}: {len(images):,} images",
        "workloads": {},
    }
    for name in options.only:
        workload, rows = WORKLOADS[name], []
        few = splits_from((images[:WARM_UP], labels[:WARM_UP]), seed=0)
        tutorial(few, workload, 0)  # imports, caches
        ours(few, chosen_plan(few, workload, 0), 0, 0.0, stop=True)
        for seed in options.seeds:
            splits = splits_from((images, labels), seed=seed)
            theirs, plan = tutorial(splits, workload, seed), chosen_plan(splits, workload, seed)
            found = ours(splits, plan, seed, theirs["accuracy"], stop=options.stop)
            rows.append({"seed": seed, "tutorial": theirs, "equipoise": found})
            record["recipe"] = plan.recipe.plain()
            print(
                f"{name} seed {seed}: tutorial {theirs['cpu_s']:.2f} s to {theirs['accuracy']:.4f}; equipoise "
                f"{found['cpu_s']} s, in the end {found['accuracy']:.4f} after {found['whole_cpu_s']:.2f} s",
                file=sys.stderr,
            )
        record["workloads"][name] = summary(rows) | {"rows": rows}
    out = options.out or Path(__file__).with_name("records") / f"{record['date']}-time-to-accuracy.json"
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for name, row in record["workloads"].items():
        one = row["times_less"]
        print(
            f"{name}: {one['value']:.1f} [{one['low']:.1f}, {one['high']:.1f}] times less CPU time, {one['n']} seeds "
            f"(accuracy {row['tutorial_accuracy']:.4f}, ours in the end {row['equipoise_accuracy']:.4f}), at least "
            f"{row['at_least']:g}: {row['verdict']}"
        )
    print(f"record: {out}")
    return int(any(row["verdict"] != "holds" for row in record["workloads"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
