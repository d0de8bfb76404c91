"""Synthetic samples from a generator: a generative adversarial pair learns inputs and targets and makes more of them.

Source: Goodfellow et al., NeurIPS 2014; Antoniou, Storkey and Edwards, 2017 (data augmentation by such pairs).
Benefit: more samples around those that are there, where data are few and classes are simple clouds.
Cost: two thousand steps of the pair beforehand; samples between classes with wrong targets.
Interactions: plain augmentations usually gain more; it knows nothing that the training part does not show.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import need_inputs, need_task


def add_samples(plan: Plan) -> Plan:
    """Return the plan with half as many training rows more.

    Raises:
        ValueError: The task or the inputs are known to be of another kind.
    """
    need_task(plan, ("binary", "multiclass", "multilabel", "regression"), "synthetic samples")
    need_inputs(plan, ("table", "image", "array"), "synthetic samples")
    return plan.replace(data__training__synthetic="gan")


TREATMENT = Change(
    "synthetic-gan",
    "add training samples from a generative adversarial pair",
    ("data-shortage", "sample-efficiency", "overfitting"),
    add_samples,
)
