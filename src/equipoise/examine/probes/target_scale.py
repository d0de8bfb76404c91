"""`target-scale`: are quantities to be learned on the scale on which a network begins?"""

import math

import torch

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.contract import Contract, contract
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample, sample_batches
from equipoise.examine.probes.setup import CannotRestartError, Setup, restarted
from equipoise.examine.probes.stepping import take_steps
from equipoise.networks.foreign import first_tensor

NAME = "target-scale"
_STEPS, _ROWS, _FEW_ROWS = 10, 128, 8


@probe(NAME)
def target_scale(setup: Setup) -> Symptom:
    """Measure how far targets are from the outputs at birth, and how many of the loop's own steps that is.

    A network begins with outputs of about 1 in size. Steps of a fixed length, as Adam's, take long to carry them
    further; steps in proportion to the gradient, as plain SGD's, throw the weights about.
    """
    given = contract(setup)
    if given.task.kind != "values" or given.loss.accepts not in ("values", "unknown"):
        raise InapplicableError("the targets are no quantities, or the loss does not compare values")
    targets = given.all_targets.detach().double().reshape(len(given.all_targets), -1)
    if not bool(torch.isfinite(targets).all()):
        claim = "Some targets are not finite. Drop their rows."
        suggests = {"wrong_labels": 4.0}
        return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=("targets",), suggests=suggests)
    if len(targets) >= _FEW_ROWS and bool((targets == targets[:1]).all()):
        return _constant(given, targets)
    far = float(targets.square().mean().sqrt())
    spread = float(targets.std(0).mean()) if len(targets) > 1 else 0.0
    share = _share_of_steps(setup, far)
    return _judged(far, spread, share, float(targets.mean()), len(targets))


def _constant(given: Contract, targets: torch.Tensor) -> Symptom:
    """Judge targets that are the same for every sample: a column that was read wrongly, unless they stand for nothing.

    A loss of its own, or zeros that a residual is to reach, need no targets.
    """
    claim = f"All {len(targets)} samples have the same target: there is nothing to learn. Check the targets."
    dummy = given.loss.form == "unknown" or not bool(targets.any())
    verdict, weight = (Verdict.UNSURE, 1.0) if dummy else (Verdict.FAIL, 5.0)
    return Symptom(name=NAME, verdict=verdict, claim=claim, where=("targets",), suggests={"wrong_labels": weight})


def _judged(far: float, spread: float, share: float | None, mean: float, n: int) -> Symptom:
    estimates: dict[str, Estimate] = {"root mean square of targets": exact(far, n=n, unit="targets")}
    claim = f"Targets lie around {mean:.3g} with a deviation of {spread:.3g}; outputs begin at about 1 in size."
    if share is not None:
        estimates["share of the training's steps to get there"] = exact(share)
        claim += f" At the pace of the first steps, getting there takes {share:.2g} times the steps of the training."
    weight = max(0.0, 1.8 * (math.log10(max(far, 1e-12)) - 1.0))
    if far > 0 and spread < 0.01:
        weight = max(weight, 1.5 * (-math.log10(max(spread, 1e-12)) - 1.7))
    if weight > 0 and share is not None and share > 3:
        weight += 1.0
    weight = min(weight, 6.0)
    if weight < 0.5:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    verdict = Verdict.FAIL if weight >= 2.5 else Verdict.WARN if weight >= 1.5 else Verdict.UNSURE
    return Symptom(
        name=NAME,
        verdict=verdict,
        claim=f"{claim} Standardise the targets and transform predictions back.",
        where=("targets",),
        suggests={"unscaled_target": weight},
        estimates=estimates,
    )


def _share_of_steps(setup: Setup, far: float) -> float | None:
    """Return how many trainings' steps the way to the targets takes at the pace of the first steps."""
    total = setup.epochs * math.ceil(len(setup.train[0]) / max(setup.batch_size, 1))
    if total < 5 * _STEPS or far <= 0:
        return None
    try:
        state = restarted(setup)
    except CannotRestartError:
        return None
    inputs, _ = sample(setup, _ROWS)
    state.network.eval()
    with torch.no_grad():
        before = first_tensor(state.network(inputs)).double()
    state.network.train()
    batches = sample_batches(setup, _STEPS, size=setup.batch_size)
    taken = sum(1 for _ in take_steps(setup, state, batches, _STEPS))
    state.network.eval()
    with torch.no_grad():
        after = first_tensor(state.network(inputs)).double()
    pace = float((after - before).square().mean().sqrt()) / max(taken, 1)
    if not math.isfinite(pace) or pace <= 0:
        return None
    way = max(0.0, far - float(before.square().mean().sqrt()))
    return way / pace / total
