"""What a plan wants done to the training part, done."""

import hashlib
from dataclasses import replace

from equipoise.core.data_plan import TrainingPart
from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, silent
from equipoise.data.duplicates import without_duplicates
from equipoise.data.samples import Splits
from equipoise.fit.pruning import check_pruning, without_wrong_labels
from equipoise.fit.reduction import check_reduction, with_reduction
from equipoise.fit.synthetic import check_synthetic, with_synthetic


def prepare_training_part(
    plan: Plan, seed: int, splits: Splits, *, trust: bool = False, on_progress: Listener = silent
) -> Splits:
    """Return the data set with its training part as the plan wants it; validation and test are the same samples.

    Numbers that scale inputs and targets stay those of the whole training part. What was prepared before is returned
    as it is.

    Args:
        plan: Its data section says what to do.
        seed: Draws everything random.
        splits: The data, divided.
        trust: Whether a foreign network's file may be unpickled.
        on_progress: Told of the networks that are trained for it.

    Raises:
        ValueError: The data or the task cannot have it done.
    """
    wish = plan.data.training
    if splits.prepared or wish == TrainingPart():
        return splits
    _check(plan, splits)
    done = replace(splits, prepared=True)
    if wish.remove_duplicates:
        done = without_duplicates(done)
    if wish.prune_labels:
        done = without_wrong_labels(plan, seed, done, trust=trust, on_progress=on_progress)
    if wish.synthetic != "none":
        done = with_synthetic(plan, seed, done, on_progress=on_progress)
    if wish.reduction != "none":
        done = replace(done, preprocessing=with_reduction(plan, seed, done))
    told = f"{splits.digest} {seed} {wish.model_dump_json()}"
    return replace(done, digest=hashlib.sha256(told.encode()).hexdigest())


def _check(plan: Plan, splits: Splits) -> None:
    wish = plan.data.training
    if wish.prune_labels:
        check_pruning(splits)
    if wish.synthetic != "none":
        check_synthetic(plan, splits)
    if wish.reduction != "none":
        check_reduction(plan, splits)
