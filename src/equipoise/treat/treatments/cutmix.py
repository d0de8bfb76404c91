"""Cutmix: paste a rectangle (a stretch of sound, some steps of a sequence) of one sample into another, and mix targets.

Source: Yun, Han, Oh, Chun, Choe and Yoo, ICCV 2019.
Benefit: every part of a sample has to say something, so a smaller gap and better use of the whole input.
Cost: features are computed anew for each batch; the training loss no longer goes to zero; more epochs.
Interactions: together with mixup each batch draws one of them; harm where the answer lies in one small place.
"""

from equipoise.treat.augmenting import augmenting
from equipoise.treat.change import Change

TREATMENT = Change(
    "cutmix",
    "paste parts of training samples into others, with their targets",
    ("overfitting", "data-shortage", "corruption"),
    augmenting("cutmix"),
)
