"""What the symptoms and cures of the re-implemented tools are called in the vocabulary of faults: one table.

A tool that names a symptom and a cure gets both, the symptom first, as it prints them. A symptom for which the
vocabulary has no word (a loss that stands still may have any cause) is left to its cure. `None` says that there is no
word: the program is flagged, and nothing is named.
"""

from typing import Any

Cause = dict[str, Any]

WORDS: dict[str, dict[str, str | None]] = {
    "autotrainer": {
        "vanish": "vanishing_gradient",
        "explode": "exploding_gradient",
        "relu": "dying_relu",
        "unstable": "oscillating_loss",
        "not_converge": "lr_too_low",  # "slow convergence"; its cures are a larger step and another optimiser
        "abnormal_data": "unscaled_input",  # its cure is min-max scaling of the inputs
        "activation_issue": "wrong_output_activation",
        "loss_issue": "loss_mismatch",
    },
    "deepdiagnosis": {
        "out of range": "wrong_output_activation",
        "numerical forward, not finite": "exploding_gradient",
        "numerical forward, zero": "dead_layer",
        "numerical weights, not finite": "exploding_gradient",
        "numerical weights, zero": "bad_initialization",
        "numerical gradient, not finite": "exploding_gradient",
        "numerical gradient, zero": "vanishing_gradient",
        "dead node": "dying_relu",
        "saturated activation": "saturated_activation",
        "vanishing gradient": "vanishing_gradient",
        "unchanged forward": "parameters_not_updated",
        "unchanged weights": "parameters_not_updated",
        "unchanged gradient": "vanishing_gradient",
        "invalid loss": "exploding_gradient",
        "invalid accuracy": None,
        "loss not decreasing": None,
        "accuracy not increasing": None,
        "fix: poor weight": "bad_initialization",
        "fix: normalise the data": "unscaled_input",
        "fix: learning rate, high": "lr_too_high",
        "fix: learning rate, low": "lr_too_low",
        "fix: optimizer": "wrong_optimizer",
        "fix: last activation": "wrong_output_activation",
        "fix: hidden activation": "missing_activation",
        "fix: loss": "loss_mismatch",
    },
    "umlaut": {
        "nan in input": "unscaled_input",
        "input not normalised": "unscaled_input",
        "input not floating": "unscaled_input",
        "input shape": None,
        "no softmax before loss": "wrong_output_activation",
        "last layer has activation": "double_softmax",  # raised where the loss takes logits
        "missing activation": "missing_activation",
        "learning rate high": "lr_too_high",
        "learning rate low": "lr_too_low",
        "dropout high": "too_much_dropout",
        "overfitting": "overfitting",
        "validation accuracy high": "data_leak",
    },
    "thedeepchecker": {
        "features constant": "unscaled_input",
        "features unnormalised": "unscaled_input",
        "targets unnormalised": "unscaled_target",
        "unbalanced labels": "class_imbalance",
        "poor initial weights": "bad_initialization",
        "poor initial bias": "bad_initialization",
        "loss is not averaged": "loss_mismatch",
        "poor initial loss": "bad_initialization",
        "wrong gradient": "parameters_without_gradient",  # the numeric gradient is not what backward gives
        "cannot fit one batch": "underfitting_capacity",
        "zero loss": "overfitting",
        "no dependence on data": "dead_layer",
        "samples depend on each other": "batch_mixing",
        "activation not finite": "exploding_gradient",
        "output constant": "dead_layer",
        "output invalid": "wrong_output_activation",
        "output lacks magnitude": "wrong_output_activation",
        "output lacks negatives": "wrong_output_activation",
        "dead layer": "dying_relu",
        "saturated layer": "saturated_activation",
        "unstable activation": "bad_initialization",
        "weight not finite": "exploding_gradient",
        "negative weights": "bad_initialization",
        "dead weights": "vanishing_gradient",
        "diverging weights": "lr_too_high",
        "vanishing gradient": "vanishing_gradient",
        "exploding gradient": "exploding_gradient",
        "untrained weights": "parameters_not_updated",
        "updates fast": "lr_too_high",
        "updates slow": "lr_too_low",
        "loss not finite": "exploding_gradient",
        "stagnated loss": "lr_too_low",
        "diverging loss": "lr_too_high",
        "fluctuating loss": "oscillating_loss",
        "loss unlike metric": "loss_mismatch",
        "overwhelming regularisation": "over_regularised",
        "corrupted labels": "wrong_labels",
        "modes differ": "train_eval_mode",
    },
    "torchmortem": {
        "vanishing": "vanishing_gradient",
        "exploding": "exploding_gradient",
        "stalling": "vanishing_gradient",
        "dead_units": "dying_relu",
        "saturation": "saturated_activation",
        "update ratio low": "lr_too_low",
        "update ratio high": "lr_too_high",
        "divergence": "lr_too_high",
        "plateau": None,  # "converged, a saddle point or too small a step"
        "rank_collapse": None,
        "weight explosion": "lr_too_high",
        "weight stagnation": "lr_too_low",
        "weight imbalance": "bad_initialization",
        "gradient_noise": "batch_size_too_small",
    },
}


def cause(tool: str, symptom: str, where: str, evidence: str) -> Cause:
    """Return what a tool has found as a cause; the symptom's own name stays in the evidence."""
    word = WORDS[tool][symptom]
    return {"fault": word or "", "where": where, "confidence": None, "evidence": [f"{symptom}: {evidence}"]}


def verdict(causes: list[Cause]) -> dict[str, Any]:
    """Return the answer of a tool: healthy when nothing was found; a cause named twice stands once, unnamed last."""
    kept: dict[tuple[str, str], Cause] = {}
    for one in causes:
        key = (one["fault"], one["where"])
        if key in kept:
            kept[key]["evidence"] += one["evidence"]
        else:
            kept[key] = one
    return {"healthy": not causes, "causes": sorted(kept.values(), key=lambda one: not one["fault"])}


def silent(reason: str) -> dict[str, Any]:
    """Return the answer of a tool that cannot judge this kind of training."""
    return {"healthy": None, "causes": [], "reason": reason}
