"""The data of a plan, divided as one seed divides them."""

from typing import Any

from equipoise.core.data_plan import GivenData
from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, silent
from equipoise.data.given import splits_from
from equipoise.data.load import load
from equipoise.data.samples import Splits
from equipoise.fit.training_part import prepare_training_part


def read_splits(
    plan: Plan, seed: int, *, data: Any = None, trust: bool = False, on_progress: Listener = silent
) -> Splits:
    """Return the data of a plan as a fit with this seed sees them.

    Args:
        plan: The plan.
        seed: Seed of the fit.
        data: For a plan that was made from data in Python: the same data again.
        trust: Whether a foreign network's file may be unpickled, where preparing the training part trains networks.
        on_progress: Told how far reading is.

    Raises:
        ValueError: Data handed over in Python are missing, or others than the plan was made from.
        FileNotFoundError: A file or folder that was named is not there.
    """
    source = plan.data
    if isinstance(source, GivenData):
        splits = _given(source, data, plan.seed, seed)
    else:
        splits = load(source, seed, on_progress=on_progress)
    return prepare_training_part(plan, seed, splits, trust=trust, on_progress=on_progress)


def _given(source: GivenData, data: Any, plan_seed: int, seed: int) -> Splits:
    """Return data handed over in Python, divided as the plan says; the digest is that of the plan's own seed."""
    if data is None:
        raise ValueError(
            "got a plan for data that were handed over in Python, and no data; expected the same data again. Pass "
            "them: fit(plan, data=data)."
        )

    def divided(chosen: int) -> Splits:
        return splits_from(
            data, task=source.task, split=source.split, seed=chosen, targets=source.targets, clusters=source.clusters
        )

    splits = divided(plan_seed)
    if source.digest and splits.digest != source.digest:
        raise ValueError(
            f"got other data (digest {splits.digest[:12]}) than the plan was made from; expected digest "
            f"{source.digest[:12]}. Pass the same data, or make a plan for these: equipoise.plan(data)."
        )
    return splits if seed == plan_seed else divided(seed)
