"""The governor: a training that breaks is taken back to where it was sound, and corrected.

Source: homeostatic control with rollback, after synaptic scaling (Turrigiano, Cell 2008); layer-sequential mending
(Mishkin and Matas, ICLR 2016).
Benefit: a loss that is not finite, a spike that stays or units that fall silent no longer ruin a training.
Cost: snapshots of the weights; a healthy training is the same, bit for bit.
Interactions: it corrects by skipping, clipping, lower steps and mended units; treating the cause is better.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change


def govern(plan: Plan) -> Plan:
    """Return the plan with the governor on."""
    return plan.replace(recipe__governor=True)


TREATMENT = Change(
    "governor",
    "roll back and correct what breaks",
    (
        "training-stability",
        "exploding-gradient",
        "dead-units",
        "step-descends",
        "lr_too_high",
        "exploding_gradient",
        "dying_relu",
        "dead_layer",
    ),
    govern,
)
