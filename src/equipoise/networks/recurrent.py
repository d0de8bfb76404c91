"""The recurrent family: plain, LSTM and GRU layers over steps."""

import torch
from torch import Tensor, nn

from equipoise.core.network_plan import RecurrentNetwork
from equipoise.networks.blocks import StepNorm, Steps, dropout, step_shape, token_lengths
from equipoise.networks.cells import LoopedRecurrence
from equipoise.networks.features import Features


class RecurrentBody(nn.Module):
    """Recurrent layers over steps with a linear read-out.

    The last state before the padding is read out (with both directions: the last state of each); sequence labelling
    reads every state. Padding comes after the text, so that it cannot change earlier states; the backward direction
    starts at the last token.

    References:
        S. Hochreiter, J. Schmidhuber. Long short-term memory. Neural Computation 1997; K. Cho et al. EMNLP 2014 (GRU).
    """

    def __init__(self, plan: RecurrentNetwork, features: Features, scores: int, *, every_step: bool) -> None:
        super().__init__()
        self.tokens = features.kind == "tokens"
        self.every_step = every_step
        first: nn.Module = Steps(features)
        if self.tokens:
            first = nn.Embedding(features.vocabulary, plan.embedding, padding_idx=0)
        self.steps = first
        width = plan.embedding if self.tokens else step_shape(features)[1]
        layers: list[nn.Module] = []
        for hidden in plan.hidden:
            layers.append(RecurrentLayer(plan, width, hidden))
            width = hidden * (2 if plan.bidirectional else 1)
        self.layers = nn.ModuleList(layers)
        self.halves = 2 if plan.bidirectional else 1
        self.readout = nn.Linear(width, scores)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores (n, scores), or (n, steps, scores) for sequence labelling."""
        order, last = self._order(features)
        states = self.steps(features)
        for layer in self.layers:
            states = layer(states, order)
        scores: Tensor = self.readout(states if self.every_step else self._last(states, last))
        return scores

    def _order(self, features: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return, for tokens, where each step of the reversed text comes from (n, steps), and the last token (n,)."""
        if not self.tokens:
            return None, None
        lengths = token_lengths(features).unsqueeze(1)
        positions = torch.arange(features.shape[1], device=features.device)
        return torch.where(positions < lengths, lengths - 1 - positions, positions), lengths.squeeze(1) - 1

    def _last(self, states: Tensor, last: Tensor | None) -> Tensor:
        """Return the state in which each direction has seen the whole sample."""
        if last is None and self.halves == 1:  # the plain case, without the copies that the general one makes
            return states[:, -1]
        forward, *backward = states.chunk(self.halves, dim=2)
        if last is None:
            ends = [forward[:, -1]]
        else:
            index = last[:, None, None].expand(-1, 1, forward.shape[2])
            ends = [forward.gather(1, index).squeeze(1)]
        return torch.cat([*ends, *(part[:, 0] for part in backward)], dim=1)


class RecurrentLayer(nn.Module):
    """One recurrent layer in one or both directions, then normalisation and dropout."""

    def __init__(self, plan: RecurrentNetwork, inputs: int, hidden: int) -> None:
        super().__init__()
        self.ahead = _recurrence(plan, inputs, hidden)
        self.back = _recurrence(plan, inputs, hidden) if plan.bidirectional else None
        width = hidden * (2 if plan.bidirectional else 1)
        after = [StepNorm(plan.normalisation, width)] if plan.normalisation != "none" else []
        self.after = nn.Sequential(*after, *dropout(plan))

    def forward(self, steps: Tensor, order: Tensor | None = None) -> Tensor:
        """Return states (n, steps, hidden), both directions side by side.

        Args:
            steps: Inputs (n, steps, features).
            order: Where each step of the reversed sequence comes from, (n, steps); without it, all steps are reversed.
        """
        states, _ = self.ahead(steps)
        if self.back is not None:
            backward, _ = self.back(_reverse(steps, order))
            states = torch.cat([states, _reverse(backward, order)], dim=2)
        out: Tensor = self.after(states)
        return out


def recurrent(plan: RecurrentNetwork, features: Features, scores: int, *, every_step: bool) -> RecurrentBody:
    """Return recurrent layers of the widths in `plan.hidden`; images are read row by row, sound frame by frame."""
    return RecurrentBody(plan, features, scores, every_step=every_step)


def _reverse(steps: Tensor, order: Tensor | None) -> Tensor:
    if order is None:
        return steps.flip(1)
    return steps.gather(1, order.unsqueeze(2).expand(-1, -1, steps.shape[2]))


def _recurrence(plan: RecurrentNetwork, inputs: int, hidden: int) -> nn.Module:
    """Return torch's fused layer where it has the activation, else the step-by-step one."""
    if plan.cell == "plain" and plan.activation in ("tanh", "relu"):
        return nn.RNN(inputs, hidden, nonlinearity=plan.activation, batch_first=True)
    if plan.activation != "tanh" or plan.cell == "plain":
        return LoopedRecurrence(plan.cell, inputs, hidden, plan.activation)
    fused = nn.LSTM if plan.cell == "lstm" else nn.GRU
    return fused(inputs, hidden, batch_first=True)
