"""Where in a network activations are measured."""

from torch import Tensor, nn
from torch.nn.utils import parametrize

from equipoise.networks.keras_models import is_keras_layer

_WHOLE = (nn.RNNBase, nn.MultiheadAttention)
_SILENT = (
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
    nn.ZeroPad2d,
    nn.PixelShuffle,
    nn.Upsample,
)
"""Modules without weights or non-linearity: what they put out says nothing that their input did not."""

_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def measured_places(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return path and module of every place where activations are measured.

    These are modules without sub-modules, and those that compute as a whole (recurrent layers, torch's multi-head
    attention, Keras layers). Of a compiled part only the whole is a place: a hook inside would break its graph apart.
    """
    places: list[tuple[str, nn.Module]] = []
    closed: list[str] = []
    for path, module in network.named_modules():
        if any(not end or path == end or path.startswith(f"{end}.") for end in closed):
            continue
        if is_compiled(module):
            if can_be_hooked(module):
                places.append((path, module))
        elif not _is_whole(module):
            continue
        elif not isinstance(module, _SILENT):
            places.append((path, module))
        closed.append(path)
    return places


def is_compiled(module: nn.Module) -> bool:
    """Whether a module is the work of `torch.compile` or was compiled in place."""
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def can_be_hooked(module: nn.Module) -> bool:
    """Whether hooks on a compiled module run as they are; one that was compiled in place compiles its hooks as well."""
    return hasattr(module, "_orig_mod")


def tensors_of(output: object) -> list[Tensor]:
    """Return the floating-point tensors of a module's output, in order: of tuples, lists, dicts and their like."""
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, dict):
        return [tensor for one in output.values() for tensor in tensors_of(one)]
    if isinstance(output, (tuple, list)):
        return [tensor for one in output for tensor in tensors_of(one)]
    return []


def _is_whole(module: nn.Module) -> bool:
    if isinstance(module, _WHOLE) or is_keras_layer(module):
        return True
    if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)):
        return False
    inner = [name for name, _ in module.named_children()]
    return not inner or (inner == ["parametrizations"] and parametrize.is_parametrized(module))


def behaves_by_mode(module: nn.Module) -> bool:
    """Whether a module computes otherwise in training than in evaluation."""
    if isinstance(module, _DROPOUT):
        return module.p > 0
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return bool(module.track_running_stats)
    return isinstance(module, nn.RNNBase) and module.dropout > 0
