"""Whether a checkpoint belongs to this training."""

from typing import Any

import torch

from equipoise.core.plan import Plan
from equipoise.data.samples import Splits
from equipoise.fit.checkpoint import Checkpoint
from equipoise.fit.execution import choose_device, machine
from equipoise.fit.fitted import Execution

FREE = ("max_seconds",)
"""What of a recipe may change between stopping and going on."""


def described(plan: Plan, seed: int, splits: Splits, execution: Execution) -> dict[str, Any]:
    """Return what a checkpoint says about the training it belongs to."""
    recipe = {name: value for name, value in plan.recipe.plain().items() if name not in FREE}
    return {
        "plan": {"data": plan.data.plain(), "network": plan.network.plain(), "recipe": recipe},
        "seed": seed,
        "digest": splits.digest,
        "execution": execution.plain(),
    }


def check_same(checkpoint: Checkpoint, plan: Plan, seed: int, splits: Splits) -> None:
    """Refuse to go on with another plan, seed or data.

    Raises:
        ValueError: They differ; the message names the first key that does.
    """
    then = checkpoint.values
    now = described(plan, seed, splits, recorded_execution(checkpoint))
    if then["seed"] != seed:
        raise _other("seed", then["seed"], seed)
    for section, values in now["plan"].items():
        for name in sorted({*values, *then["plan"][section]}):
            before, after = then["plan"][section].get(name), values.get(name)
            if before != after:
                raise _other(f"{section}.{name}", before, after)
    if then["digest"] != splits.digest:
        raise _other("data digest", then["digest"], splits.digest)


def recorded_execution(checkpoint: Checkpoint) -> Execution:
    """Return the execution to go on with: the recorded one, with a word about a machine or torch that is another.

    Raises:
        ValueError: Its device is not there.
    """
    execution = Execution.read(checkpoint.values["execution"], origin="checkpoint")
    choose_device(torch.device(execution.device).type)
    changed = [
        f"resumed with {name} {now}, where bits may differ"
        for name, then, now in (
            ("torch", execution.torch, torch.__version__),
            ("machine", execution.machine, machine()),
        )
        if then != now and now not in execution.reason
    ]
    return execution.replace(reason="; ".join((execution.reason, *changed)))


def _other(key: str, before: object, after: object) -> ValueError:
    return ValueError(
        f"resume: got {key} {after!r}; expected {before!r}, with which the training in this folder began. Resume with "
        "the same plan, seed and data, or begin anew in another folder."
    )
