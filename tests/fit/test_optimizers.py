import numpy as np
import pytest
import torch
from torch import nn

from equipoise.core.recipe import Recipe
from equipoise.fit.lion import Lion
from equipoise.fit.optimizers import build_stepper

CPU = torch.device("cpu")
GRADIENTS = [torch.tensor([[0.3, -2.0], [0.0, 1.0]]), torch.tensor([[-0.1, 0.5], [4.0, 1.0]])] * 3


class Plain(nn.Module):
    """A weight and a bias."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
        self.bias = nn.Parameter(torch.tensor([1.0, 2.0]))


def walk(**recipe):
    """Take six steps with given gradients; return weight and bias."""
    network = Plain()
    stepper = build_stepper(Recipe(**recipe), network, CPU)
    stepper.train()
    for gradient in GRADIENTS:
        network.weight.grad, network.bias.grad = gradient.clone(), gradient[0].clone()
        stepper.step()
        assert network.weight.grad is None
    stepper.eval()
    return network.weight.detach().double().numpy(), network.bias.detach().double().numpy()


def by_hand(update, decay=0.0):
    """Take the same steps with `update(gradient, state, t) -> step`, in float64."""
    found = []
    for start, pick, shrink in (
        (np.array([[1.0, -2.0], [0.5, 3.0]]), lambda g: g, decay),
        (np.array([1.0, 2.0]), lambda g: g[0], 0.0),
    ):
        value, state = start, {}
        for t, gradient in enumerate(GRADIENTS, 1):
            value = value - update(pick(gradient.double().numpy()), state, t, value, shrink)
        found.append(value)
    return found


def momentum_rule(mu, nesterov=False, rate=0.1):
    def update(g, state, t, w, decay):
        g = g + decay * w  # coupled
        state["v"] = g if t == 1 else mu * state["v"] + g
        return rate * (g + mu * state["v"] if nesterov else state["v"])

    return update


def adam_rule(g, state, t, w, decay, rate=0.1):
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["s"] = 0.999 * state.get("s", 0) + 0.001 * g**2
    step = state["m"] / (1 - 0.9**t) / (np.sqrt(state["s"] / (1 - 0.999**t)) + 1e-8)
    return rate * (step + decay * w)


def rmsprop_rule(g, state, t, w, decay, rate=0.1):
    state["s"] = 0.99 * state.get("s", 0) + 0.01 * g**2
    w_after = w * (1 - rate * decay)
    return w - w_after + rate * g / (np.sqrt(state["s"]) + 1e-8)


def lion_rule(g, state, t, w, decay, rate=0.1):
    m = state.get("m", np.zeros_like(g))
    state["m"] = 0.99 * m + 0.01 * g
    return rate * (np.sign(0.9 * m + 0.1 * g) + decay * w)


@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("sgd", momentum_rule(0.0)),
        ("gradient-descent", momentum_rule(0.0)),
        ("momentum", momentum_rule(0.9)),
        ("nesterov", momentum_rule(0.9, nesterov=True)),
        ("adam", adam_rule),
        ("adamw", adam_rule),
        ("rmsprop", rmsprop_rule),
        ("lion", lion_rule),
    ],
)
def test_steps_are_those_of_the_formula(name, rule, decay):
    weight, bias = walk(optimizer=name, learning_rate=0.1, weight_decay=decay)
    expected_weight, expected_bias = by_hand(rule, decay)
    np.testing.assert_allclose(weight, expected_weight, atol=2e-5)
    np.testing.assert_allclose(bias, expected_bias, atol=2e-5)  # no decay on biases


def test_schedule_free_averages_as_in_the_paper():
    weight, _ = walk(optimizer="schedule-free", learning_rate=0.1)
    x = z = np.array([[1.0, -2.0], [0.5, 3.0]])
    s = np.zeros_like(x)
    for t, gradient in enumerate(GRADIENTS, 1):  # Defazio et al., NeurIPS 2024, algorithm 1, equal weights
        g = gradient.double().numpy()
        s = 0.999 * s + 0.001 * g**2
        z = z - 0.1 * g / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
        x = x + (z - x) / t
    np.testing.assert_allclose(weight, x, atol=1e-5)


def test_muon_turns_the_step_of_a_hidden_matrix_into_a_rotation():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    before = [parameter.detach().clone() for parameter in network.parameters()]
    stepper = build_stepper(Recipe(optimizer="muon", learning_rate=0.1, momentum=0.0), network, CPU)
    network(torch.randn(20, 6)).square().mean().backward()
    gradient = network[0].weight.grad.clone()
    stepper.step()
    moved = before[0] - network[0].weight.detach()
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(moved.flatten(), (left @ right).flatten(), 0) > 0.95
    singular = torch.linalg.svdvals(moved / (0.1 * 0.2 * 6**0.5))
    assert singular.min() > 0.5
    assert singular.max() < 1.4
    # The output layer and the biases take Adam's first step: the learning rate in every coordinate.
    for parameter, old in list(zip(network.parameters(), before, strict=True))[1:]:
        torch.testing.assert_close((parameter - old).abs(), torch.full_like(old, 0.1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_sees_kernels_as_matrices_of_the_same_memory(layout):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)).to(memory_format=layout)
    gradient = torch.randn(4, 3, 3, 3)
    stepper = build_stepper(Recipe(optimizer="muon", learning_rate=0.1, momentum=0.0), network, CPU)
    before = network[0].weight.detach().clone()
    network[0].weight.grad = gradient.clone(memory_format=torch.preserve_format)
    network[2].weight.grad = torch.zeros_like(network[2].weight)
    stepper.step()
    moved = (before - network[0].weight.detach()).flatten(1)
    left, _, right = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    assert torch.nn.functional.cosine_similarity(moved.flatten(), (left @ right).flatten(), 0) > 0.95


def test_lion_refuses_a_closure():
    optimizer = Lion([nn.Parameter(torch.zeros(2))])
    with pytest.raises(ValueError, match="Compute the gradients before"):
        optimizer.step(lambda: 0.0)


@pytest.mark.parametrize(
    "name", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lion", "muon", "schedule-free"]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_saved_state_goes_on_with_the_same_bits(name, layout):
    def fresh():
        torch.manual_seed(1)
        network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 2))
        network.to(memory_format=layout)
        return network, build_stepper(Recipe(optimizer=name, learning_rate=0.01, weight_decay=0.1), network, CPU)

    def steps(network, stepper, count):
        for _ in range(count):
            network(inputs).square().mean().backward()
            stepper.step()

    inputs = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    network, stepper = fresh()
    stepper.train()
    steps(network, stepper, 3)
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    tensors, numbers = stepper.state()
    tensors = {key: value.clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    steps(network, stepper, 3)
    other, again = fresh()
    other.load_state_dict(weights)
    again.load(tensors, numbers)
    steps(other, again, 3)
    for key, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"optimizer": "adam", "momentum": 0.9}, "Use optimizer 'momentum'"),
        ({"optimizer": "muon"}, "Use 'adamw'"),
    ],
)
def test_what_an_optimizer_cannot_do_is_refused(recipe, message):
    with pytest.raises(ValueError, match=message):
        build_stepper(Recipe(**recipe), nn.Linear(3, 2), CPU)


def test_a_network_without_parameters_is_refused():
    with pytest.raises(ValueError, match="without a trainable parameter"):
        build_stepper(Recipe(), nn.Flatten(), CPU)
