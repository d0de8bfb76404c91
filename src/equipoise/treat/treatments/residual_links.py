"""Residual links: layers add what they learn to what they got.

Source: He, Zhang, Ren and Sun, CVPR 2016 and ECCV 2016.
Benefit: the gradient reaches early layers of a deep network undiminished.
Cost: an addition a layer; where widths change, a linear map. A convolutional plan becomes the residual family of about
the same depth and width, with its batch normalisation.
Interactions: the sum grows with depth, so that normalisation or small weights help.
"""

import itertools
import math

from equipoise.core.network_plan import (
    ConvolutionalNetwork,
    DenseNetwork,
    FamilyOptions,
    ForeignNetwork,
    ResidualNetwork,
    VggNetwork,
)
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_surgery

LAYERS = 2
"""Convolutions of a residual block."""


def link(plan: Plan) -> Plan:
    """Return the plan with links around its layers.

    Raises:
        ValueError: The network has links already, or is recurrent or an autoencoder.
    """
    network = plan.network
    match network:
        case ForeignNetwork():
            return with_surgery(plan, "residual-links")
        case DenseNetwork() if len(network.hidden) > 1:
            return plan.replace(network__links=True)
        case ConvolutionalNetwork() | VggNetwork():
            layers = network.channels if isinstance(network, ConvolutionalNetwork) else sum(network.blocks, ())
            channels = tuple(width for width, _ in itertools.groupby(layers))
            options = network.model_dump(include=set(FamilyOptions.model_fields), exclude_defaults=True)
            blocks = math.ceil(len(layers) / len(channels) / LAYERS)
            return plan.replace(network=ResidualNetwork(channels=channels, blocks=blocks, **options))
        case _:
            raise ValueError(
                f"got the family {network.family!r}; expected dense with two hidden layers, convolutional or vgg. "
                "Choose another treatment: for recurrence lstm or gru."
            )


TREATMENT = Change(
    "residual-links",
    "add links around layers",
    ("vanishing-gradient", "gradient-reach", "underfitting", "vanishing_gradient", "dead_layer"),
    link,
)
