"""Deep ensemble: train five networks that differ in their seeds and take the mean of their probabilities.

Source: Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017; Hansen and Salamon, IEEE TPAMI 1990.
Benefit: errors that differ between seeds cancel, so better, steadier and better calibrated answers.
Cost: five times training, size and latency; at equal cost each member has a fifth of the epochs.
Interactions: early stopping of each member still helps; temperature scaling comes after the mean.
"""

from equipoise.treat.change import Change
from equipoise.treat.ensembles import several

TREATMENT = Change(
    "deep-ensemble",
    "let five networks with different seeds answer together",
    ("seed-stability", "accuracy", "overfitting", "calibration", "input-sensitivity", "bias-variance"),
    lambda plan: several(plan, "deep"),
)
