"""How a network is trained, as plain values."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from equipoise.core.record import Record

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]

Loss = Literal["mse", "mae", "huber", "cross-entropy", "binary-cross-entropy", "focal", "adversarial", "auto"]
Optimizer = Literal[
    "gradient-descent",
    "sgd",
    "momentum",
    "nesterov",
    "rmsprop",
    "adam",
    "adamw",
    "lion",
    "muon",
    "schedule-free",
]
Schedule = Literal["constant", "step", "cosine", "one-cycle", "plateau"]
Augmentation = Literal["flip", "rotate", "shift", "crop", "noise", "erase", "brightness", "mixup", "cutmix"]


class Recipe(Record):
    """Everything that a training loop is told; the defaults suit a small classifier.

    Attributes:
        loss: `auto` pairs the loss with the task (cross-entropy, binary cross-entropy, MSE).
        focal_gamma: Focusing exponent of the focal loss (Lin et al., ICCV 2017).
        huber_delta: Where the Huber loss turns from squared to absolute, on the standardised target scale.
        optimizer: `gradient-descent` takes one step an epoch on the whole training part; the others use batches.
        learning_rate: Peak step size.
        learning_rate_search: Whether a range test on the training part, before the first step, finds the peak step
            size instead (Smith, WACV 2017).
        momentum: For `momentum`, `nesterov`, `muon`, `rmsprop` (there: 0 unless set).
        schedule: How the step size changes; `warmup_steps` of linear increase, or a share `warmup_share` of all steps
            where that is longer, come before any of them.
        step_every, step_factor: For `step`: epochs between cuts, and the factor.
        plateau_patience: For `plateau`: epochs without improvement before a cut by `step_factor`.
        batch_size, epochs: The last batch of an epoch may be smaller and is kept.
        shuffle: Whether the order is drawn anew for every epoch; false takes the rows as they come.
        accumulate: Batches whose gradients are averaged into one step.
        l1, l2: Penalties added to the loss (weights only, no biases or norm parameters): l1 * |w|, l2/2 * ||w||^2.
        weight_decay: Decoupled decay (for SGD kinds: the classical coupled one), on weights only.
        label_smoothing: Share of the target spread over all classes.
        class_weights: `balanced` weights each class by n / (classes * n_class).
        class_sampling: `balanced` draws every class equally often, with replacement; an epoch stays as long.
        max_grad_norm: Global gradient norm above which gradients are scaled down.
        sharpness_radius: Length of the step uphill at whose end the gradient is taken (SAM; Foret et al., ICLR 2021).
        unit_scaling: Whether hidden units are scaled to mean 0 and deviation 1 on the first batch, layer by layer.
        patience: Epochs without a smaller validation loss before stopping; without it, all epochs are run.
        min_delta: Smallest improvement of the validation loss that counts.
        target_loss: Training loss at which to stop.
        max_seconds: Wall-clock budget of the training.
        weight_averaging: `exponential` (decay `averaging_decay`) or `tail` (mean over the last quarter of the epochs).
        keep: Which network is returned: `best` by validation score (ties: by validation loss), or `last`.
        augmentation: Applied to training batches only.
        noise_level: Deviation of added noise: a share of the range (images), else of the deviation of the values.
        governor: Whether training that breaks (a loss that is not finite, a spike that stays, units that fall silent)
            is rolled back and corrected; a healthy training is the same, bit for bit, with and without.
        vitals_every: Steps between two whose vital signs (of every layer and parameter) go into the history; without
            it, only losses and gradient norms do.
        precision: `float32`, or `bfloat16` autocast.
        checkpoint_activations: Recompute activations in the backward pass to save memory.
        device: `auto`, `cpu`, `cuda` or `mps`.
        threads: Torch threads; without it, chosen and recorded.
        tuned: Whether the fastest way that was found may be taken; false takes steps as PyTorch's tutorials do, without
            fused optimisers, other memory layouts and native kernels (`--plain`).
    """

    loss: Loss = "auto"
    focal_gamma: NotNegative = 2.0
    huber_delta: Positive = 1.0
    optimizer: Optimizer = "adam"
    learning_rate: Positive = 1e-3
    learning_rate_search: bool = False
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    schedule: Schedule = "constant"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    warmup_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    step_every: Count = 10
    step_factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    plateau_patience: Count = 5
    batch_size: Count = 32
    epochs: Count = 20
    shuffle: bool = True
    accumulate: Count = 1
    l1: NotNegative = 0.0
    l2: NotNegative = 0.0
    weight_decay: NotNegative = 0.0
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    class_sampling: Literal["none", "balanced"] = "none"
    max_grad_norm: Positive | None = None
    sharpness_radius: NotNegative = 0.0
    unit_scaling: bool = False
    patience: Count | None = None
    min_delta: NotNegative = 0.0
    target_loss: float | None = None
    max_seconds: Positive | None = None
    weight_averaging: Literal["none", "exponential", "tail"] = "none"
    averaging_decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.99
    keep: Literal["best", "last"] = "best"
    augmentation: tuple[Augmentation, ...] = ()
    noise_level: NotNegative = 0.05
    governor: bool = True
    vitals_every: Count | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpoint_activations: bool = False
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: Count | None = None
    tuned: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.optimizer == "schedule-free" and self.schedule != "constant":
            raise ValueError(
                f"schedule 'constant' with optimizer 'schedule-free', which replaces schedules, not {self.schedule!r}"
            )
        return self
