"""Which modules and functions are activations, where they saturate, and which way their units lie."""

from dataclasses import dataclass

from torch import Tensor, nn

Bounds = tuple[float, float]

BOUNDED: dict[str, Bounds] = {
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}
"""Activations with two asymptotes, and where those lie."""

UNBOUNDED = frozenset(
    {"relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"}
    | {"hardswish", "logsigmoid", "threshold", "glu", "softmax", "log_softmax", "softmin", "hardshrink", "softshrink"}
    | {"tanhshrink"}
)
"""Activations that are unbounded, or bounded without saturating unit by unit."""

_SPELLINGS = {"special_expit": "sigmoid", "expit": "sigmoid", "swish": "silu", "special_softmax": "softmax"}
_MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.LeakyReLU: "leaky_relu",
    nn.PReLU: "prelu",
    nn.RReLU: "rrelu",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.CELU: "celu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Mish: "mish",
    nn.Softplus: "softplus",
    nn.Hardswish: "hardswish",
    nn.LogSigmoid: "logsigmoid",
    nn.Threshold: "threshold",
    nn.GLU: "glu",
    nn.Softmax: "softmax",
    nn.Softmax2d: "softmax",
    nn.LogSoftmax: "log_softmax",
    nn.Softmin: "softmin",
    nn.Hardshrink: "hardshrink",
    nn.Softshrink: "softshrink",
    nn.Tanhshrink: "tanhshrink",
    nn.Sigmoid: "sigmoid",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Tanh: "tanh",
    nn.Hardtanh: "hardtanh",
    nn.Softsign: "softsign",
}
_CHANNELS_FIRST = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_CHANNELS_SECOND = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.GroupNorm)
_INSTANCES = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_FEATURES_LAST = (
    nn.Linear,
    nn.Bilinear,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.LayerNorm,
    nn.RNNBase,
    nn.MultiheadAttention,
)
_MARGIN = 0.01
"""A value is saturated within this share of the range of its asymptotes."""


@dataclass(frozen=True, slots=True)
class Activation:
    """The activation function whose output is measured.

    Attributes:
        name: By the words of `BOUNDED` and `UNBOUNDED`; empty for a linear map.
        bounds: Below the first and above the second a value is saturated; None where nothing saturates.
    """

    name: str = ""
    bounds: Bounds | None = None


def of_module(module: nn.Module) -> Activation:
    """Return the activation function that a module is; one without a name when it is none."""
    for kind in type(module).__mro__:
        if kind in _MODULES:
            name = _MODULES[kind]
            given = (module.min_val, module.max_val) if type(module) is nn.Hardtanh else BOUNDED.get(name)
            return Activation(name, _saturation(given))
    return Activation()


def of_function(name: str) -> Activation:
    """Return the activation function that a function of torch is, by its name; one without a name when it is none."""
    plain = name.removesuffix("_")
    plain = _SPELLINGS.get(plain, plain)
    if plain not in BOUNDED and plain not in UNBOUNDED:
        return Activation()
    return Activation(plain, _saturation(BOUNDED.get(plain)))


def unit_axis(module: nn.Module, values: Tensor) -> int | None:
    """Return the axis along which the units of a layer's output lie; None when all values belong to one unit.

    Channels of a convolution, features of anything else. Of a module that torch does not know, the axis follows from
    the number of axes: images (n, c, h, w) and volumes have their channels second, everything else its features last.
    """
    axes = values.dim()
    if isinstance(module, _CHANNELS_FIRST):
        return axes - 1 - len(module.kernel_size)  # also without a batch axis
    if isinstance(module, _CHANNELS_SECOND):
        return 1
    if isinstance(module, _INSTANCES):
        return axes - 1 - int(type(module).__name__[-2])
    if isinstance(module, _FEATURES_LAST):
        return axes - 1 if axes else None
    if axes < 2:
        return None
    return 1 if axes in (4, 5) else axes - 1


def _saturation(bounds: Bounds | None) -> Bounds | None:
    if bounds is None:
        return None
    margin = _MARGIN * (bounds[1] - bounds[0])
    return bounds[0] + margin, bounds[1] - margin
