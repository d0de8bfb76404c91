"""Shift: move each training image by up to a tenth of its sides, or a recording by up to a tenth of its length.

Source: Simard, Steinkraus and Platt, ICDAR 2003; Shorten and Khoshgoftaar, Journal of Big Data 2019.
Benefit: dense layers, which know no neighbourhood, learn that a small shift means nothing.
Cost: features are computed anew for each batch, with one bilinear step; often more epochs.
Interactions: convolutions with pooling know much of it already; harm where position is the answer.
"""

from equipoise.treat.augmenting import augmenting
from equipoise.treat.change import Change

TREATMENT = Change(
    "shift",
    "move training images or recordings by up to a tenth",
    ("overfitting", "data-shortage", "sample-efficiency"),
    augmenting("shift"),
)
