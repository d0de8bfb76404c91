"""Optional dependencies: imported when used, with an error that says which extra to install."""

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Return an optional module.

    Raises:
        ModuleNotFoundError: It is not installed; the message names the extra and the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as problem:
        raise ModuleNotFoundError(
            f"got no module {problem.name!r}; expected it, since this needs the extra {extra!r}. "
            f"Install it with: pip install 'equipoise[{extra}]'"
        ) from problem
