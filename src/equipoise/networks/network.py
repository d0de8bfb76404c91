"""The network as Equipoise holds it: pre-processing, body and head in one module, raw input in, answer out."""

import torch
from torch import Tensor, nn

from equipoise.core.signature import Signature


class Head(nn.Module):
    """Turns scores into outputs and answers; this one passes scores on unchanged."""

    def outputs(self, scores: Tensor) -> Tensor:
        """Return logits or the user's units."""
        return scores

    def answer(self, scores: Tensor) -> Tensor:
        """Return probabilities or the user's units."""
        return self.outputs(scores)


class Network(nn.Module):
    """A network that takes raw inputs.

    Three views of one computation:

    * `scores(inputs)`: the body's own scale, on which it is trained: logits (binary: one a sample, shape (n, 1)),
      standardised targets for regression, standardised features for reconstruction.
    * `forward(inputs)`: logits (n, classes) for binary and multiclass (binary: columns 0 and z), logits (n, labels) for
      multilabel, logits (n, steps, classes) for sequence labelling, the user's units (n, targets) for regression.
    * `answer(inputs)`: probabilities of the same shape as the logits, or the user's units.

    Attributes:
        preprocess: Raw inputs to features.
        body: Features to scores.
        head: Scores to `forward` and `answer`, through its methods `outputs(scores)` and `answer(scores)`.
        signature: What goes in and comes out.
        notes: What was found out or changed when a foreign network was taken in, one sentence each.
    """

    def __init__(
        self, preprocess: nn.Module, body: nn.Module, head: Head, signature: Signature, *, notes: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.body = body
        self.head: Head = head
        self.signature = signature
        self.notes = notes

    def scores(self, inputs: Tensor) -> Tensor:
        """Return the body's scores for raw inputs."""
        scores: Tensor = self.body(self.preprocess(inputs))
        return scores

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits, or the user's units, for raw inputs."""
        return self.head.outputs(self.scores(inputs))

    def answer(self, inputs: Tensor) -> Tensor:
        """Return probabilities, or the user's units, for raw inputs."""
        return self.head.answer(self.scores(inputs))


def parameter_count(network: nn.Module) -> int:
    """Return the number of trainable and frozen parameters, shared ones counted once."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def answers(network: Network, inputs: Tensor, *, batch_size: int = 512) -> Tensor:
    """Return `answer` for many inputs, in evaluation mode and in batches; the network's mode is put back."""
    was_training = network.training
    network.eval()
    try:
        return torch.cat([network.answer(chunk) for chunk in inputs.split(batch_size)])
    finally:
        network.train(was_training)
