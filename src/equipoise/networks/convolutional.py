"""The convolutional family: the digit network of the articles, adapted to the image at hand."""

from torch import nn

from equipoise.core.network_plan import ConvolutionalNetwork, FamilyOptions
from equipoise.networks.blocks import MONOTONE, activations, as_image, dropout, has_bias, hidden_layers, normalisation
from equipoise.networks.features import Features


def convolutional(plan: ConvolutionalNetwork, features: Features, scores: int) -> nn.Sequential:
    """Return convolutions with max-pool 2 after all but the last, then dense layers.

    Convolutions are unpadded where the image is large enough for the whole stack (28x28 gives 26, 13, 11, 5, 3: the
    layout of the Keras tutorials); otherwise they keep the size and pooling stops once a side is 1 (8x8 gives 8, 4, 4,
    2, 2). A sequence is read as an image of one channel.
    """
    layers, (inputs, height, width) = as_image(features)
    padded = not _fits_unpadded(min(height, width), plan)
    for position, channels in enumerate(plan.channels):
        layers += _convolution(plan, inputs, channels, padded=padded)
        if not padded:
            height, width = height - plan.kernel + 1, width - plan.kernel + 1
        pooled = position < len(plan.channels) - 1 and min(height, width) >= 2
        layers += finish_block(plan, channels, pooled=pooled)
        if pooled:
            height, width = height // 2, width // 2
        inputs = channels
    flat = inputs * height * width
    last = plan.hidden[-1] if plan.hidden else flat
    return nn.Sequential(*layers, nn.Flatten(), *hidden_layers(plan, flat, plan.hidden), nn.Linear(last, scores))


def finish_block(options: FamilyOptions, channels: int, *, pooled: bool) -> list[nn.Module]:
    """Return what follows a convolution: normalisation, max-pool 2 where `pooled`, activation and dropout.

    Max-pooling commutes with a non-decreasing activation; pooling first leaves it a quarter of the work.
    """
    pool: list[nn.Module] = [nn.MaxPool2d(2)] if pooled else []
    active = activations(options.activation)
    ordered = pool + active if options.activation in MONOTONE else active + pool
    return normalisation(options.normalisation, channels, image=True) + ordered + dropout(options)


def _convolution(plan: ConvolutionalNetwork, inputs: int, channels: int, *, padded: bool) -> list[nn.Module]:
    left, right = (plan.kernel - 1) // 2, plan.kernel // 2
    around: list[nn.Module] = []
    if padded and left != right:
        # torch pads even kernels unevenly too, but warns that it copies; a layer that says so keeps it visible.
        around.append(nn.ZeroPad2d((left, right, left, right)))
        left = 0
    padding = left if padded else 0
    return [*around, nn.Conv2d(inputs, channels, plan.kernel, padding=padding, bias=has_bias(plan))]


def _fits_unpadded(side: int, plan: ConvolutionalNetwork) -> bool:
    """Whether every convolution and every pooling finds enough pixels without padding."""
    for position in range(len(plan.channels)):
        side -= plan.kernel - 1
        if position < len(plan.channels) - 1:
            side //= 2
        if side < 1:
            return False
    return True
