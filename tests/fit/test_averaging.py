import pytest
import torch
from fit_subjects import DENSE, blobs, plan
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from equipoise.fit.averaging import Average, estimate_statistics
from equipoise.fit.fit import fit


def walk(average, network, steps):
    """Move the weights at random; return what they were after each step."""
    generator = torch.Generator().manual_seed(0)
    seen = []
    for step in range(1, steps + 1):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        average.update(step)
        seen.append([parameter.detach().clone() for parameter in network.parameters()])
    return seen


def test_the_tail_average_is_the_mean_of_the_tail():
    network = nn.Linear(3, 2)
    average = Average("tail", tuple(network.parameters()), 0.99, start=15)
    seen = walk(average, network, 20)
    for i, value in enumerate(average.values):
        torch.testing.assert_close(value, torch.stack([weights[i] for weights in seen[15:]]).mean(0))


def test_the_exponential_average_follows_its_formula_and_then_torchs():
    network = nn.Linear(3, 2)
    average = Average("exponential", tuple(network.parameters()), 0.8)
    reference = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    seen = walk(average, network, 60)
    expected = seen[0][0]
    for t, weights in enumerate(seen[1:], 2):
        decay = min(0.8, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * weights[0]
    torch.testing.assert_close(average.values[0], expected)
    with torch.no_grad():  # the warm-up is over and forgotten: 0.8 ** 400 is nothing
        for parameter in network.parameters():
            parameter.fill_(1.0)
    for _ in range(400):
        average.update(100)
        reference.update_parameters(network)
    torch.testing.assert_close(average.values[0], reference.module.weight.detach())


def test_statistics_are_those_of_torchs_update_bn():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5), nn.BatchNorm1d(5))
    batches = list(torch.randn(5, 8, 4))
    before = network[1].momentum
    estimate_statistics(network, batches)
    found = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in (network[1], network[4])]
    update_bn(batches, network)
    for (mean, variance), norm in zip(found, (network[1], network[4]), strict=True):
        torch.testing.assert_close(mean, norm.running_mean)
        torch.testing.assert_close(variance, norm.running_var)
    assert network[1].momentum == before
    estimate_statistics(network, batches)
    assert not any(module.training for module in network.modules())


def test_weights_and_statistics_return_bit_for_bit():
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6))
    average = Average("exponential", tuple(network.parameters()), 0.9)
    walk(average, network, 5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with average.in_place(network, [torch.randn(8, 4)]):
        assert torch.equal(network[0].weight, average.values[0])
        assert not torch.equal(network[1].running_mean, before["1.running_mean"])
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("kind", ["exponential", "tail"])
def test_a_fit_returns_the_averaged_network(kind):
    recipe = {"epochs": 8, "learning_rate": 0.02, "keep": "last", "batch_size": 20}
    network = {**DENSE, "normalisation": "batch"}
    data = blobs()
    plain = fit(plan(network, **recipe), 0, splits=data)
    averaged = fit(plan(network, **recipe, weight_averaging=kind, averaging_decay=0.9), 0, splits=data)
    one, other = plain.network.state_dict(), averaged.network.state_dict()
    assert any(not torch.equal(one[name], other[name]) for name in one)
    answer = averaged.network.answer(data.validation.inputs).argmax(1)
    scores = next(v for v in averaged.vitals if v.name == "score").values
    assert float((answer == data.validation.targets).float().mean()) == pytest.approx(scores[-1])
    assert scores[-1] > 0.85
