"""Loss pairing: the loss that belongs to the task, on scores without an activation of their own.

Source: Bridle, 1990 (softmax with cross-entropy); Goodfellow, Bengio and Courville, Deep Learning, 2016, chapter 6.2.
Benefit: gradients that do not vanish where the answer is wrong; scores and targets of one shape.
Cost: none.
Interactions: a focal or robust loss that was chosen on purpose is lost; class weights and smoothing stay.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change


def pair_loss(plan: Plan) -> Plan:
    """Return the plan with the loss of its task."""
    return plan.replace(recipe__loss="auto")


TREATMENT = Change(
    "loss-pairing",
    "pair the loss with the task",
    ("loss-pairing", "initial-loss", "memorises-a-batch", "loss_mismatch", "shape_broadcast", "gradient_ascent"),
    pair_loss,
)
