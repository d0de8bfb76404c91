"""Dead units: counted against units that were killed by hand."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from equipoise.core.estimate import Verdict
from equipoise.examine.ask import ask
from equipoise.examine.learning.dead_units import DeadUnits
from equipoise.examine.subject import Subject
from equipoise.testing import best_classifier, check_question, with_body


def _dense(*, killed: int = 0, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    body = nn.Sequential(nn.Linear(5, 20), activation(), nn.Linear(20, 10), activation(), nn.Linear(10, 3))
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        body[0].bias.zero_()
        body[2].bias.fill_(2.0)
        body[0].bias[:killed] = -1000.0
    return body


def _ask(body: nn.Module):
    return ask(DeadUnits(), with_body(best_classifier(n=400), body))


def test_a_healthy_network_passes_and_the_question_keeps_the_rules():
    finding = check_question(DeadUnits(), with_body(best_classifier(n=400), _dense()))
    assert finding.verdict is Verdict.PASS
    assert finding.estimates["dead_share"].value == 0
    assert finding.treatments == ()


def test_units_killed_by_hand_are_counted_exactly_and_in_their_layer():
    finding = _ask(_dense(killed=7))
    assert finding.estimates["dead_share"].value == 7 / 33
    assert finding.estimates["worst_layer"].value == 7 / 20
    assert finding.where == ("body.0 (relu): 7 of 20",)


def test_a_layer_that_is_nearly_all_dead_fails():
    finding = _ask(_dense(killed=19))
    assert finding.verdict is Verdict.FAIL
    assert "he-initialisation" in finding.treatments


def test_leaky_rectifiers_never_die():
    assert _ask(_dense(killed=19, activation=nn.LeakyReLU)).estimates["dead_share"].value == 0


def test_constant_units_of_other_activations_are_dead_too():
    body = _dense(activation=nn.Sigmoid)
    with torch.no_grad():
        body[0].weight[:4] = 0.0
    assert _ask(body).estimates["dead_share"].value == 4 / 33


class _Functional(nn.Module):
    """The same network with plain function calls, one of them in place and one a clamp."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.first, self.second, self.third = layers[0], layers[2], layers[4]

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.relu(self.first(inputs))
        hidden += 1.0  # would hide the dead units from whoever looks later
        return self.third(self.second(hidden - 1.0).clamp(min=0))


def test_functional_activations_are_seen_as_well_as_modules():
    finding = _ask(_Functional(_dense(killed=7)))
    assert finding.estimates["dead_share"].value == 7 / 33


def test_channels_count_as_units_and_positions_do_not():
    donor = best_classifier(n=200, features=16)
    convolution = nn.Conv2d(1, 6, 3, padding=1)
    body = nn.Sequential(nn.Unflatten(1, (1, 4, 4)), convolution, nn.ReLU(), nn.Flatten(), nn.Linear(96, 3))
    with torch.no_grad():
        convolution.bias[2:4] = -1000.0
    finding = ask(DeadUnits(), with_body(donor, body))
    assert finding.estimates["worst_layer"].value == 2 / 6
    assert finding.estimates["dead_share"].value == 2 / 9


def test_a_unit_that_one_sample_woke_widens_the_interval_downwards():
    subject = best_classifier(n=400)
    body = _dense(killed=3)
    with torch.no_grad():
        inputs = torch.cat([subject.part("train").inputs, subject.part("test").inputs])
        direction = torch.tensor([1.0, 0, 0, 0, 0])
        top = (inputs @ direction).topk(2).values
        body[0].weight[3] = direction
        body[0].bias[3] = -(top[0] + top[1]) / 2  # only the largest sample is above 0
    share = ask(DeadUnits(), with_body(subject, body)).estimates["dead_share"]
    assert share.value == share.high == 3 / 33
    assert share.low == 0.0


def test_recurrent_states_are_units():
    donor = best_classifier(n=200, features=12)
    body = _Recurrent()
    with torch.no_grad():
        body.layer.weight_ih_l0[:3] = 0
        body.layer.weight_hh_l0[:3] = 0
        body.layer.bias_ih_l0[:3] = -5.0
    finding = ask(DeadUnits(), Subject(with_body(donor, body).network, donor.splits))
    assert finding.estimates["worst_layer"].value == 3 / 8


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.RNN(3, 8, nonlinearity="relu", batch_first=True)
        self.readout = nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.readout(self.layer(inputs.reshape(-1, 4, 3))[0][:, -1])
