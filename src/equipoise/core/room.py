"""Lets a room be called: `equipoise.fit(plan)` and `equipoise.fit.loop` both work."""

import importlib
import sys
from types import ModuleType


class CallableRoom(ModuleType):
    """A package that, when called, calls the function after which it is named.

    The import system binds a sub-package to its parent under its own name, so a function of that name in the parent
    would be overwritten. Assigning `__class__` of a module is the documented way to give it behaviour.
    """

    def __call__(self, *arguments: object, **options: object) -> object:
        """Call the room's function, importing it on first use."""
        function = getattr(importlib.import_module(self.__dict__["__entry__"]), self.__name__.rpartition(".")[2])
        result: object = function(*arguments, **options)
        return result


def make_callable(room: str, entry: str) -> None:
    """Make the package `room` callable as the function of the same name in the module `entry`."""
    module = sys.modules[room]
    module.__dict__["__entry__"] = entry
    module.__class__ = CallableRoom
