"""Brightness: add up to a fifth of the range to, or take it from, all pixels of a training image.

Source: Howard, 2013 (arXiv:1312.5402); Shorten and Khoshgoftaar, Journal of Big Data 2019.
Benefit: the network withstands changes of light.
Cost: features are computed anew for each batch.
Interactions: batch normalisation behind the first layer takes over some of it; harm where brightness is the answer.
"""

from equipoise.treat.augmenting import augmenting
from equipoise.treat.change import Change

TREATMENT = Change(
    "brightness",
    "change the brightness of training images",
    ("corruption", "overfitting", "data-shortage"),
    augmenting("brightness"),
)
