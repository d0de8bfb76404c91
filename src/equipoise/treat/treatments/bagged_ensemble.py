"""Bagged ensemble: train five networks on bootstrap samples of the training part and take the mean of their answers.

Source: Breiman, Machine Learning 1996.
Benefit: variance falls where a network depends much on single rows.
Cost: five times training, size and latency; each member sees 63 % of the rows.
Interactions: with much data different seeds alone (deep ensemble) are as good or better.
"""

from equipoise.treat.change import Change
from equipoise.treat.ensembles import several

TREATMENT = Change(
    "bagged-ensemble",
    "let five networks trained on bootstrap samples answer together",
    ("seed-stability", "accuracy", "overfitting", "calibration", "input-sensitivity", "bias-variance"),
    lambda plan: several(plan, "bagged"),
)
