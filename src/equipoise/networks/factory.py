"""Calling `module:function` for a network."""

import importlib

from torch import nn


def call_factory(reference: str) -> nn.Module:
    """Return the module that `module:function` builds.

    Raises:
        ValueError: The reference has another form, names nothing that exists, or builds no `nn.Module`.
    """
    module_name, _, function_name = reference.partition(":")
    if not module_name or not function_name:
        raise ValueError(
            f"got the factory {reference!r}; expected 'module:function'. Write the module's import name, a colon and "
            "the name of a function without arguments."
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as problem:
        raise ValueError(
            f"got the factory {reference!r}, but there is no module {problem.name!r}; expected one that Python can "
            "import. Install it, or put its folder into PYTHONPATH."
        ) from problem
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(
            f"got the factory {reference!r}, but {module_name!r} has no function {function_name!r}; expected one "
            "without arguments. Correct the name."
        )
    network = function()
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"got {type(network).__name__} from the factory {reference!r}; expected an nn.Module (a Keras model: on "
            "the torch backend, KERAS_BACKEND=torch). Let the function return the network."
        )
    return network
