"""Surgery on the module tree of networks made elsewhere."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.recipe import Recipe
from equipoise.core.surgeries import SURGERIES
from equipoise.fit.optimizers import build_stepper
from equipoise.networks.calls import calls
from equipoise.networks.foreign_files import ExportedNetwork
from equipoise.networks.operate import operate
from equipoise.networks.operations import SURGEONS
from equipoise.networks.traced import Called, UntraceableError, traced

INPUTS = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
IMAGES = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(2))
STEPS = torch.randn(16, 5, 3, generator=torch.Generator().manual_seed(3))


class Functional(nn.Module):
    """Every activation and the dropout are plain calls; one function is used twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.second = nn.Linear(8, 8)
        self.third = nn.Linear(8, 3)

    def forward(self, inputs):
        hidden = functional.dropout(torch.tanh(self.first(inputs)), 0.5, self.training)
        hidden = self.second(hidden).tanh()
        return functional.softmax(self.third(hidden), dim=1)


class Shared(nn.Module):
    """One activation module serves two layers and the output."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.bend = nn.Linear(6, 8), nn.Linear(8, 3), nn.Sigmoid()

    def forward(self, inputs):
        return self.bend(self.second(self.bend(self.first(inputs))))


class Branching(Functional):
    """Which way it goes depends on the values."""

    def forward(self, inputs):
        hidden = torch.tanh(self.first(inputs))
        if hidden.sum() > 1e9:
            return self.third(hidden)
        return functional.softmax(self.third(torch.tanh(self.second(hidden))), dim=1)


class Picture(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.out = nn.Linear(4 * 16, 3)

    def forward(self, inputs):
        hidden = functional.max_pool2d(functional.relu(self.one(inputs)), 2)
        return self.out(functional.relu(self.two(hidden)).flatten(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells, self.out = nn.RNN(3, 7, num_layers=2, batch_first=True), nn.Linear(7, 3)

    def forward(self, inputs):
        _, last = self.cells(inputs)
        return self.out(last[-1])


def chain(*between):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), *between, nn.Linear(8, 3))


def made(kind):
    torch.manual_seed(0)
    return kind().eval()


def activations(network, inputs=INPUTS):
    return [call.name for call in calls(network, inputs) if call.kind == "activation"]


def test_every_surgery_of_a_plan_has_a_surgeon_and_a_plan_refuses_others():
    assert set(SURGERIES) == set(SURGEONS)
    with pytest.raises(ValueError, match="expected 'activation' with a value"):
        ForeignNetwork.read({"family": "foreign", "factory": "a:b", "surgeries": ["activation:loud"]})
    with pytest.raises(ValueError, match="expected one of activation"):
        ForeignNetwork.read({"family": "foreign", "factory": "a:b", "surgeries": ["lobotomy"]})
    with pytest.raises(ValueError, match="expected 'dropout' with a value"):
        ForeignNetwork.read({"family": "foreign", "factory": "a:b", "surgeries": ["dropout:1.5"]})


@pytest.mark.parametrize("kind", [Functional, Shared, Picture])
def test_a_traced_network_computes_the_same_and_has_modules(kind):
    network = made(kind)
    inputs = IMAGES if kind is Picture else INPUTS
    again = traced(network)
    assert torch.equal(network(inputs), again(inputs))
    assert all(call.is_module for call in calls(again, inputs) if call.kind == "activation")
    assert {name for name, _ in again.named_parameters()} == {name for name, _ in network.named_parameters()}


def test_a_traced_network_keeps_dropout_that_depends_on_the_mode():
    network = made(Functional)
    again = traced(network).train()
    torch.manual_seed(5)
    dropped = network.train()(INPUTS)
    torch.manual_seed(5)
    assert torch.equal(again(INPUTS), dropped)
    assert not torch.equal(again(INPUTS), again.eval()(INPUTS))


def test_a_forward_pass_that_depends_on_values_cannot_be_traced():
    with pytest.raises(UntraceableError, match="cannot be traced"):
        traced(made(Branching))
    with pytest.raises(ValueError, match="got 'activation:relu' for a network that has activations that its code"):
        operate(made(Branching), ("activation:relu",), INPUTS, 0)


@pytest.mark.parametrize("kind", [Functional, chain])
def test_hidden_activations_are_swapped_and_the_output_stays(kind):
    network = made(kind) if kind is Functional else chain(nn.Tanh())
    changed = operate(network, ("activation:gelu",), INPUTS, 0)
    assert activations(changed) == ["gelu", "gelu"] + (["softmax"] if kind is Functional else [])


def test_a_shared_activation_is_swapped_where_it_is_hidden_only():
    assert activations(operate(made(Shared), ("activation:relu",), INPUTS, 0)) == ["relu", "sigmoid"]


@pytest.mark.parametrize("kind", [Functional, Branching, Shared])
def test_the_output_activation_is_removed_whatever_it_is_called_as(kind):
    network = made(kind)
    bare = operate(network, ("output-activation:none",), INPUTS, 0).eval()
    back = bare(INPUTS).sigmoid() if kind is Shared else bare(INPUTS).softmax(1)
    assert torch.allclose(back, network(INPUTS), atol=1e-6)
    assert not torch.allclose(bare(INPUTS), network(INPUTS))


def test_an_output_activation_is_added():
    network = chain(nn.Tanh()).eval()
    changed = operate(network, ("output-activation:sigmoid",), INPUTS, 0)
    assert torch.allclose(changed(INPUTS), network(INPUTS).sigmoid())


def test_rectifiers_go_between_linear_layers():
    assert activations(operate(chain(), ("insert-activation",), INPUTS, 0)) == ["tanh", "relu"]


def test_a_softmax_over_samples_is_turned():
    class Across(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, inputs):
            return torch.softmax(self.layer(inputs), dim=0)

    for network in (made(Across), nn.Sequential(nn.Linear(6, 3), nn.Softmax(0)).eval()):
        turned = operate(network, ("softmax-axis",), INPUTS, 0)
        assert torch.allclose(turned(INPUTS).sum(1), torch.ones(16))
        assert torch.allclose(turned(INPUTS)[:4], turned(INPUTS[:4]), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "layer"), [("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm), ("group", nn.GroupNorm)]
)
def test_normalisation_goes_behind_hidden_layers(kind, layer):
    changed = operate(chain(nn.Tanh()), (f"normalisation:{kind}",), INPUTS, 0)
    assert len([one for one in changed.modules() if isinstance(one, layer)]) == 2
    hidden = changed[:3][2].train()(torch.randn(64, 8) * 5 + 3)
    assert hidden.mean().item() == pytest.approx(0, abs=1e-4)
    assert hidden.std().item() == pytest.approx(1, abs=0.05)


def test_normalisation_takes_the_place_of_another_and_goes_away():
    once = operate(made(Picture), ("normalisation:batch",), IMAGES, 0)
    again = operate(once, ("normalisation:group",), IMAGES, 0)
    assert not [one for one in again.modules() if isinstance(one, nn.BatchNorm2d)]
    assert len([one for one in again.modules() if isinstance(one, nn.GroupNorm)]) == 2
    bare = operate(once, ("normalisation:none",), IMAGES, 0).eval()
    assert torch.allclose(bare(IMAGES), made(Picture)(IMAGES), atol=1e-6)


def test_dropout_is_put_in_set_and_lowered():
    changed = operate(chain(nn.Tanh()), ("dropout:0.3",), INPUTS, 0)
    assert [one.p for one in changed.modules() if isinstance(one, nn.Dropout)] == [0.3, 0.3]
    functional_one = operate(made(Functional), ("dropout-at-most:0.1",), INPUTS, 0)
    assert [one.p for one in functional_one.modules() if isinstance(one, nn.Dropout)] == [0.1]
    with pytest.raises(ValueError, match="has no dropout above 0.9"):
        operate(changed, ("dropout-at-most:0.9",), INPUTS, 0)


def test_weights_are_drawn_anew_by_rule_and_seed():
    network = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 3))
    inputs = torch.randn(8, 300)
    drawn = operate(network, ("initialise:he",), inputs, 0)
    assert drawn[0].weight.std().item() == pytest.approx((2 / 300) ** 0.5, rel=0.02)
    assert torch.equal(drawn[0].weight, operate(network, ("initialise:he",), inputs, 0)[0].weight)
    assert not torch.equal(drawn[0].weight, operate(network, ("initialise:he",), inputs, 1)[0].weight)


@pytest.mark.parametrize(
    ("make", "inputs"), [(lambda: chain(nn.BatchNorm1d(8)), INPUTS), (Picture, IMAGES), (Recurrent, STEPS)]
)
def test_hidden_widths_are_multiplied(make, inputs):
    network = make()
    wide = operate(network, ("width:2",), inputs, 0)
    layers = [one for one in wide.modules() if isinstance(one, (nn.Linear, nn.Conv2d, nn.RNN, nn.BatchNorm1d))]
    before = [one for one in network.modules() if isinstance(one, (nn.Linear, nn.Conv2d, nn.RNN, nn.BatchNorm1d))]
    for one, old in zip(layers, before, strict=True):
        for name in ("out_features", "out_channels", "hidden_size", "num_features"):
            if hasattr(old, name) and old is not before[-1]:
                assert getattr(one, name) == 2 * getattr(old, name)
    assert operate(wide, ("width:0.5",), inputs, 0)(inputs).shape == network(inputs).shape


def test_links_add_what_a_layer_got():
    network = chain(nn.Tanh()).eval()
    linked = operate(network, ("residual-links",), INPUTS, 0)
    hidden = torch.tanh(network[0](INPUTS))
    assert torch.allclose(linked(INPUTS), network[4](torch.tanh(hidden + network[2](hidden))))
    with pytest.raises(ValueError, match="no hidden layer as wide"):
        operate(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), ("residual-links",), INPUTS, 0)


@pytest.mark.parametrize(("kind", "cell"), [("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_plain_recurrence_is_replaced_behind_the_same_interface(kind, cell):
    changed = operate(made(Recurrent), (f"recurrence:{kind}",), STEPS, 0)
    cells = [one for one in changed.modules() if isinstance(one, nn.RNNBase)]
    assert [type(one) for one in cells] == [cell]
    assert (cells[0].hidden_size, cells[0].num_layers, cells[0].batch_first) == (7, 2, True)
    changed(STEPS).sum().backward()


def test_singular_values_of_hidden_layers_are_bounded():
    network = chain(nn.Tanh())
    with torch.no_grad():
        network[2].weight.mul_(20)
    changed = operate(network, ("spectral-norm",), INPUTS, 0).train()
    for _ in range(50):
        changed(INPUTS)
    assert torch.linalg.matrix_norm(changed.eval()[2].weight, 2).item() == pytest.approx(1, abs=1e-3)
    assert torch.equal(changed[4].weight, network[4].weight)


def test_frozen_weights_are_trained_again():
    network = chain()
    network[0].requires_grad_(False)
    assert all(value.requires_grad for value in operate(network, ("unfreeze",), INPUTS, 0).parameters())
    with pytest.raises(ValueError, match="has no frozen weight"):
        operate(chain(), ("unfreeze",), INPUTS, 0)


def test_surgery_leaves_the_network_and_the_global_generator_alone():
    network = made(Functional).train()
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    surgeries = ("activation:relu", "normalisation:batch", "dropout:0.2", "initialise:he", "spectral-norm")
    changed = operate(network, surgeries, INPUTS, 3)
    assert torch.equal(state, torch.get_rng_state())
    assert changed.training
    assert changed(INPUTS).shape == (16, 3)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(isinstance(one, Called) and "tanh" in one.extra_repr() for one in changed.modules())


def test_a_network_that_no_longer_runs_is_refused_with_the_reason():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, inputs):
            return self.second(self.first(inputs) + self.first.weight.sum())

    with pytest.raises(ValueError, match="no longer runs with it .AttributeError"):
        operate(made(Tied), ("insert-activation",), INPUTS, 0)


def test_networks_without_layers_of_torch_say_so(tmp_path):
    torch.export.save(torch.export.export(chain(), (INPUTS,)), tmp_path / "n.pt2")
    exported = ExportedNetwork(torch.export.load(tmp_path / "n.pt2").module())
    with pytest.raises(ValueError, match="was exported, so that it is a fixed program"):
        operate(exported, ("dropout:0.1",), INPUTS, 0)


def test_hidden_weights_that_are_divided_by_their_norm_go_to_muon():
    network = operate(chain(nn.Tanh()), ("spectral-norm",), INPUTS, 0)
    stepper = build_stepper(Recipe(optimizer="muon"), network, torch.device("cpu"))
    assert sum(parameter.numel() for parameter in stepper.parts[0].param_groups[0]["params"]) == 6 * 8 + 8 * 8
