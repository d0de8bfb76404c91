"""Temperature scaling: divide the scores by one number, fitted on validation data after training.

Source: Guo, Pleiss, Sun and Weinberger, ICML 2017.
Benefit: probabilities that mean what they say; the predicted classes stay.
Cost: one number, found in milliseconds.
Interactions: validation data are used once more; the accuracy does not change, so judge it by the likelihood.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import CLASSES, need_task


def scale(plan: Plan) -> Plan:
    """Return the plan with temperature scaling after training.

    Raises:
        ValueError: The task is known to have no classes.
    """
    need_task(plan, CLASSES, "temperature scaling")
    return plan if "temperature" in plan.finish else plan.replace(finish=[*plan.finish, "temperature"])


TREATMENT = Change("temperature-scaling", "divide the scores by a fitted number", ("calibration",), scale)
