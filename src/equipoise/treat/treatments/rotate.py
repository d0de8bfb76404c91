"""Rotate: turn each training image by up to 15 degrees.

Source: Simard, Steinkraus and Platt, ICDAR 2003; Shorten and Khoshgoftaar, Journal of Big Data 2019.
Benefit: the network learns that a small turn means nothing, so a smaller gap and more robust answers.
Cost: features are computed anew for each batch, with one bilinear step; often more epochs.
Interactions: rotate, shift and crop together take one bilinear step; too much of them blurs small images.
"""

from equipoise.treat.augmenting import augmenting
from equipoise.treat.change import Change

TREATMENT = Change(
    "rotate",
    "turn training images by up to 15 degrees",
    ("overfitting", "data-shortage", "sample-efficiency", "corruption"),
    augmenting("rotate"),
)
