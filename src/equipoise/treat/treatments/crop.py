"""Crop: enlarge a random part of 80 to 100 % of each side of a training image to the whole size.

Source: Krizhevsky, Sutskever and Hinton, NeurIPS 2012; Szegedy et al., CVPR 2015.
Benefit: the network learns that size and place of a thing mean nothing, so a smaller gap.
Cost: features are computed anew for each batch, with one bilinear step; often more epochs.
Interactions: rotate, shift and crop together take one bilinear step; harm where size is the answer.
"""

from equipoise.treat.augmenting import augmenting
from equipoise.treat.change import Change

TREATMENT = Change(
    "crop",
    "enlarge random parts of training images",
    ("overfitting", "data-shortage", "sample-efficiency", "corruption"),
    augmenting("crop"),
)
