"""Data that a function of the user's own module returns."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from equipoise.core.complaint import nearest
from equipoise.core.data_plan import FactoryData
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


def factory_function(reference: str) -> Callable[[], Any]:
    """Return the function that `module:function` names; the module may lie in the current folder.

    Raises:
        ValueError: The reference has another form, or there is no such module or function.
    """
    module_name, colon, function_name = reference.partition(":")
    if not (colon and function_name.isidentifier() and all(one.isidentifier() for one in module_name.split("."))):
        raise ValueError(f"got the factory {reference!r}; expected module:function. Write it as my_module:my_function.")
    module = _module(reference, module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        names = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        raise ValueError(
            f"got the factory {reference!r}, but {module_name!r} has no function {function_name!r}; expected one that "
            f"returns data. {nearest(function_name, names)} Correct the name."
        )
    return function


def _module(reference: str, name: str) -> Any:
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is not None and not f"{name}.".startswith(f"{problem.name}."):
            raise  # The module is there, but something it imports is not: the original message says what.
        raise ValueError(
            f"got the factory {reference!r}, but there is no module {problem.name!r} in the current folder or among "
            "the installed ones; expected module:function. Run from the folder that holds the module, or install it."
        ) from None
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
