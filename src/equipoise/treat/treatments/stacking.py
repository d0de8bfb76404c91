"""Stacking: train five networks with different activations and weigh answers by how well they predict unseen rows.

Source: Wolpert, Neural Networks 1992; Breiman, Machine Learning 1996 (weights that are not negative).
Benefit: members that suit the problem count more, and those that do not count nothing.
Cost: five networks three times over for the weights, and once for the answer.
Interactions: where all members are alike the weights are noise: a deep ensemble is cheaper.
"""

from equipoise.treat.change import Change
from equipoise.treat.ensembles import several

TREATMENT = Change(
    "stacking",
    "let five networks of different activations answer with fitted weights",
    ("accuracy", "activation-choice", "seed-stability", "overfitting"),
    lambda plan: several(plan, "stacked"),
)
