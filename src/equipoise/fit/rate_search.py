"""The learning rate that a short range test on the training part finds."""

import copy
import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch

from equipoise.core.plan import Plan
from equipoise.core.progress import silent
from equipoise.data.samples import Splits
from equipoise.fit.feed import Batch
from equipoise.fit.fitted import Execution
from equipoise.fit.job import Job
from equipoise.fit.optimizers import Stepper, build_stepper
from equipoise.fit.penalties import add_penalties
from equipoise.fit.prepare import prepare_job
from equipoise.fit.seeds import derive
from equipoise.fit.state import seed_everything
from equipoise.networks.network import Network

LOWEST, HIGHEST = 1e-6, 10.0
STEPS = 100
"""Steps from the lowest rate to the highest, on a copy of the network."""

AROUND = 3
"""Losses on either side that are averaged with one."""

BACK = 10.0
"""The rate found is the one with the smallest loss divided by this; at that one itself the loss already turns."""

BROKEN = 4.0
"""A smoothed loss so many times the smallest one ends the test."""


def find_rate(plan: Plan, seed: int, splits: Splits, network: Network, execution: Execution) -> float:
    """Return a learning rate for a plan from a range test; the network is left as it is.

    The rate grows geometrically from step to step while a copy of the network is trained on training batches; the loss
    falls once the rate is large enough and rises when it is too large (Smith, WACV 2017). Where no rate lets the loss
    fall by more than its scatter at the smallest rates, the plan's own is returned.

    Args:
        plan: What is trained.
        seed: Of the fit; draws the batches.
        splits: The data; only the training part is looked at.
        network: Not trained yet, laid out on its device.
        execution: How it is executed.
    """
    tried = copy.deepcopy(network)
    stepper = build_stepper(plan.recipe, tried, torch.device(execution.device))
    job = prepare_job(plan, derive(seed, "rate"), splits, tried, stepper, execution, None, silent)
    try:
        rates, losses = _range_test(job, stepper, tried)
    finally:
        job.feed.part.close()
        job.validation.part.close()
    return best_rate(rates, losses, plan.recipe.learning_rate)


def best_rate(rates: np.ndarray, losses: np.ndarray, present: float) -> float:
    """Return the rate that a range test speaks for.

    Args:
        rates: Rates, rising.
        losses: Loss of the batch before the step with each rate.
        present: Returned where no rate lets the loss fall by more than its scatter.
    """
    if not np.isfinite(losses).all():
        return present
    smooth = _smoothed(losses)
    best = int(np.argmin(smooth))
    beginning = losses[: max(4, len(losses) // 5)]
    scatter = float(np.std(beginning)) / math.sqrt(2 * AROUND + 1)
    if smooth[best] >= float(np.mean(beginning)) - 3 * scatter - 1e-3 * abs(float(np.mean(beginning))):
        return present
    return float(f"{rates[best] / BACK:.2g}")


def _range_test(job: Job, stepper: Stepper, network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return rates and losses up to where the loss breaks; at least one."""
    rates = np.geomspace(LOWEST, HIGHEST, STEPS)
    draws = torch.Generator(job.validation.part.device)
    seed_everything(derive(job.seed, "dropout"), draws, derive(job.seed, "draws"))
    network.train()
    stepper.train()
    losses: list[float] = []
    for rate, group in zip(rates, _groups(job, draws), strict=False):
        stepper.set_rate(float(rate))
        total = 0.0
        for batch in group:
            loss, _ = job.objective(batch.features, batch.targets, draws)
            (loss * batch.share).backward()
            total += float(loss.detach()) * batch.share
        if not math.isfinite(total):
            break
        losses.append(total)
        if len(losses) > 2 * AROUND and _smoothed(np.array(losses))[-1 - AROUND] > BROKEN * abs(min(losses)):
            break
        if job.recipe.l1 or job.recipe.l2:
            add_penalties(job.weights, job.recipe.l1, job.recipe.l2)
        if job.recipe.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(stepper.parameters, job.recipe.max_grad_norm)
        stepper.step()
    if not losses:
        return rates[:1], np.array([math.inf])
    return rates[: len(losses)], np.array(losses)


def _groups(job: Job, draws: torch.Generator) -> Iterator[list[Batch]]:
    """Yield the batches of one optimiser step after another, without end."""
    group: list[Batch] = []
    for number in itertools.count():
        for batch in job.feed.batches(number, 1, 0, draws):
            group.append(batch)
            if batch.completes:
                yield group
                group = []


def _smoothed(losses: np.ndarray) -> np.ndarray:
    """Return the centred mean of each loss and its neighbours, fewer at the ends."""
    windows = (losses[max(0, i - AROUND) : i + AROUND + 1] for i in range(len(losses)))
    return np.array([float(window.mean()) for window in windows])
