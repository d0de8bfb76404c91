"""Label smoothing: spread a tenth of the target evenly over all classes.

Source: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, CVPR 2016; Mueller, Kornblith and Hinton, NeurIPS 2019.
Benefit: scores stay bounded, so less overconfidence and less memorising of wrong labels.
Cost: none; the loss no longer goes to zero.
Interactions: temperature scaling afterwards is still right; students distilled from a smoothed teacher are worse.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import CLASSES, need_task

SHARE = 0.1


def smooth(plan: Plan) -> Plan:
    """Return the plan with smoothed labels.

    Raises:
        ValueError: The task is known to have no classes.
    """
    need_task(plan, CLASSES, "label smoothing")
    return plan.replace(recipe__label_smoothing=max(SHARE, plan.recipe.label_smoothing))


TREATMENT = Change(
    "label-smoothing",
    "give a tenth of the target to all classes",
    ("calibration", "overfitting", "label-noise"),
    smooth,
)
