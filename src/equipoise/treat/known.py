"""What a plan says about its inputs and its task without the data being read."""

from equipoise.core.data_plan import BundledData, DataPlan, GeneratedData
from equipoise.core.plan import Plan
from equipoise.core.signature import TaskKind

_GENERATED = {"photographs": "image", "tones": "sound", "reviews": "text"}
_SOURCES = {"table": "table", "images": "image", "sound": "sound", "text": "text"}
_FAMILIES: dict[str, TaskKind] = {"autoencoder": "reconstruction", "generative-pair": "generation"}
CLASSES: tuple[TaskKind, ...] = ("binary", "multiclass", "multilabel", "sequence-labelling")
"""Tasks with classes."""


def inputs_of(plan: Plan) -> str | None:
    """Return the kind of inputs (`table`, `image`, `sound`, `text`, `array`), or None where only the data tell."""
    data = plan.data
    if isinstance(data, GeneratedData):
        return _GENERATED.get(data.name, "array")
    if isinstance(data, BundledData):
        if data.name == "digits":
            return "image" if data.layout == "image" else "array"
        return "table"
    return _SOURCES.get(data.source)


def task_of(plan: Plan) -> TaskKind | None:
    """Return the kind of task, or None where only the data tell."""
    return plan.data.task or _FAMILIES.get(plan.network.family) or _of_data(plan.data)


def need_inputs(plan: Plan, kinds: tuple[str, ...], what: str) -> None:
    """Refuse a plan whose inputs are known to be of another kind.

    Args:
        plan: The plan.
        kinds: The kinds that make sense.
        what: What is to be done.

    Raises:
        ValueError: They are.
    """
    kind = inputs_of(plan)
    if kind is not None and kind not in kinds:
        raise ValueError(
            f"got {kind} inputs for {what}; expected {' or '.join(kinds)} inputs. Choose another treatment."
        )


def need_task(plan: Plan, kinds: tuple[TaskKind, ...], what: str) -> None:
    """Refuse a plan whose task is known to be of another kind; arguments as for `need_inputs`.

    Raises:
        ValueError: It is.
    """
    kind = task_of(plan)
    if kind is not None and kind not in kinds:
        raise ValueError(f"got the task {kind} for {what}; expected {' or '.join(kinds)}. Choose another treatment.")


def _of_data(data: DataPlan) -> TaskKind | None:
    if isinstance(data, BundledData):
        kinds: dict[str, TaskKind] = {"diabetes": "regression", "breast-cancer": "binary"}
        return kinds.get(data.name, "multiclass")
    if isinstance(data, GeneratedData) and data.name in ("linear", "noise"):
        return "regression"
    return None
