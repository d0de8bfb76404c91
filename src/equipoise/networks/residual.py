"""The residual family: blocks that add what they learn to what they got."""

from torch import Tensor, nn

from equipoise.core.network_plan import ResidualNetwork
from equipoise.networks.blocks import activation, activations, around, as_image, dropout, has_bias, normalisation
from equipoise.networks.features import Features


class ResidualBlock(nn.Module):
    """Two weighted layers beside a shortcut: activation(branch(x) + shortcut(x))."""

    def __init__(self, branch: nn.Sequential, shortcut: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.activation = last

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the block's output."""
        outputs: Tensor = self.activation(self.branch(inputs) + self.shortcut(inputs))
        return outputs


def residual(plan: ResidualNetwork, features: Features, scores: int) -> nn.Sequential:
    """Return a stem, `plan.blocks` residual blocks for each channel count, and a linear read-out.

    Images: 3x3 convolutions, each channel count after the first halves the sides, the read-out averages over positions;
    a sequence is read as an image of one channel. Vectors: dense layers of the same widths.

    References:
        K. He, X. Zhang, S. Ren, J. Sun. Deep residual learning for image recognition. CVPR 2016, arXiv:1512.03385.
    """
    image = features.kind in ("image", "sequence")
    layers, _ = around(features)
    inputs = features.size
    if image:
        layers, (inputs, _, _) = as_image(features)
    width = plan.channels[0]
    layers.append(_weights(plan, inputs, width, 1, image=image))
    layers += [*normalisation(plan.normalisation, width, image=image), *activations(plan.activation)]
    for stage, channels in enumerate(plan.channels):
        for position in range(plan.blocks):
            stride = 2 if image and stage > 0 and position == 0 else 1
            layers.append(_block(plan, width, channels, stride, image=image))
            width = channels
    if image:
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(width, scores))


def _block(plan: ResidualNetwork, inputs: int, outputs: int, stride: int, *, image: bool) -> ResidualBlock:
    branch = nn.Sequential(
        _weights(plan, inputs, outputs, stride, image=image),
        *normalisation(plan.normalisation, outputs, image=image),
        *activations(plan.activation),
        *dropout(plan),
        _weights(plan, outputs, outputs, 1, image=image),
        *normalisation(plan.normalisation, outputs, image=image),
    )
    shortcut: nn.Module = nn.Identity()
    if stride != 1 or inputs != outputs:
        projection: nn.Module = nn.Linear(inputs, outputs, bias=has_bias(plan))
        if image:
            projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=has_bias(plan))
        shortcut = nn.Sequential(projection, *normalisation(plan.normalisation, outputs, image=image))
    return ResidualBlock(branch, shortcut, activation(plan.activation))


def _weights(plan: ResidualNetwork, inputs: int, outputs: int, stride: int, *, image: bool) -> nn.Module:
    if image:
        return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=has_bias(plan))
    return nn.Linear(inputs, outputs, bias=has_bias(plan))
