"""Saturated units: against closed forms, and gates against torch's own recurrent layers."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from equipoise.core.estimate import Verdict
from equipoise.examine.ask import ask
from equipoise.examine.gates import gates_of
from equipoise.examine.learning.saturated_units import SaturatedUnits
from equipoise.testing import best_classifier, check_question, with_body


def _dense(scale: float, activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    body = nn.Sequential(nn.Linear(5, 16), activation(), nn.Linear(16, 3))
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return body


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Softsign])
def test_a_healthy_network_passes(activation):
    finding = check_question(SaturatedUnits(), with_body(best_classifier(n=600), _dense(0.1, activation)))
    assert finding.verdict is Verdict.PASS


def test_units_far_on_one_side_are_stuck_and_fail():
    body = _dense(0.2)
    with torch.no_grad():
        body[0].bias[:12] = torch.tensor([9.0, -9.0] * 6)
    finding = ask(SaturatedUnits(), with_body(best_classifier(n=600), body))
    assert finding.estimates["stuck_units"].value == 12 / 16
    assert finding.verdict is Verdict.FAIL


def test_switches_are_saturated_but_not_stuck():
    finding = ask(SaturatedUnits(), with_body(best_classifier(n=600), _dense(200.0)))
    assert finding.estimates["stuck_units"].value < 0.4
    assert finding.estimates["saturated_outputs"].value > 0.95
    assert finding.verdict is Verdict.FAIL


@pytest.mark.parametrize(("activation", "edge"), [(nn.Tanh, math.atanh(0.9)), (nn.Sigmoid, math.log(0.95 / 0.05))])
def test_the_share_is_that_of_pre_activations_beyond_the_edge(activation, edge):
    subject = best_classifier(n=800)
    body = _dense(1.0, activation)
    finding = ask(SaturatedUnits(), with_body(subject, body))
    inputs = torch.cat([subject.part("train").inputs, subject.part("test").inputs])
    with torch.no_grad():
        beyond = (body[0](inputs).abs() >= edge).double().mean()
    share = finding.estimates["saturated_outputs"]
    assert share.low <= float(beyond) <= share.high
    assert share.value == pytest.approx(float(beyond), abs=0.02)


def test_a_network_without_flat_ends_cannot_be_asked():
    finding = ask(SaturatedUnits(), with_body(best_classifier(n=100), _dense(1.0, nn.ReLU)))
    assert finding.verdict is Verdict.SKIPPED
    assert "relu" in finding.claim


def test_a_confident_sigmoid_output_is_no_fault():
    body = nn.Sequential(nn.Linear(5, 3), nn.Sigmoid())
    with torch.no_grad():
        body[0].bias.fill_(50.0)
    finding = ask(SaturatedUnits(), with_body(best_classifier(n=100), body))
    assert finding.verdict is Verdict.SKIPPED


class _Recurrent(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.readout = nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.readout(self.layer(inputs.reshape(-1, 4, 3))[0][:, -1])


def test_a_gate_that_never_opens_is_stuck_and_one_that_always_remembers_is_not():
    layer = nn.LSTM(3, 8, batch_first=True)
    with torch.no_grad():
        layer.bias_ih_l0[:8] = -50.0  # input gates
        layer.bias_ih_l0[8:16] = 50.0  # forget gates
    finding = ask(SaturatedUnits(), with_body(best_classifier(n=400, features=12), _Recurrent(layer)))
    assert finding.estimates["stuck_in_body.layer (gate:input)"].value == 1.0
    assert finding.estimates["stuck_in_body.layer (gate:forget)"].value == 0.0


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_unrolled_layers_agree_with_torch(kind, bidirectional):
    layer = kind(3, 5, num_layers=2, batch_first=True, bidirectional=bidirectional)
    steps = torch.randn(6, 7, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, _ = layer(steps)
        states = [gate.values for gate in gates_of(layer, (steps,)) if gate.name == "state"]
    torch.testing.assert_close(states[-1], expected, atol=1e-5, rtol=1e-5)


def test_packed_sequences_projections_and_initial_states_agree_with_torch():
    generator = torch.Generator().manual_seed(1)
    layer = nn.LSTM(3, 6, proj_size=4, bidirectional=True, batch_first=True)
    steps, lengths = torch.randn(4, 7, 3, generator=generator), torch.tensor([7, 5, 2, 1])
    start = (torch.randn(2, 4, 4, generator=generator), torch.randn(2, 4, 6, generator=generator))
    packed = pack_padded_sequence(steps, lengths, batch_first=True)
    with torch.no_grad():
        expected, _ = pad_packed_sequence(layer(packed, start)[0], batch_first=True)
        states = next(gate.values for gate in gates_of(layer, (packed, start)) if gate.name == "state")
    inside = torch.arange(7) < lengths[:, None]
    torch.testing.assert_close(states[inside], expected[inside], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_cells_agree_with_torch(kind):
    cell = kind(3, 5)
    step = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = cell(step)
        state = next(gate.values for gate in gates_of(cell, (step,)) if gate.name == "state")
    expected = out[0] if isinstance(out, tuple) else out
    torch.testing.assert_close(state[:, 0], expected)
