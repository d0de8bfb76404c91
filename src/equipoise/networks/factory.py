"""Calling `module:function` for a network."""

from torch import nn

from equipoise.core.factory import factory_function


def call_factory(reference: str) -> nn.Module:
    """Return the module that `module:function` builds.

    Raises:
        ValueError: The reference has another form, names nothing that exists, or builds no `nn.Module`.
    """
    network = factory_function(reference)()
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"got {type(network).__name__} from the factory {reference!r}; expected an nn.Module (a Keras model: on "
            "the torch backend, KERAS_BACKEND=torch). Let the function return the network."
        )
    return network
