"""The VGG family: blocks of 3x3 convolutions, each ended by a pooling."""

from torch import nn

from equipoise.core.network_plan import VggNetwork
from equipoise.networks.blocks import as_image, has_bias, hidden_layers
from equipoise.networks.convolutional import finish_block
from equipoise.networks.features import Features


def vgg(plan: VggNetwork, features: Features, scores: int) -> nn.Sequential:
    """Return blocks of padded 3x3 convolutions, max-pool 2 after each block while the image allows it, dense layers.

    References:
        K. Simonyan, A. Zisserman. Very deep convolutional networks. ICLR 2015, arXiv:1409.1556.
    """
    layers, (inputs, height, width) = as_image(features)
    for block in plan.blocks:
        for position, channels in enumerate(block):
            pooled = position == len(block) - 1 and min(height, width) >= 2
            layers.append(nn.Conv2d(inputs, channels, 3, padding=1, bias=has_bias(plan)))
            layers += finish_block(plan, channels, pooled=pooled)
            if pooled:
                height, width = height // 2, width // 2
            inputs = channels
    flat = inputs * height * width
    last = plan.hidden[-1] if plan.hidden else flat
    return nn.Sequential(*layers, nn.Flatten(), *hidden_layers(plan, flat, plan.hidden), nn.Linear(last, scores))
