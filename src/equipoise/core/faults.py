"""The vocabulary of faults: what can be wrong with a training, and the line of advice that cures it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        title: What is wrong, in a few words.
        cure: The line of advice that cures it.
        symptom_of: Faults that often bring this one about, so that naming them explains it away.
    """

    title: str
    cure: str
    symptom_of: tuple[str, ...] = ()


FAULTS: dict[str, Fault] = {
    "missing_activation": Fault(
        "hidden layers without a non-linearity between them",
        "Put a non-linearity such as nn.ReLU() between consecutive linear layers.",
    ),
    "wrong_output_activation": Fault(
        "the last activation cannot produce what the targets need",
        "Give the output what the loss expects: no activation for logits and regression, sigmoid for one probability, "
        "softmax over the classes for a distribution.",
    ),
    "loss_mismatch": Fault(
        "the loss does not suit the task or what the network puts out",
        "Use cross-entropy on logits for classes, binary cross-entropy on logits for yes or no, squared error for "
        "quantities.",
    ),
    "lr_too_high": Fault(
        "the step is too large",
        "Divide the learning rate by 10, or warm it up.",
        ("unscaled_input", "unscaled_target"),
    ),
    "lr_too_low": Fault("the step is too small", "Multiply the learning rate by 10, or clip less."),
    "too_few_epochs": Fault("the training ends while the loss still falls", "Train for more epochs."),
    "wrong_optimizer": Fault(
        "the optimiser or its constants do not suit the problem", "Use Adam at 1e-3 with its default constants."
    ),
    "unscaled_input": Fault(
        "the inputs are not on a common scale around zero", "Standardise each input column on the training part."
    ),
    "unscaled_target": Fault(
        "the targets are far from the scale that the network puts out",
        "Standardise the targets and transform predictions back.",
    ),
    "wrong_labels": Fault(
        "targets do not belong to their inputs", "Shuffle inputs and targets with one order, and check the labels."
    ),
    "class_imbalance": Fault(
        "rare classes are not learned", "Weight the loss by inverse class frequency, or sample classes evenly."
    ),
    "vanishing_gradient": Fault(
        "gradients shrink on the way to the early layers",
        "Use ReLU-like activations, He or Glorot weights, normalisation or residual links.",
        ("bad_initialization", "unscaled_input"),
    ),
    "exploding_gradient": Fault(
        "gradients grow on the way to the early layers",
        "Scale the initial weights down, clip the gradient norm, and use gated or orthogonal recurrence.",
        ("lr_too_high", "bad_initialization", "unscaled_input", "unscaled_target"),
    ),
    "dying_relu": Fault(
        "rectified units are silent on every sample",
        "Lower the learning rate, use He weights and zero biases, or a leaky activation.",
        ("lr_too_high", "bad_initialization", "unscaled_input"),
    ),
    "saturated_activation": Fault(
        "units sit at their asymptotes, where they pass no gradient",
        "Scale the inputs and the initial weights down, or use ReLU-like activations.",
        ("unscaled_input", "bad_initialization", "lr_too_high"),
    ),
    "bad_initialization": Fault(
        "the initial weights are too large, too small or all alike",
        "Initialise with He (ReLU) or Glorot (sigmoid, tanh) weights and zero biases.",
    ),
    "missing_zero_grad": Fault(
        "gradients of earlier steps pile up", "Call optimizer.zero_grad() before every backward pass."
    ),
    "parameters_not_updated": Fault(
        "parameters have a gradient but do not move",
        "Give the optimiser all parameters, and clear gradients before the backward pass, not after it.",
    ),
    "parameters_without_gradient": Fault(
        "no gradient reaches some parameters",
        "Register layers as modules (nn.ModuleList), and remove detach(), no_grad() and conversions to numpy.",
    ),
    "gradient_ascent": Fault(
        "the step goes uphill", "Minimise the negative log-likelihood, with a positive learning rate."
    ),
    "shape_broadcast": Fault(
        "outputs and targets of different shapes broadcast in the loss",
        "Give both one shape, for example with outputs.squeeze(1) or targets.unsqueeze(1).",
    ),
    "batch_mixing": Fault(
        "a sample's output depends on the other samples of its batch",
        "Apply softmax, normalisation and reshaping along the feature axis, not along the samples.",
    ),
    "train_eval_mode": Fault(
        "the network is in the wrong mode",
        "Call network.train() before training and network.eval() before evaluating.",
        ("parameters_without_gradient",),
    ),
    "no_shuffle": Fault("batches come in a fixed or sorted order", "Shuffle the rows anew for every epoch."),
    "data_leak": Fault(
        "the validation data are part of the training data",
        "Split once, before anything else, and hold the parts apart.",
    ),
    "double_softmax": Fault(
        "probabilities go into a loss that expects logits", "Remove the last activation: the loss applies its own."
    ),
    "too_much_dropout": Fault("dropout removes most of the signal", "Lower the dropout rate to at most 0.5."),
    "batch_size_too_small": Fault(
        "steps follow the noise of single samples", "Use batches of 16 to 64, or lower the learning rate."
    ),
    "batch_size_too_large": Fault("too few steps an epoch", "Use batches of 32 to 128, or train for more epochs."),
    "overfitting": Fault(
        "the network learns its training rows by heart",
        "Stop earlier, regularise (weight decay, dropout, augmentation), shrink the network or get more data.",
    ),
    "underfitting_capacity": Fault(
        "the network is too small for the problem", "Widen the narrowest layers or add layers."
    ),
    "dead_layer": Fault(
        "a layer puts out the same for every input",
        "Remove or replace the layer, and check the sign before its activation.",
    ),
    "oscillating_loss": Fault(
        "the loss jumps up and down instead of settling",
        "Lower the learning rate, enlarge the batch, or decay the rate.",
        ("lr_too_high", "batch_size_too_small"),
    ),
    "over_regularised": Fault(
        "the penalty on the weights outweighs the data", "Lower the weight decay to at most 1e-2."
    ),
}
"""Every fault that a diagnosis can name."""
