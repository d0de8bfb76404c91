"""Data that a function of the user's own module returns."""

import pandas as pd

from equipoise.core.data_plan import FactoryData
from equipoise.core.factory import factory_function
from equipoise.data.given import splits_from
from equipoise.data.samples import Splits


def load_factory(plan: FactoryData, seed: int) -> Splits:
    """Return the data that `module:function` returns, divided as the plan says; see `given.splits_from`.

    Raises:
        ValueError: There is no such module or function, it needs arguments, or it returns something else than data.
    """
    data = factory_function(plan.factory)()
    if not isinstance(data, (tuple, list, dict, pd.DataFrame)) and not hasattr(data, "__len__"):
        raise ValueError(
            f"got {type(data).__name__} from {plan.factory!r}; expected (inputs, targets), a DataFrame or a torch "
            "Dataset. Let the function return one of these."
        )
    return splits_from(
        data,
        task=plan.task,
        split=plan.split,
        seed=seed,
        name=plan.factory.rpartition(":")[2],
        targets=plan.targets,
        clusters=plan.clusters,
    )
