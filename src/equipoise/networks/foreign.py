"""The body around a foreign network: lays its inputs out, and turns what it returns into scores."""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from equipoise.core.preprocessing import Preprocessing
from equipoise.core.signature import Signature, Task
from equipoise.networks.features import Features
from equipoise.networks.origin import Layout, Origin

LEAST_PROBABILITY = 1e-12
"""Probabilities below this are raised to it before their logarithm."""


class Arrange(nn.Module):
    """Lay features out as a foreign network wants them.

    `as-is`; `flat` (n, size); `channels-last` (n, height, width, channels); `no-channel` drops a single channel;
    `one-channel` adds one after the samples; `steps-last` (n, features, steps).
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout

    def extra_repr(self) -> str:
        """Return the layout, for printing."""
        return self.layout

    def forward(self, features: Tensor) -> Tensor:
        """Return the same numbers in another shape."""
        if self.layout == "flat":
            return features.flatten(1)
        if self.layout == "channels-last":
            return features.permute(0, 2, 3, 1)
        if self.layout == "no-channel":
            return features.squeeze(1)
        if self.layout == "one-channel":
            return features.unsqueeze(1)
        return features.transpose(1, 2) if self.layout == "steps-last" else features


def layouts(features: Features) -> tuple[Layout, ...]:
    """Return the layouts that make sense for features, likeliest first."""
    if features.kind == "tokens":
        return ("as-is",)
    if features.kind == "image":
        single: tuple[Layout, ...] = ("no-channel",) if features.shape[0] == 1 else ()
        return ("as-is", "channels-last", "flat", *single)
    if features.kind == "sequence":
        return ("as-is", "steps-last", "one-channel", "flat")
    return ("as-is", "one-channel") if len(features.shape) == 1 else ("as-is", "flat", "one-channel")


class ForeignBody(nn.Module):
    """A foreign network between the layout of its inputs and the scores of the task."""

    target_mean: Tensor
    target_scale: Tensor

    def __init__(
        self, module: nn.Module, origin: Origin, signature: Signature, preprocessing: Preprocessing, features: Features
    ) -> None:
        super().__init__()
        self.origin = origin
        self.task = signature.task
        self.shape = features.shape
        self.arrange = Arrange(origin.layout)
        self.module = module
        known = bool(preprocessing.target_mean) and not (origin.standardise or origin.standardise_targets)
        self.register_buffer("target_mean", torch.tensor(preprocessing.target_mean if known else (0.0,)))
        self.register_buffer("target_scale", torch.tensor(preprocessing.target_scale if known else (1.0,)))

    def forward(self, features: Tensor) -> Tensor:
        """Return scores as `Network.scores` defines them."""
        values = first_tensor(self.module(self.arrange(features)))
        kind = self.task.kind
        if kind == "regression":
            values = values.unsqueeze(1) if values.dim() == 1 else values
            return (values - self.target_mean) / self.target_scale
        if kind == "reconstruction":
            return values.reshape(-1, *self.shape)
        if kind == "clustering":
            return values.flatten(1)
        return self._logits(values)

    def _logits(self, values: Tensor) -> Tensor:
        values = values.transpose(1, 2) if self.origin.steps_last else values
        values = values.unsqueeze(1) if values.dim() == 1 else values
        if self.origin.output == "probabilities":
            if self.origin.pair or self.task.kind in ("multiclass", "sequence-labelling"):
                values = values.clamp(min=LEAST_PROBABILITY).log()
            else:
                # 1 - 1e-7 is the largest number below 1 that float32 tells apart from it in the logarithm.
                values = torch.logit(values, eps=1e-7)
        return values[:, 1:] - values[:, :1] if self.origin.pair else values


def first_tensor(outputs: object) -> Tensor:
    """Return the tensor among what a network returned: itself, `logits` of a mapping, or the first of several.

    Raises:
        ValueError: There is none.
    """
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping) and outputs:
        return first_tensor(outputs["logits"] if "logits" in outputs else next(iter(outputs.values())))
    if isinstance(outputs, (tuple, list)) and outputs:
        return first_tensor(outputs[0])
    raise ValueError(
        f"got {type(outputs).__name__} from the network; expected a tensor, a tuple that begins with one, or a mapping "
        "with 'logits'. Wrap the network in a module that returns its logits."
    )


def strip_end(module: nn.Module, task: Task) -> nn.Module | None:
    """Return a network without its last softmax or sigmoid, or None when it does not visibly end in one.

    Only an `nn.Sequential` shows how it ends. The layers are shared with the given network, which is left as it is.
    """
    ends: tuple[type[nn.Module], ...] = (nn.Softmax, nn.LogSoftmax)
    if task.kind == "multilabel":
        ends = (nn.Sigmoid,)
    elif task.kind == "binary":
        ends = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid)
    if type(module) is not nn.Sequential or len(module) == 0:
        return None
    children = list(module.named_children())
    name, last = children[-1]
    if isinstance(last, ends):
        return nn.Sequential(OrderedDict(children[:-1])).train(module.training)
    inner = strip_end(last, task)
    if inner is None:
        return None
    return nn.Sequential(OrderedDict([*children[:-1], (name, inner)])).train(module.training)
