"""Erase: hide a rectangle of 2 to 20 % of the area of half of the training images, or silence a stretch of a recording.

Source: Zhong, Zheng, Kang, Li and Yang, AAAI 2020; DeVries and Taylor, 2017 (cutout).
Benefit: the network cannot rely on one part, so it withstands occlusion and overfits less.
Cost: features are computed anew for each batch; slower convergence.
Interactions: much like dropout on the inputs; with cutmix it adds little.
"""

from equipoise.treat.augmenting import augmenting
from equipoise.treat.change import Change

TREATMENT = Change(
    "erase",
    "hide a random part of half of the training images or recordings",
    ("overfitting", "data-shortage", "sample-efficiency", "corruption"),
    augmenting("erase"),
)
