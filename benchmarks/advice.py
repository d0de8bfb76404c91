"""Is the advice that articles give on neural networks any good? Each bit of it in paired trials on six bundled plans.

    python benchmarks/advice.py [--plans NAME ...] [--only ADVICE ...] [--most-seconds S] [--out FILE]
        [--experience FILE]

Advice that is a change of a plan is a treatment of the catalogue, and is tried with `paired_trial` against the plan
without regularisation, augmentation and schedule (`BARE`; where the advice is against something, that is put in first):
same seeds and splits, equal counted cost, validation score, exact test at 5 % over looks at 6 and 10 seeds (the
margin and the guards are those of `equipoise treat`). Advice that is a question of numbers, such as "dropout for
security", is tried by what it claims to improve where that can be measured, as `MEASURED` says. Advice that is no
change of a training at all is listed with the reason.

The record is written after every trial and lies in `records/advice.json`; what is in it is not tried again, so
that it can be made in many short runs: `--most-seconds 150` ends after the trial that passes that time. `--experience`
writes how often each treatment was adopted, for the package (`src/equipoise/treat/experience.json`).
`docs/advice.md` is generated from the record by `docs/make.py`.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from equipoise.core.atomic import write_text
from equipoise.core.plan import Plan
from equipoise.core.trial import Trial
from equipoise.fit.execution import machine
from equipoise.run.what import plan as plan_of
from equipoise.treat.aims import Aim, aim_of
from equipoise.treat.arm import Arm, train_arm
from equipoise.treat.catalogue import treatment_named
from equipoise.treat.guards import SCORE, guard_margins, guards_for, score_of
from equipoise.treat.size import margin_for
from equipoise.treat.trials import task_of
from equipoise.trial.paired import paired_trial
from equipoise.trial.rule import Rule

RECORD = Path(__file__).parent / "records" / "advice.json"
PLANS = ("digits", "dense-digits", "breast-cancer", "diabetes", "sequences", "photographs")
LOOKS = (6, 10)
FIRST_SEED = 1
BARE: Mapping[str, object] = {
    "network__dropout": 0.0,
    "recipe__weight_decay": 0.0,
    "recipe__l2": 0.0,
    "recipe__augmentation": (),
    "recipe__schedule": "constant",
}
"""What the bundled plans have against overfitting and for a steady end is taken off first: advice is for those who have
not followed it yet."""

REGULARISED: Mapping[str, object] = {"network__dropout": 0.5, "recipe__weight_decay": 0.1, "recipe__optimizer": "adamw"}
"""For advice to regularise less."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One bit of advice.

    Attributes:
        id: Its name in the record.
        says: What the articles say, in their words as far as possible.
        treatments: Ids of the treatments that are this advice; empty where it is no change of a training.
        question: What it is said to improve, as the id of a question; empty for the score.
        remark: Why it cannot be tried, or what is wrong with it.
        instead: What the plan has, where there would be nothing to advise otherwise, such as sigmoid for ReLU.
    """

    id: str
    says: str
    treatments: tuple[str, ...] = ()
    question: str = ""
    remark: str = ""
    instead: Mapping[str, object] = field(default_factory=dict)


ADVICE = (
    Advice("learning-rate", "tune the learning rate", ("learning-rate-search", "higher-step", "lower-step")),
    Advice(
        "relu",
        "use ReLU against vanishing gradients and for performance",
        ("relu",),
        instead={"network__activation": "sigmoid"},
    ),
    Advice("swish", "use Swish for performance", ("silu",), instead={"network__activation": "sigmoid"}),
    Advice("tanh", "use tanh for values from -1 to 1", ("tanh",), instead={"network__activation": "sigmoid"}),
    Advice(
        "batch-norm",
        "use batch normalisation against vanishing gradients",
        ("batch-norm",),
        instead={"network__activation": "sigmoid"},
    ),
    Advice(
        "recurrence", "use LSTM or RNN against vanishing gradients", ("lstm", "gru"), instead={"network__cell": "plain"}
    ),
    Advice("residual", "use ResNet for performance", ("residual-links",)),
    Advice("optimizer", "choose the optimiser: gradient descent, SGD, Adam", ("gradient-descent", "sgd", "adam")),
    Advice("l2", "regularise with an L2 penalty", ("l2", "weight-decay")),
    Advice("l1", "regularise with an L1 penalty", ("l1",)),
    Advice("dropout", "use dropout against overfitting", ("dropout",)),
    Advice("reduction", "reduce dimensions by PCA or LDA", ("principal-components", "discriminant-components")),
    Advice("feature-selection", "select features automatically", ("feature-selection",)),
    Advice("augmentation", "augment by random crop, rotation and flip", ("crop", "rotate", "flip")),
    Advice("gan", "generate data with a GAN where there are too few", ("synthetic-gan",)),
    Advice("pretraining", "use a pretrained model for features", ("reconstruction-pretraining",)),
    Advice("capacity-up", "more capacity against underfitting, and for nearly everything else", ("capacity-up",)),
    Advice(
        "less-regularisation",
        "less regularisation against underfitting",
        ("weaker-penalties", "less-dropout"),
        instead=REGULARISED,
    ),
    Advice("smaller", "smaller models for speed and memory", ("capacity-down",)),
    Advice("smaller-batches", "smaller batches for memory", ("smaller-batches",)),
    Advice("stacking", "stack and combine networks", ("stacking", "deep-ensemble")),
    Advice("iterations", "train for more iterations", ("more-epochs",)),
    Advice(
        "loss",
        "MSE for regression, cross-entropy for classes",
        remark="Right, and no matter of trials: a plan whose loss does not suit its task is refused before the first "
        "step. In programs of one's own `equipoise diagnose` finds it.",
    ),
    Advice("robust-capacity", "more capacity for robustness to noise", ("capacity-up",), "input-noise"),
    Advice(
        "robust-less-regularisation",
        "less regularisation for robustness to noise",
        ("weaker-penalties", "less-dropout"),
        "input-noise",
        instead=REGULARISED,
    ),
    Advice("robust-dropout", "dropout for security: stability under disturbed inputs", ("dropout",), "input-noise"),
    Advice(
        "more-data",
        "more data for robustness, generalisation, accuracy, noise, bias, leakage and deception alike",
        remark="Data that are not there cannot be added by a plan. Whether more would help is what the question "
        "data-shortage measures, by a learning curve with extrapolation. Against leakage and deception more of the "
        "same data do nothing.",
    ),
    Advice(
        "penalty-complexity",
        "regularisation adds complexity to the model",
        remark="It is the other way round: a penalty takes freedom away from the weights.",
    ),
    Advice(
        "input-layer-attack",
        "input-layer XGBoost and output-layer Flask as attacks to test security with",
        remark="There is no such thing: XGBoost is a library of boosted trees and Flask a web framework; neither "
        "attacks a layer.",
    ),
    Advice(
        "stronger-hardware",
        "stronger hardware, GPU or TPU, for speed",
        remark="It changes how long a training takes, and not what it learns: there is nothing to compare in a trial. "
        "The questions latency and memory measure it on a machine.",
    ),
    Advice(
        "quantise",
        "turn floats into integers for speed",
        remark="It is done to a trained network, not to a training; parity is measured when a network is exported.",
    ),
    Advice(
        "explain",
        "simplify, and explain outputs and inputs, for interpretability",
        remark="An explanation changes no answer. Whether one may be believed is what the question "
        "explanation-faithful measures.",
    ),
    Advice(
        "modular-design",
        "modular design for extensibility",
        remark="It is a property of code; nothing about a trained network follows from it.",
    ),
)


def tried(bundled: Plan, arms: dict[str, Arm], treatment: str, advice: Advice) -> dict[str, Any]:
    """Return what came of one treatment on one plan: a trial as plain values, or why there was none.

    Args:
        bundled: The plan.
        arms: Untreated trainings that are there already, by what they are of; gets those that are made.
        treatment: Id of the treatment.
        advice: What it is tried for.
    """
    try:
        plan = bundled.replace(**BARE).replace(**advice.instead)
    except ValueError:
        return {"refused": f"the plan has no {', '.join(advice.instead).replace('__', '.')}"}
    try:
        treatment_named(treatment).apply(plan)
        key = plan.model_dump_json()
        if key not in arms:
            arms[key] = train_arm(plan, range(FIRST_SEED, FIRST_SEED + LOOKS[-1]))
        arm = arms[key]
        aim = aim_of(advice.question, task_of(arm))
        if advice.question and aim is None:
            return {"refused": f"{advice.question} cannot be measured for {task_of(arm).kind}"}
        rule, guards, measure = _rule(arm, aim)
        trial = paired_trial(
            plan,
            treatment_named(treatment),
            tuple(arm.fits),
            rule=rule,
            guards=guards,
            measure=measure,
            untreated=arm.fits,
        )
    except ValueError as problem:
        return {"refused": str(problem)}
    return trial.plain()


def _rule(arm: Arm, aim: Aim | None) -> tuple[Rule, Any, Any]:
    fits = list(arm.fits.values())
    measures = guards_for(task_of(arm))
    margins = guard_margins(measures, arm.fits)
    score_margin = margin_for([one.score for one in fits], LOOKS[-1])
    if aim is None:
        return Rule(margin=score_margin, guards=margins, looks=LOOKS), measures, None
    margin = margin_for([aim.on_validation(one) for one in fits], LOOKS[-1])
    rule = Rule(margin=margin, guards=margins | {SCORE: score_margin}, looks=LOOKS)
    return rule, measures | {SCORE: score_of}, (aim.name, aim.on_validation)


def experience(record: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Return by treatment how often a trial on its score adopted it, and how many trials there were."""
    counted: dict[str, tuple[int, int]] = {}
    for key, one in record["trials"].items():
        _, _, treatment, question = key.split("/")
        if "refused" not in one and not question:
            adopted, trials = counted.get(treatment, (0, 0))
            counted[treatment] = (adopted + Trial.read(one).adopted, trials + 1)
    return dict(sorted(counted.items()))


def main() -> None:
    """Make the trials that are not in the record yet, one plan after another."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plans", nargs="+", default=list(PLANS), choices=PLANS)
    parser.add_argument("--only", nargs="+", choices=[one.id for one in ADVICE])
    parser.add_argument("--most-seconds", type=float, default=float("inf"))
    parser.add_argument("--out", type=Path, default=RECORD)
    parser.add_argument("--experience", type=Path)
    asked = parser.parse_args()
    began = time.monotonic()
    record: dict[str, Any] = json.loads(asked.out.read_text()) if asked.out.is_file() else {"trials": {}}
    for name in asked.plans:
        todo = [
            (f"{name}/{advice.id}/{treatment}/{advice.question}", treatment, advice)
            for advice in ADVICE
            for treatment in advice.treatments
            if not asked.only or advice.id in asked.only
        ]
        todo = [one for one in todo if one[0] not in record["trials"]]
        if not todo or time.monotonic() - began > asked.most_seconds:
            continue
        arms: dict[str, Arm] = {}
        for key, treatment, advice in todo:
            if time.monotonic() - began > asked.most_seconds:
                break
            found = tried(plan_of(name), arms, treatment, advice)
            record["trials"][key] = found
            record |= {
                "command": "python benchmarks/advice.py",
                "looks": list(LOOKS),
                "first_seed": FIRST_SEED,
                "machine": machine(),
                "versions": {package: version(package) for package in ("equipoise", "torch", "numpy")},
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            write_text(asked.out, json.dumps(record, indent=1) + "\n")
            said = found.get("refused") or f"{found['outcome']} {found['effect']['value']:+.4f}"
            print(f"{time.monotonic() - began:6.0f} s  {key}: {said[:100]}", flush=True)
    if asked.experience:
        write_text(asked.experience, json.dumps(experience(record), indent=1) + "\n")


if __name__ == "__main__":
    main()
