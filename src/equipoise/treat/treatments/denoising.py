"""Denoising: put an autoencoder in front that was trained to take noise off the training part's inputs.

Source: Vincent, Larochelle, Bengio and Manzagol, ICML 2008; Gu and Rigazio, ICLR workshop 2015.
Benefit: noise and small faults of the inputs are cleaned before the network sees them.
Cost: a training of the autoencoder beforehand, and one more small network at every answer; fine detail is lost.
Interactions: noise-training teaches the network itself and is cheaper to run: try it first.
"""

from equipoise.core.network_plan import FamilyOptions
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import need_inputs, need_task


def clean(plan: Plan) -> Plan:
    """Return the plan with a denoiser in front of its network.

    Raises:
        ValueError: Inputs or task are known to be of another kind, or the network was made elsewhere.
    """
    need_inputs(plan, ("table", "image", "sound", "array"), "denoising")
    need_task(plan, ("binary", "multiclass", "multilabel", "regression", "sequence-labelling"), "denoising")
    if not isinstance(plan.network, FamilyOptions):
        raise ValueError(
            "got a network made elsewhere, which takes its inputs as it was made for; expected a family. Train it with "
            "noise instead."
        )
    return plan.replace(network__denoise=True)


TREATMENT = Change("denoising", "clean the inputs with an autoencoder", ("input-noise", "corruption"), clean)
