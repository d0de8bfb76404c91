"""Noise training: add noise to the inputs of every training batch.

Source: Bishop, Neural Computation 1995 (noise as Tikhonov regularisation); Sietsma and Dow, Neural Networks 1991.
Benefit: answers that change less when inputs do, so robustness against noise and a smaller gap.
Cost: features are computed anew for each batch; a little accuracy on clean inputs.
Interactions: with standardised inputs it acts much like an L2 penalty; text gets unknown words instead.
"""

from equipoise.core.plan import Plan
from equipoise.treat.augmenting import augmenting
from equipoise.treat.change import Change
from equipoise.treat.known import inputs_of

IMAGE_LEVEL, LEVEL, UNKNOWN_LEVEL = 0.1, 0.3, 0.2
"""Deviation of the noise: a share of an image's range, else of the deviation of the values."""


def add_noise(plan: Plan) -> Plan:
    """Return the plan with noise in its training batches, strong enough to teach something."""
    noisy = augmenting("noise")(plan)
    kind = inputs_of(plan)
    level = UNKNOWN_LEVEL if kind is None else IMAGE_LEVEL if kind == "image" else LEVEL
    return noisy.replace(recipe__noise_level=max(level, plan.recipe.noise_level))


TREATMENT = Change(
    "noise-training",
    "add noise to the inputs of training batches",
    ("input-noise", "corruption", "input-sensitivity", "overfitting"),
    add_noise,
)
