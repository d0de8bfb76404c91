"""Functions that the user names as `module:function`."""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from equipoise.core.complaint import nearest

_REFERENCE = re.compile(r"\w+(\.\w+)*:[^\W\d]\w*")


def is_factory(text: str) -> bool:
    """Return whether a text has the form `module:function`."""
    return _REFERENCE.fullmatch(text) is not None


def factory_function(reference: str) -> Callable[[], Any]:
    """Return the function that `module:function` names; the module may lie in the current folder.

    Raises:
        ValueError: The reference has another form, or there is no such module or function.
    """
    if not is_factory(reference):
        raise ValueError(f"got the factory {reference!r}; expected module:function. Write it as my_module:my_function.")
    module_name, _, function_name = reference.partition(":")
    module = _module(reference, module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        names = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        raise ValueError(
            f"got the factory {reference!r}, but {module_name!r} has no function {function_name!r}; expected one "
            f"without arguments. {nearest(function_name, names)} Correct the name."
        )
    found: Callable[[], Any] = function
    return found


def _module(reference: str, name: str) -> ModuleType:
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
