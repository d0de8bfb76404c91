"""Functions that the user names as `file.py:function`: a program to be diagnosed."""

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from equipoise.core.complaint import nearest

_REFERENCE = re.compile(r"(?P<file>.+\.py):(?P<function>[^\W\d]\w*)")


def is_program(text: str) -> bool:
    """Return whether a text has the form `file.py:function`."""
    return _REFERENCE.fullmatch(text) is not None


def program_of(reference: str, *, trust: bool = False) -> Mapping[str, Any]:
    """Return what the function that `file.py:function` names returns: the arguments of a call, by name.

    The file is run as a module; its folder can be imported from while it runs and while the function is called.

    Args:
        reference: A path that ends in `.py`, a colon, and the name of a function without arguments.
        trust: Whether the file may be run.

    Raises:
        ValueError: The file is not to be trusted, fails, has no such function, or the function fails or returns no
            mapping with texts as keys.
        FileNotFoundError: There is no such file.
    """
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise ValueError(f"got the program {reference!r}; expected file.py:function. Write it as train.py:program.")
    path, name = Path(found["file"]).expanduser(), found["function"]
    if not path.is_file():
        raise FileNotFoundError(f"got {reference!r}, but {str(path)!r} is not there; expected a file. Check the path.")
    if not trust:
        raise ValueError(
            f"got {reference!r}, a file whose code is run when it is read; expected --trust (trust=True) beside it. "
            "Pass --trust if you know who wrote it."
        )
    # The folder is needed again when the function imports something while it runs.
    folder = str(path.resolve().parent)
    added = folder not in sys.path
    if added:
        sys.path.insert(0, folder)
    try:
        made = _called(_function(_module(path), path, name), reference)
    finally:
        if added and folder in sys.path:
            sys.path.remove(folder)
    if not isinstance(made, Mapping) or not all(isinstance(key, str) for key in made):
        raise ValueError(
            f"got {type(made).__name__} from {reference!r}; expected a mapping of the arguments of equipoise.diagnose "
            'by name. Return a dictionary such as {"network": network, "loss": loss, ...}.'
        )
    return made


def _module(path: Path) -> ModuleType:
    # The name holds a digest of the whole path: two files of one name must not replace each other.
    name = f"equipoise_program_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"got {str(path)!r}; expected a file that Python can import. Check the file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as problem:  # whatever the user's file raises
        del sys.modules[name]
        raise ValueError(
            f"got {str(path)!r}, which failed with {type(problem).__name__}: {problem}; expected a file that runs. "
            "Mend it and try again."
        ) from problem
    return module


def _function(module: ModuleType, path: Path, name: str) -> Callable[[], Any]:
    function = getattr(module, name, None)
    if not callable(function):
        own = [
            one
            for one, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module.__name__ and not one.startswith("_")
        ]
        raise ValueError(
            f"got {str(path)!r}, which has no function {name!r}; expected one without arguments. "
            f"{nearest(name, own)} Correct the name."
        )
    found: Callable[[], Any] = function
    return found


def _called(function: Callable[[], Any], reference: str) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as problem:  # whatever the user's function raises
        raise ValueError(
            f"got {reference!r}, which failed with {type(problem).__name__}: {problem}; expected a function without "
            "arguments that returns the program. Mend it and try again."
        ) from problem
