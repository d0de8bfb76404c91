"""The gates inside torch's fused recurrent layers, worked out step by step from their weights."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

RECURRENT = (nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell)
"""Layers whose gates never leave the fused kernel."""

Side = Literal["low", "high"]


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """The values of one gate, candidate or state.

    Attributes:
        name: `gate:NAME` for a gate; `tanh` or `relu` for a candidate or a plain layer's state; `state` for an output.
        values: (n, steps, units).
        bounds: Its asymptotes, where it has two.
        closed: The sides on which a gate that is always there cuts its unit off.
    """

    name: str
    values: Tensor
    bounds: tuple[float, float] | None
    closed: tuple[Side, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Weights:
    inputs: Tensor
    state: Tensor
    input_bias: Tensor | None
    state_bias: Tensor | None
    projection: Tensor | None

    def of_inputs(self, steps: Tensor) -> Tensor:
        """Return the inputs' share of the pre-activations."""
        return nn.functional.linear(steps, self.inputs, self.input_bias)

    def of_state(self, state: Tensor) -> Tensor:
        """Return the state's share of the pre-activations."""
        return nn.functional.linear(state, self.state, self.state_bias)


Step = tuple[Tensor, Tensor, dict[str, Tensor]]


def gates_of(module: nn.Module, inputs: tuple[object, ...]) -> list[Gate]:
    """Return gates, candidates and states of a recurrent layer for the inputs of one call.

    The equations are those of `torch.nn.RNN`, `LSTM` and `GRU` (gate orders i, f, g, o and r, z, n). Padded steps of a
    packed sequence repeat the first step's values.

    Args:
        module: One of `RECURRENT`.
        inputs: The positional arguments of its call: inputs and, if given, the initial state.

    References:
        S. Hochreiter, J. Schmidhuber. Long short-term memory. Neural Computation 1997; K. Cho et al. EMNLP 2014.
    """
    if isinstance(module, (nn.RNNCell, nn.LSTMCell, nn.GRUCell)):
        return _cell_gates(module, inputs)
    if not isinstance(module, (nn.RNN, nn.LSTM, nn.GRU)):
        return []
    steps, lengths = _steps(module, inputs[0])
    memory, cell = _initial(module, inputs, len(steps))
    found: list[Gate] = []
    directions = 2 if module.bidirectional else 1
    for layer in range(module.num_layers):
        outputs: list[Tensor] = []
        for direction in range(directions):
            k = layer * directions + direction
            weights = _weights(module, f"_l{layer}{'_reverse' if direction else ''}")
            states, gates = _unroll(
                _kind(module), weights, steps, (memory[k], cell[k]), lengths, backward=bool(direction)
            )
            outputs.append(states)
            found += _named(gates)
        steps = torch.cat(outputs, dim=2)
        found.append(Gate("state", steps, None))
    return found


def _unroll(
    kind: str,
    weights: _Weights,
    steps: Tensor,
    start: tuple[Tensor, Tensor],
    lengths: Tensor | None,
    *,
    backward: bool,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return states (n, steps, units) and each gate (n, steps, units) of one layer in one direction."""
    projected = weights.of_inputs(steps)
    state, memory = start
    count = steps.shape[1]
    order = range(count - 1, -1, -1) if backward else range(count)
    states: list[Tensor] = [state] * count
    gates: dict[str, list[Tensor]] = {}
    for t in order:
        new_state, new_memory, now = _advance(kind, weights, projected[:, t], state, memory)
        if lengths is not None:
            inside = (t < lengths).unsqueeze(1)
            new_state, new_memory = torch.where(inside, new_state, state), torch.where(inside, new_memory, memory)
        state, memory = new_state, new_memory
        states[t] = state
        for name, values in now.items():
            gates.setdefault(name, [values] * count)[t] = values
    stacked = {name: _without_padding(torch.stack(values, 1), lengths) for name, values in gates.items()}
    return _without_padding(torch.stack(states, 1), lengths), stacked


def _advance(kind: str, weights: _Weights, step: Tensor, state: Tensor, memory: Tensor) -> Step:
    recurrent = weights.of_state(state)
    if kind == "lstm":
        i, f, g, o = (step + recurrent).chunk(4, dim=1)
        gates = {"input": i.sigmoid(), "forget": f.sigmoid(), "tanh": g.tanh(), "output": o.sigmoid()}
        memory = gates["forget"] * memory + gates["input"] * gates["tanh"]
        state = gates["output"] * memory.tanh()
        return (state if weights.projection is None else state @ weights.projection.T), memory, gates
    if kind == "gru":
        reset_x, update_x, new_x = step.chunk(3, dim=1)
        reset_h, update_h, new_h = recurrent.chunk(3, dim=1)
        reset, update = (reset_x + reset_h).sigmoid(), (update_x + update_h).sigmoid()
        new = (new_x + reset * new_h).tanh()
        return (1 - update) * new + update * state, memory, {"reset": reset, "update": update, "tanh": new}
    state = torch.relu(step + recurrent) if kind == "relu" else (step + recurrent).tanh()
    return state, memory, {kind: state}


def _named(gates: dict[str, Tensor]) -> list[Gate]:
    # An input or output gate that stays shut, or an update gate that always keeps the old state, cuts its unit off;
    # a forget gate that stays open is a memory, and a reset gate at either end is harmless.
    closed: dict[str, tuple[Side, ...]] = {"input": ("low",), "output": ("low",), "update": ("high",)}
    found: list[Gate] = []
    for name, values in gates.items():
        if name in ("tanh", "relu"):
            found.append(Gate(name, values, (-1.0, 1.0) if name == "tanh" else None, ("low", "high")))
        else:
            found.append(Gate(f"gate:{name}", values, (0.0, 1.0), closed.get(name, ())))
    return found


def _kind(module: nn.Module) -> str:
    if isinstance(module, (nn.LSTM, nn.LSTMCell)):
        return "lstm"
    if isinstance(module, (nn.GRU, nn.GRUCell)):
        return "gru"
    return str(getattr(module, "nonlinearity", "tanh"))


def _weights(module: nn.Module, suffix: str) -> _Weights:
    def named(name: str) -> Tensor | None:
        value = getattr(module, f"{name}{suffix}", None)
        return value if isinstance(value, Tensor) else None

    inputs, state = named("weight_ih"), named("weight_hh")
    if inputs is None or state is None:
        raise ValueError(
            f"got a {type(module).__name__} without weight_ih{suffix} and weight_hh{suffix}; expected torch's own "
            "names. Examine the layer as torch made it."
        )
    return _Weights(inputs, state, named("bias_ih"), named("bias_hh"), named("weight_hr"))


def _cell_gates(module: nn.RNNCell | nn.LSTMCell | nn.GRUCell, inputs: tuple[object, ...]) -> list[Gate]:
    step = inputs[0]
    if not isinstance(step, Tensor) or step.ndim != 2:
        return []
    zeros = step.new_zeros(len(step), module.hidden_size)
    given = inputs[1] if len(inputs) > 1 else None
    state, memory = zeros, zeros
    if isinstance(given, Tensor):
        state = given
    elif isinstance(given, tuple) and all(isinstance(one, Tensor) for one in given):
        state, memory = given
    weights = _weights(module, "")
    state, _, gates = _advance(_kind(module), weights, weights.of_inputs(step), state, memory)
    found = _named({name: values.unsqueeze(1) for name, values in gates.items()})
    return [*found, Gate("state", state.unsqueeze(1), None)]


def _steps(module: nn.RNN | nn.LSTM | nn.GRU, given: object) -> tuple[Tensor, Tensor | None]:
    """Return inputs (n, steps, features) and, for a packed sequence, their lengths (n,)."""
    if isinstance(given, PackedSequence):
        steps, lengths = pad_packed_sequence(given, batch_first=True)
        return steps, lengths.to(steps.device)
    if not isinstance(given, Tensor):
        raise TypeError(f"got {type(given).__name__} as input of a recurrent layer; expected a tensor. Pass a tensor.")
    if given.ndim == 2:
        given = given.unsqueeze(0 if module.batch_first else 1)
    return (given if module.batch_first else given.transpose(0, 1)), None


def _initial(module: nn.RNN | nn.LSTM | nn.GRU, inputs: tuple[object, ...], n: int) -> tuple[Tensor, Tensor]:
    """Return initial states and cell states, each (layers * directions, n, units); zeros where none were given."""
    given = inputs[1] if len(inputs) > 1 else None
    weight = next(module.parameters())
    count = module.num_layers * (2 if module.bidirectional else 1)
    cell = weight.new_zeros(count, n, module.hidden_size)
    state = weight.new_zeros(count, n, module.proj_size or module.hidden_size)
    if isinstance(given, Tensor):
        state = given if given.ndim == 3 else given.unsqueeze(1)
    elif isinstance(given, tuple) and len(given) == 2 and all(isinstance(one, Tensor) for one in given):
        state, cell = (one if one.ndim == 3 else one.unsqueeze(1) for one in given)
    return state, cell


def _without_padding(values: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return values
    inside = torch.arange(values.shape[1], device=values.device) < lengths.unsqueeze(1)
    return torch.where(inside.unsqueeze(2), values, values[:, :1])
