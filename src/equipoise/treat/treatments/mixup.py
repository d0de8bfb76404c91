"""Mixup: train on weighted means of two samples with the weighted mean of their targets.

Source: Zhang, Cisse, Dauphin and Lopez-Paz, ICLR 2018.
Benefit: linear behaviour between samples, so a smaller gap, less memorising of wrong labels, smoother outputs.
Cost: features are computed anew for each batch; the training loss no longer goes to zero; more epochs.
Interactions: with label smoothing it can leave the network underconfident; not for category columns or tokens.
"""

from equipoise.treat.augmenting import augmenting
from equipoise.treat.change import Change

TREATMENT = Change(
    "mixup",
    "mix pairs of training samples and their targets",
    ("overfitting", "calibration", "input-sensitivity", "label-noise", "data-shortage"),
    augmenting("mixup"),
)
