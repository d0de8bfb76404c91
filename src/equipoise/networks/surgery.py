"""Copies of a network with one thing changed; the network itself is left alone."""

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from equipoise.networks.calls import RECTIFYING, Call, activation_name

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def with_modules(network: nn.Module, modules: Mapping[str, nn.Module]) -> nn.Module:
    """Return a copy in which the modules at some paths are others."""
    changed = copy.deepcopy(network)
    for path, module in modules.items():
        if not path:
            return module
        parent, _, name = path.rpartition(".")
        setattr(changed.get_submodule(parent), name, module)
    return changed


def without_output_activation(network: nn.Module, heard: Sequence[Call]) -> nn.Module | None:
    """Return a copy without the activation that makes the output, or None when there is none.

    Args:
        network: The network.
        heard: Its calls, as `calls` gives them.
    """
    last = heard[-1] if heard else None
    if last is None or last.kind != "activation" or not last.is_output:
        return None
    if last.is_module and last.path and sum(call.path == last.path for call in heard) == 1:
        return with_modules(network, {last.path: nn.Identity()})
    return Redirected(copy.deepcopy(network), len([call for call in heard if call.kind == "activation"]) - 1)


def with_hidden_activation(network: nn.Module, heard: Sequence[Call], make: Callable[[], nn.Module]) -> nn.Module:
    """Return a copy whose hidden activation modules are other ones; calls that are no modules stay as they are."""
    paths = {call.path for call in hidden_activations(heard) if call.is_module and call.path}
    return with_modules(network, {path: make() for path in paths})


def hidden_activations(heard: Sequence[Call]) -> tuple[Call, ...]:
    """Return the activations between layers: all but the one that makes the output."""
    return tuple(call for call in heard if call.kind == "activation" and not call.is_output)


def bare_layers(network: nn.Module, heard: Sequence[Call]) -> tuple[str, ...]:
    """Return the paths of linear layers that feed another linear layer with no non-linearity between them."""
    found: list[str] = []
    previous = ""
    for call in heard:
        if call.kind == "activation":
            previous = ""
        elif call.kind == "weights":
            if not isinstance(network.get_submodule(call.path), _LINEAR):
                previous = ""
                continue
            if previous:
                found.append(previous)
            previous = call.path
    return tuple(dict.fromkeys(found))


def with_activation_after(network: nn.Module, paths: Sequence[str]) -> nn.Module:
    """Return a copy with a rectifier behind each of the layers at some paths."""
    changed = copy.deepcopy(network)
    return with_modules(changed, {path: nn.Sequential(changed.get_submodule(path), nn.ReLU()) for path in paths})


def with_dropout_at_most(network: nn.Module, rate: float) -> nn.Module:
    """Return a copy whose dropout modules drop at most a share `rate` in [0, 1)."""
    changed = copy.deepcopy(network)
    for module in changed.modules():
        rate_now = getattr(module, "p", None)
        if isinstance(rate_now, float) and "Dropout" in type(module).__name__:
            setattr(module, "p", min(rate_now, rate))  # noqa: B010 - the stubs know no such attribute
        if isinstance(module, nn.RNNBase):
            module.dropout = min(module.dropout, rate)
    return changed


def reinitialised(network: nn.Module, heard: Sequence[Call], generator: torch.Generator) -> nn.Module:
    """Return a copy with new weights: He before rectifiers, Glorot elsewhere, orthogonal recurrence, zero biases.

    Args:
        network: The network.
        heard: Its calls, which say what follows a layer.
        generator: Draws the weights.

    Source:
        X. Glorot and Y. Bengio, AISTATS 2010; K. He et al., ICCV 2015; A. Saxe et al., ICLR 2014 (orthogonal).
    """
    changed = copy.deepcopy(network)
    rectified = _before_rectifiers(heard)
    for path, module in changed.named_modules():
        if isinstance(module, _LINEAR):
            draw_weights(module.weight, generator, rectified=path in rectified)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.RNNBase):
            _draw_recurrent(module, generator)
    return changed


def _before_rectifiers(heard: Sequence[Call]) -> set[str]:
    found: set[str] = set()
    last = ""
    for call in heard:
        if call.kind == "weights":
            last = call.path
        elif call.kind == "activation" and call.name in RECTIFYING and last:
            found.add(last)
    return found


def draw_weights(weight: Tensor, generator: torch.Generator, *, rectified: bool) -> None:
    """Draw the weights of a layer anew, in place: He's where a rectifier follows, Glorot's elsewhere."""
    with torch.no_grad():
        if rectified:
            nn.init.kaiming_normal_(weight, generator=generator)
        else:
            nn.init.xavier_uniform_(weight, generator=generator)


def _draw_recurrent(cell: nn.RNNBase, generator: torch.Generator) -> None:
    for name, parameter in cell.named_parameters():
        with torch.no_grad():
            if name.startswith("weight_hh"):
                for block in parameter.chunk(parameter.shape[0] // parameter.shape[1]):
                    nn.init.orthogonal_(block, generator=generator)
            elif parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter, generator=generator)
            else:
                parameter.zero_()


def widened(network: nn.Module, heard: Sequence[Call], least: int, generator: torch.Generator) -> nn.Module | None:
    """Return a copy whose hidden linear layers have at least `least` units, or None where that cannot be done.

    It can be done for chains: each linear layer takes what the one before it put out, with nothing but element-wise
    functions, dropout and batch normalisation between them.

    Args:
        network: The network.
        heard: Its calls.
        least: Fewest units of a hidden layer.
        generator: Draws the new weights.
    """
    chain = [call.path for call in heard if call.kind == "weights"]
    layers = [network.get_submodule(path) for path in chain]
    if len(chain) < 2 or len(set(chain)) < len(chain) or not all(isinstance(one, nn.Linear) for one in layers):
        return None
    linear = [one for one in layers if isinstance(one, nn.Linear)]
    if any(a.out_features != b.in_features for a, b in itertools.pairwise(linear)):
        return None
    modules: dict[str, nn.Module] = {}
    width = linear[0].in_features
    for path, layer in zip(chain, linear, strict=True):
        out = layer.out_features if path == chain[-1] else max(layer.out_features, least)
        modules[path] = nn.Linear(width, out, layer.bias is not None, dtype=layer.weight.dtype)
        width = out
    changed = with_modules(network, modules)
    modules |= _wider_norms(changed, modules, heard)
    return reinitialised(with_modules(network, modules), heard, generator)


def _wider_norms(network: nn.Module, wider: Mapping[str, nn.Module], heard: Sequence[Call]) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {}
    width = 0
    for call in heard:
        module = wider.get(call.path)
        if isinstance(module, nn.Linear):
            width = module.out_features
        elif call.kind == "norm" and width:
            norm = network.get_submodule(call.path)
            if isinstance(norm, nn.BatchNorm1d):
                found[call.path] = nn.BatchNorm1d(width)
            elif isinstance(norm, nn.LayerNorm):
                found[call.path] = nn.LayerNorm(width)
    return found


class Redirected(nn.Module):
    """A network in which one activation call passes its input on.

    Args:
        network: The network.
        position: Which of the activation calls of a forward pass it is, counted from 0.
    """

    def __init__(self, network: nn.Module, position: int) -> None:
        super().__init__()
        self.network = network
        self.position = position

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the network's output without that activation."""
        with _Skip(self.position):
            out: Tensor = self.network(inputs)
        return out


class _Skip(TorchFunctionMode):
    def __init__(self, position: int) -> None:
        super().__init__()
        self.left = position

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        if activation_name(func) and args:
            self.left -= 1
            if self.left == -1:
                return args[0]
        return func(*args, **(kwargs or {}))
