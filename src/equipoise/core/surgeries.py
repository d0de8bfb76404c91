"""The words for what may be changed in the module tree of a network that was made elsewhere."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

_SHARE, _FACTOR = "a share in [0, 1)", "a factor above 0"
_LARGEST = 64.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of surgery.

    Attributes:
        does: What is done, in a sentence.
        values: What may stand behind a colon; empty where nothing does.
    """

    does: str
    values: tuple[str, ...] = ()


SURGERIES: dict[str, Kind] = {
    "activation": Kind(
        "Swaps all hidden activations.", ("relu", "leaky-relu", "gelu", "silu", "tanh", "sigmoid", "elu", "selu")
    ),
    "insert-activation": Kind("Puts a rectifier behind each linear layer that feeds another one."),
    "output-activation": Kind("Removes or sets the activation that makes the output.", ("none", "sigmoid", "softmax")),
    "softmax-axis": Kind("Turns every softmax over the samples of a batch to the last axis."),
    "normalisation": Kind(
        "Puts a normalisation behind every hidden layer, in the place of one that is there.",
        ("none", "batch", "layer", "group"),
    ),
    "dropout": Kind("Sets the rate of all dropout, or drops before every layer but the first.", (_SHARE,)),
    "dropout-at-most": Kind("Lowers the rate of dropout where it is higher.", (_SHARE,)),
    "initialise": Kind("Draws all weights anew, with zero biases.", ("he", "glorot", "lecun", "orthogonal")),
    "width": Kind("Multiplies the width of all hidden layers; weights are drawn anew.", (_FACTOR,)),
    "residual-links": Kind("Adds what it got to what a hidden layer gives, where it keeps the width."),
    "recurrence": Kind("Replaces plain recurrent layers by gated ones.", ("lstm", "gru")),
    "spectral-norm": Kind("Divides the weights of hidden layers by their largest singular value."),
    "unfreeze": Kind("Lets all weights be trained."),
}
"""Every surgery by name; a plan writes it with its value behind a colon, such as `activation:relu`."""


def split_surgery(text: str) -> tuple[str, str]:
    """Return the name of a surgery and its value, which may be empty.

    Raises:
        ValueError: There is no such surgery, or not with this value; the message says what was expected.
    """
    name, colon, value = text.partition(":")
    kind = SURGERIES.get(name)
    if kind is None:
        raise ValueError(f"one of {', '.join(SURGERIES)}")
    if colon and not kind.values:
        raise ValueError(f"{name!r} without a value")
    if kind.values and value not in _words(kind) and not _is_number(kind, value):
        raise ValueError(f"{name!r} with a value behind a colon: {' or '.join(kind.values)}")
    return name, value


def _words(kind: Kind) -> tuple[str, ...]:
    return tuple(value for value in kind.values if value not in (_SHARE, _FACTOR))


def _is_number(kind: Kind, value: str) -> bool:
    try:
        number = float(value)
    except ValueError:
        return False
    return (_SHARE in kind.values and 0 <= number < 1) or (_FACTOR in kind.values and 0 < number <= _LARGEST)


def _known(text: str) -> str:
    split_surgery(text)
    return text


Surgery = Annotated[str, AfterValidator(_known)]
"""A surgery as a plan writes it."""
