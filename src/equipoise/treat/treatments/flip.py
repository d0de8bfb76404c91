"""Flip: mirror a training image left and right with a chance of one half.

Source: Krizhevsky, Sutskever and Hinton, NeurIPS 2012; Shorten and Khoshgoftaar, Journal of Big Data 2019.
Benefit: twice the images at no cost of labelling, so a smaller gap between training and held-out score.
Cost: features are computed anew for each batch; slower convergence, often more epochs.
Interactions: does harm where left and right mean something (digits, letters, signs with arrows).
"""

from equipoise.treat.augmenting import augmenting
from equipoise.treat.change import Change

TREATMENT = Change(
    "flip",
    "mirror half of the training images",
    ("overfitting", "data-shortage", "sample-efficiency"),
    augmenting("flip"),
)
