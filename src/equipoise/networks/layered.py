"""Layers that surgery puts around or in the place of those of a network made elsewhere."""

import math

from torch import Tensor, nn

from equipoise.networks.blocks import activation, group_count

LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""Layers that compute a linear map of their inputs."""

_BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


class Linked(nn.Module):
    """A layer that adds what it got to what it gives (He et al., CVPR 2016)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs + layer(inputs)."""
        outputs: Tensor = inputs + self.layer(inputs)
        return outputs


class GatedAsPlain(nn.Module):
    """An LSTM with the interface of a plain recurrent layer: its memory begins at zero and stays inside."""

    def __init__(self, cell: nn.LSTM) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return all states and the last one, as `nn.RNN` does."""
        begin = None if state is None else (state, state.new_zeros(state.shape))
        states, (last, _) = self.cell(inputs, begin)
        return states, last


def norm_behind(layer: nn.Module, output: Tensor, kind: str) -> nn.Module | str:
    """Return the normalisation of what a layer gives, or why there is none.

    Args:
        layer: A dense or convolutional layer.
        output: What it gave for a few samples.
        kind: `none`, `batch`, `layer` or `group`; on images `layer` goes over channels and positions together.
    """
    if kind == "none":
        return nn.Identity()
    steps = isinstance(layer, nn.Linear) and output.dim() > 2
    width = output.shape[-1 if isinstance(layer, nn.Linear) else 1]
    if kind == "layer":
        return nn.LayerNorm(width) if isinstance(layer, nn.Linear) else nn.GroupNorm(1, width)
    if steps:
        return f"has a dense layer over several axes, whose units {kind} normalisation would mix up"
    if kind == "group":
        return nn.GroupNorm(group_count(width, image=output.dim() > 2), width)
    return _BATCH_NORMS[output.dim()](width)


def resized(module: nn.Module, factor: float, *, first: bool, last: bool) -> nn.Module | str:
    """Return a fresh layer whose widths are multiplied, or why there is none.

    Args:
        module: A layer or a normalisation.
        factor: Factor on its width.
        first: Whether it takes the inputs, whose width stays.
        last: Whether it gives the outputs, whose width stays.
    """

    def times(width: int, *, stays: bool) -> int:
        return width if stays else max(1, round(width * factor))

    match module:
        case nn.Linear():
            inputs, outputs = times(module.in_features, stays=first), times(module.out_features, stays=last)
            return nn.Linear(inputs, outputs, module.bias is not None)
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            if module.groups != 1:
                return "has a convolution in groups"
            return type(module)(
                times(module.in_channels, stays=first),
                times(module.out_channels, stays=last),
                module.kernel_size,  # type: ignore[arg-type]
                module.stride,  # type: ignore[arg-type]
                module.padding,  # type: ignore[arg-type]
                module.dilation,  # type: ignore[arg-type]
                bias=module.bias is not None,
            )
        case nn.RNN() | nn.LSTM() | nn.GRU():
            return recurrent_like(
                module, type(module), times(module.input_size, stays=first), times(module.hidden_size, stays=last)
            )
        case nn.Embedding():
            return nn.Embedding(module.num_embeddings, times(module.embedding_dim, stays=last), module.padding_idx)
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d():
            return type(module)(times(module.num_features, stays=last))
        case nn.LayerNorm() if len(module.normalized_shape) == 1:
            return nn.LayerNorm(times(module.normalized_shape[0], stays=last))
        case nn.GroupNorm():
            width = times(module.num_channels, stays=last)
            return nn.GroupNorm(math.gcd(module.num_groups, width), width)
        case _:
            return f"has a {type(module).__name__}, whose width is not one number"


def recurrent_like(
    module: nn.RNNBase, kind: type[nn.RNN] | type[nn.LSTM] | type[nn.GRU], inputs: int, hidden: int
) -> nn.RNNBase:
    """Return a fresh recurrent layer of some kind with the options of another."""
    made = kind(
        inputs,
        hidden,
        num_layers=module.num_layers,
        bias=module.bias,
        batch_first=module.batch_first,
        dropout=module.dropout,
        bidirectional=module.bidirectional,
    )
    if isinstance(made, nn.RNN) and isinstance(module, nn.RNN):
        made.nonlinearity = module.nonlinearity
        made.mode = module.mode
    return made


def named_activation(name: str) -> nn.Module:
    """Return a fresh activation by the word that a surgery has for it.

    Raises:
        ValueError: There is none.
    """
    match name:
        case "relu" | "leaky-relu" | "gelu" | "silu" | "tanh" | "sigmoid" | "elu" | "selu":
            return activation(name)
        case _:
            raise ValueError(f"got the activation {name!r}; expected relu or another one. Use relu.")
