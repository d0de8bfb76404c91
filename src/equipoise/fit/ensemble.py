"""Several networks trained for one plan, that answer as one."""

from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import LinearConstraint, minimize
from torch import Tensor
from torch.nn import functional

from equipoise.core.plan import Plan
from equipoise.core.progress import Listener
from equipoise.core.signature import TaskKind
from equipoise.core.stop import StopReason
from equipoise.data.samples import Splits
from equipoise.data.select import train_on
from equipoise.fit.feed import make_part, targets_on_scale
from equipoise.fit.finish import check_finish, finish
from equipoise.fit.fitted import Fit
from equipoise.fit.held_out import held_out
from equipoise.fit.seeds import derive
from equipoise.fit.temperature import negative_log_likelihood
from equipoise.fit.validation import all_targets
from equipoise.networks.build import build
from equipoise.networks.ensemble import join, mean_scores, member_plan
from equipoise.networks.network import Network, answers
from equipoise.stats.metrics import score

FOLDS = 3
"""Folds of the cross-validation whose predictions weigh the members of a stack."""

WITHOUT: tuple[TaskKind, ...] = ("clustering", "generation")
"""Tasks whose answers have no mean."""


def fit_ensemble(plan: Plan, seed: int, splits: Splits, *, trust: bool, on_progress: Listener) -> Fit:
    """Return the networks of a plan with several members, trained, as one network that gives their mean answer.

    The first member has the seed of the fit, the others seeds derived from it. Of the result, history, execution and
    best epoch are those of the first member; epochs are the most of any; steps, seconds and acts are those of all.

    Args:
        plan: The plan; its `members` is at least 2.
        seed: Draws everything random.
        splits: The data, prepared.
        trust: Whether a foreign network's file may be unpickled.
        on_progress: Told how many are trained.

    Raises:
        ValueError: The task's answers have no mean.
    """
    from equipoise.fit.cohort import Member, fit_members  # which needs `fit`, which needs this

    singles = _singles(plan, splits)
    seeds = [seed, *(derive(seed, "member", i) for i in range(1, plan.members))]
    first = build(singles[0].network, splits.signature, splits.preprocessing, seed, trust=trust)
    check_finish(plan.finish, first)
    members = [
        Member(plan=single, seed=one, splits=_seen(plan, one, splits))
        for single, one in zip(singles, seeds, strict=True)
    ]
    trained = fit_members(members, trust=trust, on_progress=on_progress).members
    weights, steps, seconds = None, 0, 0.0
    if plan.ensemble == "stacked":
        judged = held_out(singles, seed, splits, FOLDS, trust=trust, on_progress=on_progress)
        weights = stack_weights(judged.scores, judged.targets, splits.signature.task.kind)
        steps, seconds = judged.steps, judged.seconds
    network = join([one.network for one in trained], plan.ensemble, weights)
    _finish(plan, seed, splits, network)
    stopped = [one.stopped for one in trained]
    return Fit(
        network=network.eval(),
        plan=plan,
        seed=seed,
        splits=splits,
        stopped=StopReason.INTERRUPTED if StopReason.INTERRUPTED in stopped else stopped[0],
        execution=trained[0].execution,
        vitals=trained[0].vitals,
        epochs=max(one.epochs for one in trained),
        steps=steps + sum(one.steps for one in trained),
        best_epoch=trained[0].best_epoch,
        seconds=seconds + sum(one.seconds for one in trained),
        acts=tuple(act for one in trained for act in one.acts),
        score=validation_score(network, splits),
    )


def stack_weights(scores: Tensor, targets: Tensor, kind: TaskKind) -> list[float]:
    """Return the shares of members, not negative and summing to 1, with which their mean answer has the smallest loss.

    The loss is the negative log-likelihood, or the squared error; it is convex in the shares.

    Args:
        scores: The members' scores for samples that they have not seen, (members, n, ...).
        targets: What they should have been, on the scale of the scores.
        kind: The kind of task.

    References:
        D. H. Wolpert. Stacked generalization. Neural Networks 5, 1992.
        L. Breiman. Stacked regressions. Machine Learning 24, 1996: shares that are not negative.
    """
    given, wanted = scores.double(), targets

    def loss(shares: np.ndarray) -> float:
        weights = torch.from_numpy(np.clip(shares, 1e-9, 1.0) / np.clip(shares, 1e-9, 1.0).sum())
        mean = mean_scores(given, weights, kind)
        if kind in ("regression", "reconstruction"):
            return float(functional.mse_loss(mean, wanted.double()))
        return negative_log_likelihood(mean, wanted, kind)

    even = np.full(len(scores), 1 / len(scores))
    whole = LinearConstraint(np.ones((1, len(scores))), 1, 1)
    found = minimize(loss, even, method="SLSQP", bounds=[(0, 1)] * len(scores), constraints=[whole])
    shares = np.clip(found.x if found.fun <= loss(even) else even, 0, None)
    return [float(one) for one in shares / shares.sum()]


def validation_score(network: Network, splits: Splits) -> float:
    """Return the score of a network on the validation part; see `stats.metrics.score`."""
    chunks = torch.arange(len(splits.validation)).split(512)
    inputs = torch.cat([splits.validation.batch(chunk)[0] for chunk in chunks])
    task = splits.signature.task
    truth = all_targets(splits.validation)
    if task.kind == "reconstruction":
        with torch.no_grad():
            truth = torch.cat([network.preprocess(chunk) for chunk in inputs.split(512)])
            made = torch.cat([network.scores(chunk) for chunk in inputs.split(512)])
        return score(task, truth.numpy(), made.numpy())
    return score(task, truth.numpy(), answers(network, inputs).numpy())


def _singles(plan: Plan, splits: Splits) -> list[Plan]:
    kind = splits.signature.task.kind
    if kind in WITHOUT:
        raise ValueError(
            f"members: got {plan.members} for the task {kind}, whose answers have no mean; expected 1. Leave it out."
        )
    if kind == "reconstruction" and plan.ensemble == "stacked":
        raise ValueError(
            "ensemble: got 'stacked' for the task reconstruction, which has no targets to weigh by; expected 'deep' or "
            "'bagged'. Use one of these."
        )
    return [
        plan.replace(members=1, ensemble="deep", finish=(), network=member_plan(plan.network, plan.ensemble, i))
        for i in range(plan.members)
    ]


def _seen(plan: Plan, seed: int, splits: Splits) -> Splits:
    """Return the data with what one member sees: a bootstrap sample of the training part, if it is bagged."""
    if plan.ensemble != "bagged":
        return splits
    n = len(splits.train)
    drawn = torch.randint(n, (n,), generator=torch.Generator().manual_seed(derive(seed, "bag"))).sort().values
    return replace(train_on(splits, drawn, "a bootstrap sample"), digest=f"{splits.digest}-bag-{seed}")


def _finish(plan: Plan, seed: int, splits: Splits, network: Network) -> None:
    prepare, device = targets_on_scale(network), torch.device("cpu")
    train, validation = (
        make_part(one, network, prepare, device, keep=False) for one in (splits.train, splits.validation)
    )
    finish(plan.finish, network, train, validation, seed)
