"""Recurrent layers with any activation, one step after another in plain operations."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from equipoise.core.network_plan import Activation
from equipoise.networks.blocks import activation as activation_module

Cell = Literal["plain", "lstm", "gru"]
_GATES = {"plain": 1, "lstm": 4, "gru": 3}


class LoopedRecurrence(nn.Module):
    """One recurrent layer whose activation torch's fused layers do not have.

    The same equations, parameter names and gate order as `nn.RNN`, `nn.LSTM` and `nn.GRU`, with `tanh` replaced by the
    given activation; gates stay sigmoid. Slower than the fused layers, since every step is its own operation.
    """

    def __init__(self, cell: Cell, inputs: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.cell = cell
        self.input_size = inputs
        self.hidden_size = hidden
        self.activation = activation_module(activation)
        rows = _GATES[cell] * hidden
        bound = 1.0 / math.sqrt(hidden)
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, inputs).uniform_(-bound, bound))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden).uniform_(-bound, bound))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows).uniform_(-bound, bound))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows).uniform_(-bound, bound))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return all states (n, steps, hidden) and the last one (1, n, hidden) of inputs (n, steps, features)."""
        projected = nn.functional.linear(inputs, self.weight_ih_l0, self.bias_ih_l0)
        state = projected.new_zeros(projected.shape[0], self.hidden_size)
        memory = state
        states: list[Tensor] = []
        for step in projected.unbind(1):
            recurrent = nn.functional.linear(state, self.weight_hh_l0, self.bias_hh_l0)
            state, memory = self._advance(step, recurrent, state, memory)
            states.append(state)
        return torch.stack(states, dim=1), state.unsqueeze(0)

    def _advance(self, step: Tensor, recurrent: Tensor, state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        if self.cell == "plain":
            return self.activation(step + recurrent), memory
        if self.cell == "lstm":
            gate_in, forget, candidate, gate_out = (step + recurrent).chunk(4, dim=1)
            memory = forget.sigmoid() * memory + gate_in.sigmoid() * self.activation(candidate)
            return gate_out.sigmoid() * self.activation(memory), memory
        reset_x, update_x, candidate_x = step.chunk(3, dim=1)
        reset_h, update_h, candidate_h = recurrent.chunk(3, dim=1)
        update = (update_x + update_h).sigmoid()
        candidate = self.activation(candidate_x + (reset_x + reset_h).sigmoid() * candidate_h)
        return (1 - update) * candidate + update * state, memory
